"""DIR/report.html: the page on which somebody decides. What was asked, what is the answer, what
came out, what the numbers do not say; one file that needs nothing else.

The bytes depend on the rows, the sweep file and the kept signals alone: no dates, no random
identifiers. `data` is what it says, `figures` and `front` draw, `template.html.j2` sets it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raymia.report import compare
from raymia.report.page.data import said
from raymia.report.page.evidence import several
from raymia.report.page.setting import html
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.row import Row


def write(
    folder: Folder | Path | str | Location,
    digests: Sequence[str] | None = None,
    printed: Sequence[compare.Compared] = (),
) -> Path | Location:
    """Write `report.html`; its path. `digests`: the points of the current sweep (None: every
    row there is). `printed`: what a paper published, beside it.

    The caller holds the folder's lock. Raises EnvironmentFault where a row does not verify or
    the disk is in the way.
    """
    folder = folder if isinstance(folder, Folder) else Folder(folder)
    folder.put("report.html", text(folder, digests, printed).encode())
    return folder.path / "report.html"


def text(
    folder: Folder,
    digests: Sequence[str] | None = None,
    printed: Sequence[compare.Compared] = (),
) -> str:
    """The same, not written; no lock is needed."""
    return page(
        folder.path.resolve().name,
        folder.shown(digests),
        folder.confirmed(),
        folder.read_sweep() or "",
        folder.read_json("account.json"),
        printed,
        folder.signals,
    )


def page(
    name: str,
    rows: Sequence[Row],
    confirmed: Sequence[Row],
    sweep: str,
    read: Mapping[str, Any] | None = None,
    printed: Sequence[compare.Compared] = (),
    signals: Path | Location | None = None,
) -> str:
    """The HTML of a report, by the name of its sweep, or where that has none of its folder.
    `signals`: where they are kept, for what is said of single records.
    """
    whole = said(named(sweep) or name, rows, confirmed, sweep, read or {}, printed)
    seen, why = several(whole["chosen"], signals) if signals else ([], "no signals were kept")
    return html(whole, seen, why)


def named(sweep: str) -> str:
    """The `name:` of a sweep file's text; empty where it has none."""
    lines = (line.partition(":") for line in sweep.splitlines())
    return next((value.partition("#")[0].strip() for key, _, value in lines if key == "name"), "")
