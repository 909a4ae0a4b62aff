"""raymia from Python: what the commands do, with data frames in place of tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raymia.cluster import confirming, driver
from raymia.point import columns
from raymia.report import query
from raymia.report.audit import Audit as Audit
from raymia.report.audit import audit as audit
from raymia.report.commands import write_page
from raymia.report.plot import plot
from raymia.results.folder import Folder
from raymia.results.location import Location, locate
from raymia.results.row import best
from raymia.study import asked, strict_yaml
from raymia.study import sweep as files
from raymia.study.sweep import Sweep

if TYPE_CHECKING:
    import pandas as pd

    from raymia.cluster.progress import Progress


def load(source: str | Path | Mapping[str, Any], *overrides: str) -> Sweep:
    """A sweep: of a file, or of a mapping as a file would hold it.

    `overrides`: `"search.trials=8"`, as with `--set`. Raises SweepError: where, key, value, what
    is allowed.
    """
    if isinstance(source, Mapping):
        return files.parse(strict_yaml.dump(dict(source)), "the sweep", overrides)
    return files.load(Path(source), overrides)


def run(
    sweep: Sweep | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    retry_failed: bool = False,
    mix_versions: bool = False,
    pilot: bool = True,
    progress: Progress | None = None,
) -> Run:
    """Runs a sweep into a results folder (default: results/<name>), or goes on with it.

    A second call with the same folder trains nothing again. Raises SweepError where nothing could
    be started, EnvironmentFault, Locked, and KeyboardInterrupt where it was stopped; what was
    finished is kept.
    """
    wanted = sweep if isinstance(sweep, Sweep) else load(sweep)
    place = locate(os.fspath(Path("results") / wanted.name if out is None else out))
    code = driver.run(
        wanted,
        place,
        retry_failed=retry_failed,
        mix_versions=mix_versions,
        fly=pilot,
        progress=progress,
    )
    if code > 1:
        raise KeyboardInterrupt(f"stopped; raymia.run with {place} goes on")
    return Run(place)


def open(out: str | Path) -> Run:
    """What stands in a results folder. Raises SweepError where there is none."""
    place = locate(os.fspath(out))
    asked.existing(Folder(place))
    return Run(place)


def _frame(table: query.Table) -> pd.DataFrame:
    """A table as a data frame; whole numbers, some of them unknown, stay whole numbers."""
    import pandas as pd

    made = {}
    for name in table.names:
        cells = [line[name] for line in table.lines]
        whole = set(map(type, cells)) == {int, type(None)}
        kind = "str" if name in columns.TEXT else "Int64" if whole else None
        made[name] = pd.Series([nan if cell is None else cell for cell in cells], dtype=kind)
    return pd.DataFrame(made)


class Svg(str):
    """A picture, shown as one in a notebook."""

    def _repr_svg_(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Run:
    """A results folder. Its frames are read anew at every call: a run may be going on."""

    out: Path | Location

    @property
    def sweep(self) -> Sweep:
        return asked.existing(Folder(self.out))

    @property
    def trials(self) -> pd.DataFrame:
        """A row for every trial: arm, knobs, test accuracy, AUCs with intervals, state, notes."""
        return _frame(query.read(self.out))

    @property
    def attacks(self) -> pd.DataFrame:
        """A row for every trial and attack."""
        return _frame(query.attacks(self.out))

    @property
    def front(self) -> pd.DataFrame:
        """The trials that no other one beats in accuracy and in the sweep's measure of privacy."""
        return self.query()

    def query(
        self,
        max_auc: float | None = None,
        min_accuracy: float | None = None,
        where: Mapping[str, Any] | None = None,
        metric: str | None = None,
        every: bool = False,
    ) -> pd.DataFrame:
        """The points of the front that satisfy every condition; see `raymia pareto --help`."""
        trials = query.read(self.out)
        best = query.query(trials, max_auc, min_accuracy, where, metric, every)
        return _frame(trials).iloc[best]

    def plot(self) -> Svg:
        """The front."""
        folder = Folder(self.out)
        digests = asked.current(folder)
        rows = folder.shown(digests)
        return Svg(plot(rows, best(rows), {row.digest: row for row in folder.confirmed()}))

    def report(self) -> Path | Location:
        """Writes report.html and the CSVs; where the page is."""
        return write_page(self.out)

    def confirm(self, seeds: int = 5, *, mix_versions: bool = False) -> Run:
        """Trains the front and the undefended point again with fresh seeds."""
        confirming.confirm(self.out, seeds, mix_versions)
        return self

    def _repr_html_(self) -> str:
        html: str = self.front._repr_html_()  # type: ignore[operator]
        return html
