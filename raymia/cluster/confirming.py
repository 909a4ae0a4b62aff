"""The points of a front trained again on every node."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from raymia.cluster.driver import starting
from raymia.cluster.progress import Progress
from raymia.point.origins import Cargo
from raymia.point.point import Point
from raymia.records import data
from raymia.report import compare, page
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.row import Row
from raymia.study import asked
from raymia.trial import confirm as again
from raymia.trial.confirm import Map
from raymia.trial.unchanged import check_data, check_versions


def confirm(
    out: Path | Location, seeds: int, mix_versions: bool = False, progress: Progress | None = None
) -> tuple[Folder, list[Row]]:
    """The front and the undefended point of a results folder, again with so many fresh seeds: the
    folder, and a row for each with both numbers. Writes them, and the page. Raises SweepError where
    the data changed, EnvironmentFault where the versions of libraries did (but for `mix_versions`).
    """
    results, progress = Folder(out), progress or Progress()
    sweep = asked.existing(results)
    with results.lock():
        digests = asked.current(results)
        if said := asked.left_out(results):
            progress.warn(said)
        rows = again.wanted(results, digests)  # there are some, or nothing is started
        records = data.load(sweep.dataset, sweep.search.seed)
        check_data(results, rows, records)
        if not mix_versions:
            check_versions(results, rows, sweep.foreign)
        progress.say(starting())
        from raymia.cluster.tasks import everywhere  # imports ray, which takes a second

        with everywhere(sweep.resources, out, records, progress, Cargo.of(sweep.foreign)) as run:
            try:
                each = _shown(run, progress)
                found = again.run(results, records, seeds, each, digests, progress.say)
            finally:
                progress.stop()
        page.write(results, digests, compare.of(results))
    return results, found


def _shown(run: Map, progress: Progress) -> Map:
    """The same `map` over points, with every draw shown, by its place."""

    def mapped(function: Callable[[Any], Any], points: Iterable[Point]) -> Iterator[Row]:
        points = list(points)
        progress.start(len(points), {}, "draw")
        for place, point in enumerate(points):
            progress.running(place, point)
        for place, row in enumerate(run(function, points)):
            progress.finished(replace(row, trial=place))
            yield row

    return mapped
