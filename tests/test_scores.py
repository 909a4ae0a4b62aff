"""The scores of single records: those that the row was made of, from what the trial kept."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.records.canaries import KINDS
from raymia.records.data import Data, load
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.signals import world
from raymia.study import sweep
from raymia.trial import kept_scores, record_scores
from raymia.trial import run as trial
from raymia.trial.judge import Verdict
from raymia.trial.record_scores import exposures, scores, share
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
        [s.calibrated for s in planted], [s.member for s in planted]
    )


def test_a_common_scale_keeps_the_order_of_each_target(made: tuple[Row, Data, Path]) -> None:
    found = [s for s in scores(made[0], made[2]) if s.attack == "lira"]
    places = []
    for target in {s.target for s in found}:
        mine = sorted((s for s in found if s.target == target), key=lambda s: s.score)
        assert (np.diff([s.calibrated for s in mine]) >= 0).all()
        assert (np.diff([s.score for s in mine]) > 0).sum() == (
            np.diff([s.calibrated for s in mine]) > 0
        ).sum()
        places += [s.calibrated for s in mine if not s.member]
    # places among the non-members of another model, so about uniform for one's own
    assert 0 < min(places) and max(places) < 1 and abs(np.mean(places) - 0.5) < 0.08


def test_records_have_the_numbers_of_their_file(made: tuple[Row, Data, Path]) -> None:
    row, data, root = made
    whole = load(sweep.parse(TEXT.replace("{digits: {records: 160}}", "digits")).dataset, 0)
    for s in list(scores(row, root))[:200]:
        if not s.canary:
            assert (whole.x[s.row] == data.x[s.record]).all() and s.row == data.rows[s.record]


def test_how_exposed_a_record_is(made: tuple[Row, Data, Path]) -> None:
    """The mean over targets of the evidence for what is true, by the strongest attack."""
    row, data, root = made
    found = exposures(row, root, "lira")
    assert [one.evidence for one in found] == sorted((o.evidence for o in found), reverse=True)
    judged = {}
    for s in scores(row, root):
        if s.attack == "lira":
            judged.setdefault(s.record, []).append(s)
    assert {one.record for one in found} == judged.keys()
    true: dict[int, list[float]] = {}
    for made_of, _, verdict, _ in record_scores.made(row, root, "lira"):
        assert verdict.log_ratio is not None
        member = made_of.split.member[made_of.split.targets[verdict.target]]
        for record in np.flatnonzero(np.isfinite(verdict.scores)):
            for_member = float(verdict.log_ratio[record])
            true.setdefault(record, []).append(for_member if member[record] else -for_member)
    for one in found:
        assert one.evidence == pytest.approx(np.mean(true[one.record]), abs=1e-12)
        mine = judged[one.record]
        assert (one.targets, one.as_member) == (len(mine), sum(s.member for s in mine))
        assert one.ratio == pytest.approx(np.exp(one.evidence)) and one.row == data.rows[one.record]
        if one.targets == 2:
            assert one.evidence_lo is not None and one.evidence_hi is not None
            assert one.evidence_lo <= one.evidence <= one.evidence_hi
    assert share(found, 0.0) == 1.0 and share(found, np.inf) == 0.0
    assert share(found, found[0].ratio) == pytest.approx(1 / len(found))
    # of a higher score the evidence for a member is more, and that for another is less
    (call,) = [
        c
        for c in trial.calls(world.of(Point.from_json(row.point), len(data)))
        if c.column == "lira" and c.targets == (0,)
    ]
    (verdict,) = trial.judge(root, call)
    assert verdict.log_ratio is not None
    on = np.isfinite(verdict.scores)
    order = np.argsort(verdict.scores[on])
    slope = np.diff(verdict.log_ratio[on][order])
    assert (slope >= 0).all() or (slope <= 0).all()


@pytest.mark.parametrize(
    ("attack", "why"),
    [("lora", "no 'lora'"), ("loss[threshold=known]", "no likelihood ratio here")],
)
def test_an_attack_without_a_likelihood_ratio_is_refused(
    made: tuple[Row, Data, Path], attack: str, why: str
) -> None:
    with pytest.raises(SweepError, match=re.escape(why)):
        exposures(made[0], made[2], attack)


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


def _kept(row: Row, data: Data, root: Path, made: Path) -> Path:
    """A results folder that holds the scores of a trial, with the signals that were kept."""
    files = Local(root)
    again = trial.run(Point.from_json(row.point), data, made, keep=files.replace)
    assert replace(again, timing={}) == replace(row, timing={})
    (root / "signals").symlink_to(made)
    return root / "signals"


def test_kept_scores_are_those_that_the_attacks_make(
    made: tuple[Row, Data, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines to the last digit, and no attack is made again, until the file is damaged."""
    row, data, root = made
    again, exposed = list(scores(row, root)), exposures(row, root, "lira")
    folder = _kept(row, data, tmp_path, root)
    calls: list[str] = []

    def judge(_: Path, call: trial.Call) -> list[trial.Verdict]:
        calls.append(call.column)
        return original(_, call)

    original = trial.judge
    monkeypatch.setattr(trial, "judge", judge)
    assert list(scores(row, folder)) == again and exposures(row, folder, "lira") == exposed
    assert calls == []
    file = tmp_path / "scores" / f"{row.digest}.npz"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 8
    for damaged in (bytes(flipped), whole[: len(whole) // 2], b""):
        file.write_bytes(damaged)
        assert list(scores(row, folder)) == again and calls
        calls.clear()


@pytest.mark.parametrize(
    ("values", "short"),
    [
        ([[0.1, 0.7, np.nan], [0.3, 0.1, 0.2]], True),
        ([[0.5, 0.5 + 1e-12, np.nan], [0.3, 0.1, 0.2]], False),  # two would tie
        ([[0.5, 0.1, np.nan], [0.5 + 1e-12, 0.1, 0.2]], False),  # at two targets, which are pooled
        ([[0.5, 1e300, np.nan], [0.3, 0.1, 0.2]], False),
    ],
)
def test_scores_lose_digits_only_where_their_order_does_not(
    values: list[list[float]], short: bool
) -> None:
    own = [Verdict("x", t, np.array(one), {}, {}, "", None, None) for t, one in enumerate(values)]
    stored = np.load(io.BytesIO(kept_scores.packed(own)))
    assert stored["0.scores"].dtype == (np.float32 if short else np.float64)
    for before, after in zip(own, kept_scores.unpacked(kept_scores.packed(own)), strict=True):
        assert np.allclose(before.scores, after.scores, rtol=1e-6, equal_nan=True)
        assert (after.calibrated, after.log_ratio) == (None, None)
