"""What is written down is true: commands exist and are described, sweeps load, links resolve,
no machine is named.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

import click
import numpy as np
import pytest

from raymia.records.data import Data
from raymia.study import sweep

ROOT = Path(__file__).parent.parent
SWEEPS = sorted((ROOT / "sweeps").rglob("*.yaml"))


@cache
def files() -> tuple[Path, ...]:
    """What git tracks, or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return tuple(path for name in sorted(set(listed)) if name and (path := ROOT / name).is_file())


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


# ---- commands


def test_every_command_is_described_in_help_and_in_the_docs() -> None:
    from raymia.cli import COMMANDS, main

    written = "\n".join(page.read_text() for page in pages())
    context = click.Context(main)
    assert main.list_commands(context) == list(COMMANDS)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None and command.name == name
        assert command.get_short_help_str(), f"raymia {name} --help says nothing"
        assert f"raymia {name}" in written, f"no page shows `raymia {name}`"


def test_every_command_that_a_page_shows_exists() -> None:
    from raymia.cli import COMMANDS

    for page in pages():
        for name in re.findall(
            r"^(?:\$ |    )?(?:\.venv/bin/)?raymia ([a-z]+)\b", page.read_text(), re.MULTILINE
        ):
            assert name in COMMANDS, f"{page.name} shows `raymia {name}`"


def test_every_make_target_that_a_page_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        for name in re.findall(r"(?:^|`)make ([a-z]+)\b", page.read_text(), re.MULTILINE):
            assert name in targets, f"{page.name} shows `make {name}`"


# ---- sweeps


def test_readmes_sweep_is_the_one_that_make_quickstart_runs() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shipped = (ROOT / "sweeps" / "quickstart.yaml").read_text()
    assert shown == shipped[shipped.index("name:") :]
    assert "raymia run sweeps/quickstart.yaml" in (ROOT / "Makefile").read_text().replace(
        "$(BIN)/", ""
    )


def test_the_tutorials_sweep_loads() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tutorial.md").read_text(), re.DOTALL)
    assert sweep.parse(shown).shape == (8, 4)


def test_there_are_sweeps() -> None:
    assert SWEEPS


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_sweep_loads_and_yields_points(path: Path) -> None:
    study = sweep.load(path)
    data = Data("stub", np.zeros((8, 1), np.float32), np.arange(8) % 2, 2, image=False)
    digests = {
        study.point(arm, study.default(arm), 0, data).digest() for arm in range(len(study.arms))
    }
    assert len(digests) == len(study.arms), "arms whose defaults are the same point"
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
    assert path.read_text().startswith("# "), "says what it asks, what it costs and what came out"


# ---- links


def slug(heading: str) -> str:
    """A heading's anchor, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def dead_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        headings = (
            re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            if target.suffix == ".md" and target.is_file()
            else []
        )
        if not target.exists() or (anchor and anchor not in map(slug, headings)):
            dead.append(link)
    return dead


def test_relative_links_resolve() -> None:
    assert pages()
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages()
        for link in dead_links(page, page.read_text())
    ]
    assert not dead, "\n".join(dead)


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    text = (
        "# Some Words: here\n[a](a.md) [b](#some-words-here) [c](b.md) [d](a.md#none) "
        "[e](https://x.org) ![f](f.png)\n"
    )
    page.write_text(text)
    assert dead_links(page, text) == ["b.md", "a.md#none", "f.png"]


# ---- machines

# In pieces, so that this file does not hold what it looks for.
MACHINES = re.compile(
    "|".join(
        [
            r"(?<![\w.])/wo" + r"rk/",
            r"(?<![\w.])/ro" + r"ot/",
            r"(?<![\w.])/ho" + r"me/(?!ubuntu\b|ray\b)\w",
            r"(?<![\w.])/Us" + r"ers/\w",
            "/opt/" + r"(wheels|pypi)",
            r"\.py" + "env",
            "pypi" + r"\.org",
            "python" + "hosted",
            "npm" + r"js\.(org|com)",
            "deb" + r"\.debian",
            "extra-" + "index-url",
        ]
    )
)


def machines(text: str) -> list[str]:
    """The lines that name a machine's folders or a package registry's host."""
    return [
        f"{number}: {line.strip()[:120]}"
        for number, line in enumerate(text.split("\n"), 1)
        if MACHINES.search(line)
    ]


def test_no_machine_is_named() -> None:
    found = []
    for path in files():
        raw = path.read_bytes()
        if b"\0" not in raw[:8192]:
            found += [
                f"{path.relative_to(ROOT)}:{line}"
                for line in machines(raw.decode(errors="replace"))
            ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "path",
    ["/wo" + "rk/x", "see /ro" + "ot/.cache", "/ho" + "me/ann/x", "https://pypi" + ".org/simple"],
)
def test_a_named_machine_is_found(path: str) -> None:
    assert machines(f"first\nrun it in {path} today") == [f"2: run it in {path} today"]


def test_plain_paths_are_no_machines() -> None:
    assert (
        machines(
            "raymia/network/x ../work/y results/quickstart /home/ubuntu/raymia ~/.cache/raymia"
        )
        == []
    )
