"""The scores of single records: those that the row was made of, from what the trial kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.records.canaries import KINDS
from raymia.records.data import Data, load
from raymia.results.row import Row
from raymia.signals import world
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.trial.record_scores import scores
from raymia.verdict import metrics

TEXT = """
name: scores
dataset: {digits: {records: 160}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 6, targets: 2, reserve: 0.2}}
defenses: [[label_smoothing]]
attacks: [loss, lira, nn: {epochs: 2, pairs: 200}, loss: {threshold: known}]
attacker: plain
training: {epochs: 2, lanes: 6}
canaries: {mislabelled: 8, blank: 2, out_of_distribution: 3, near_duplicates: 3}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, Data, Path]:
    file, root = sweep.parse(TEXT), tmp_path_factory.mktemp("signals")
    data = load(file.dataset, 0)
    return trial.run(file.point(0, file.default(0), 0, data), data, root), data, root


def test_they_give_the_numbers_of_the_row(made: tuple[Row, Data, Path]) -> None:
    """Every line of attacks.csv, from the scores of the records that are not planted."""
    row, _, root = made
    found = list(scores(row, root))
    names = {"loss", "lira", "nn[pairs=200,epochs=2]", "loss[threshold=known]"}
    # the plain attacker makes those again that use shadows
    shadowed = {name for name in names if not name.startswith("loss")}
    assert {s.attack for s in found} == names | {f"{name}@plain" for name in shadowed}
    for line in row.attacks:
        own = [
            s
            for s in found
            if (s.target, s.attack) == (line["target"], line["attack"]) and not s.canary
        ]
        assert line["auc"] == metrics.auc(
            np.array([s.score for s in own]), np.array([s.member for s in own])
        )
    planted = [s for s in found if s.canary and s.attack == "lira"]
    assert row.numbers["canary_auc.lira"] == metrics.auc(
        [s.score for s in planted], [s.member for s in planted]
    )


def test_records_are_named_once_with_their_membership_and_kind(
    made: tuple[Row, Data, Path],
) -> None:
    row, data, root = made
    point = Point.from_json(row.point)
    split, kinds = world.of(point, len(data)).split, world.of(point, len(data)).kinds
    found = [s for s in scores(row, root) if s.attack == "loss"]
    for t, target in enumerate(split.targets):
        mine = [s for s in found if s.target == target]
        assert [s.record for s in mine] == np.flatnonzero(split.judged[t]).tolist()
        assert [s.member for s in mine] == split.member[target, split.judged[t]].tolist()
        assert [s.canary for s in mine] == [("", *KINDS)[k] for k in kinds[split.judged[t]]]
    alone = list(scores(row, root, canaries=True))
    assert alone == [s for s in scores(row, root) if s.canary] and {s.canary for s in alone} == set(
        KINDS
    )


def test_without_signals_it_says_so(made: tuple[Row, Data, Path], tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="keep_signals: all"):
        next(scores(made[0], tmp_path))
    with pytest.raises(SweepError, match="trial -1 is failed"):
        next(scores(replace(made[0], state="failed"), made[2]))
