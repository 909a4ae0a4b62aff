"""The points of a front trained again on every node."""

from pathlib import Path

from raymia.cluster.progress import Progress
from raymia.cluster.tasks import everywhere
from raymia.point.origins import Cargo
from raymia.records import data
from raymia.report import compare, page, terminal
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.row import Row
from raymia.study import asked
from raymia.trial import confirm as again
from raymia.trial.unchanged import check_data, check_versions


def confirm(
    out: Path | Location, seeds: int, mix_versions: bool = False
) -> tuple[Folder, list[Row]]:
    """The front and the undefended point of a results folder, again with so many fresh seeds: the
    folder, and a row for each with both numbers. Writes them, and the page. Raises SweepError where
    the data changed, EnvironmentFault where the versions of libraries did (but for `mix_versions`).
    """
    results = Folder(out)
    sweep = asked.existing(results)
    with results.lock():
        digests = asked.current(results)
        terminal.warn(asked.left_out(results))
        rows = again.wanted(results, digests)  # there are some, or nothing is started
        records = data.load(sweep.dataset, sweep.search.seed)
        check_data(results, rows, records)
        if not mix_versions:
            check_versions(results, rows, sweep.foreign)
        with everywhere(sweep.resources, out, records, Cargo.of(sweep.foreign)) as run:
            found = again.run(results, records, seeds, run, digests, Progress().say)
        page.write(results, digests, compare.of(results))
    return results, found
