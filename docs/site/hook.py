"""What mkdocs asks while it builds the site: the pages that are made of the code, and those of the
folder above, whose links are those of a checkout.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import reference  # noqa: E402

ABOVE = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md"}
ABOVE |= {"changelog.md": "CHANGELOG.md"}
NAMES = {name: page for page, name in ABOVE.items()}


def on_files(files: Files, config: Any) -> Files:
    """Adds those pages."""
    made = {f"reference/{name}.md": text for name, text in reference.pages().items()}
    made |= {page: (ROOT / name).read_text() for page, name in ABOVE.items()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to the folder above as links between pages, or as their text where that is no page.
    What leads nowhere stays, and ends the build.
    """

    def page_of(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        plain = target.removeprefix("../").removeprefix("docs/")
        name = NAMES.get(plain, plain)
        if name in files.src_uris:
            return f"[{text}]({name}{anchor})"
        there = target and any((place / target).exists() for place in (ROOT, ROOT / "docs"))
        return text if there else link[0]

    if page.file.src_uri.startswith("reference/"):
        return markdown
    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)#\s]*)(#[^)\s]*)?\)", page_of, markdown)
