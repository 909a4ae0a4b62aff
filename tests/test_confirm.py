"""The front, trained again: fresh draws, both numbers, and a gate that goes by the upper end."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from raymia.cli import main
from raymia.errors import RaymiaError, SweepError
from raymia.point import catalog
from raymia.records.data import Data, load
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.signals import world
from raymia.study import sweep
from raymia.trial import confirm
from raymia.trial import run as trial

TEXT = """
name: confirm
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [label_smoothing]]
attacks: [baseline, loss]
training: {epochs: 8, batch_size: 8, lanes: 4}
search: {trials: 2}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Data]:
    file = sweep.parse(TEXT)
    data, folder = load(file.dataset, 0), Folder(tmp_path_factory.mktemp("results"))
    folder.write_sweep(sweep.dump(file.resolved()))
    for arm in range(2):
        knobs = file.default(arm)
        row = trial.run(file.point(arm, knobs, 0, data), data)
        folder.write(Row.from_json(row.to_json() | {"trial": arm}))
    folder.derive()
    return folder, data


def test_fresh_draws_share_nothing_with_the_search(made: tuple[Folder, Data]) -> None:
    row = confirm.front(made[0])[0]
    fresh = confirm.points(row, 3)
    assert len({p.digest() for p in fresh} | {row.digest}) == 4
    assert confirm.points(row, 2) == fresh[:2]


SIZED = {"official": "{official: {train: 300, judged: 100}}"}
FIXED = {"official": {"member", "role"}}  # the train file


@pytest.mark.parametrize("protocol", catalog.names("protocols"))
def test_fresh_draws_are_of_other_splits_whatever_the_protocol(protocol: str) -> None:
    """Who trains on what, and who is judged, differ from the search's draw and from one
    another's.
    """
    spelled = SIZED.get(protocol, protocol)
    file = sweep.parse(
        "\n".join(
            f"protocol: {spelled}" if "protocol" in line else line for line in TEXT.splitlines()
        )
    )
    data = load(file.dataset, 0)
    seen = file.point(0, file.default(0), 0, data)
    fresh = confirm.points(SimpleNamespace(point=seen.to_json()), 3)  # type: ignore[arg-type]
    splits = [world.of(point, 600).split for point in (seen, *fresh)]
    for what in ("member", "judged", "role"):
        drawn = {getattr(split, what).tobytes() for split in splits}
        assert len(drawn) == (1 if what in FIXED.get(protocol, ()) else 4), what


def test_the_front_is_confirmed_once(made: tuple[Folder, Data]) -> None:
    folder, data = made
    calls: list[int] = []

    def counting(function: object, items: list[object]) -> object:
        calls.append(len(items))
        return map(function, items)  # type: ignore[call-overload]

    told: list[str] = []
    found = confirm.run(folder, data, 2, counting, say=told.append)
    draws = 2 * len(found)
    assert told[0] == f"{len(found)} points x 2 fresh draws: {draws} trials"
    assert "5 or more are advised" in told[1]
    assert sum(" confirmed: " in line for line in told) == len(found)
    best = confirm.front(folder)
    asked = {r.digest for r in confirm.wanted(folder)}
    assert calls == [2 * len(asked)] and {r.digest for r in found} == asked
    assert asked >= {r.digest for r in best} and "none" in {r.defense for r in found}
    confirm.run(folder, data, 2, counting)
    assert calls[1:] == [0]
    for row in found:
        alone = [trial.run(p, data).numbers["test_accuracy"] or 0.0 for p in confirm.points(row, 2)]
        assert row.numbers["test_accuracy"] == pytest.approx(sum(alone) / 2)
        assert (row.numbers["max_attack_auc_lo"] or 0) <= (row.numbers["max_attack_auc"] or 0)
    assert "confirmed_max_attack_auc_hi" in (folder.path / "pareto.csv").read_text().splitlines()[0]
    for row in found:  # by the largest upper end of any attack that counts
        ends = [row.numbers[f"auc_hi.{attack}"] or 0.0 for attack in ("baseline", "loss")]
        assert row.numbers["max_attack_auc_upper"] == max(ends)
    assert "confirmed_max_attack_auc_upper" in (folder.path / "pareto.csv").read_text()
    on_front = [row for row in found if row.digest in {r.digest for r in best}]
    upper = min(row.numbers["max_attack_auc_upper"] or 1.0 for row in on_front)
    assert confirm.passes(folder, upper) and not confirm.passes(folder, upper - 1e-9)
    assert not confirm.passes(folder, 1.0, min_accuracy=1.0)
    runner = CliRunner()
    assert runner.invoke(main, ["gate", str(folder.path), "--max-auc", "1"]).exit_code == 0
    assert runner.invoke(main, ["gate", str(folder.path), "--max-auc", "0.1"]).exit_code == 1


def test_draws_that_fail_are_named(made: tuple[Folder, Data]) -> None:
    row = confirm.front(made[0])[0]
    bad = Row.from_json(row.to_json() | {"state": "invalid", "reason": "no number", "numbers": {}})
    mixed = confirm.combine(row, [row, bad])
    assert mixed.numbers["test_accuracy"] == row.numbers["test_accuracy"] and mixed.notes == [
        "replicate 0: no number"
    ]
    assert mixed.numbers["max_attack_auc_hi"] == row.numbers["max_attack_auc_hi"]
    with pytest.raises(RaymiaError, match="none of 2 fresh draws"):
        confirm.combine(row, [bad, bad])


def test_without_a_front_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no front"):
        confirm.front(Folder(tmp_path))
