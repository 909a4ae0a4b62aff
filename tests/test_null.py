"""Where nothing leaks the numbers must say so; and what is broken on purpose must be caught.

The large version, over all attacks, is `benchmarks/null.py`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from raymia.attack import attack as attacks
from raymia.attack.attack import Attack, Rng, make
from raymia.attacks.loss import Loss
from raymia.attacks.nn import Nn
from raymia.attacks.nn_sorted import NnSorted
from raymia.errors import SweepError
from raymia.laws.synthetic import Array, split, world
from raymia.point.space import Part
from raymia.records.data import load as load_data
from raymia.signals.view import Signals, View
from raymia.streams import stream
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.verdict import maximum, metrics
from raymia.verdict.metrics import ScoreError

RUNS, TARGETS = 80, 2
NAMES = (
    "loss",
    "entropy",
    "grad_x",
    "lira",
    "rmia",
    "reference",
    "instance_vector",
    "class_vector",
    "boundary",
    "augmentation",
)
SMALL: Any = Nn(epochs=1, pairs=300)


@pytest.fixture(scope="module")
def null() -> dict[str, Any]:
    """The same answers, judged under one membership matrix after another: the true AUC is 0.5."""
    arrays = world(0.0, split(records=300, models=8)).arrays
    named = {**{name: make(Part(name, {})) for name in NAMES}, "nn": SMALL}
    inside = dict.fromkeys(named, 0)
    out: dict[str, Any] = {
        "crossed": [],
        "plain": [],
        "balanced": [],
        "peeking": [],
        "inside": inside,
    }
    for run in range(RUNS):
        drawn = split(records=300, models=8, seed=1000 + run)
        signals = Signals(drawn, world(0.0, drawn).labels, arrays)
        scores = {}
        for name, attack in named.items():
            verdicts = trial.verdicts(attack, name, signals, range(TARGETS), (run,))
            scores[name] = np.stack([v.scores for v in verdicts])
            out["balanced"] += [
                v.line["balanced_accuracy"]
                for v in verdicts
                if v.line["balanced_accuracy"] is not None
            ]
        member = drawn.member[drawn.targets]
        summary = maximum.summarise(scores, member, drawn.judged, drawn.half, list(named))
        for name, mean in summary.attacks.items():
            assert mean.rate.lo is not None and mean.rate.hi is not None
            inside[name] += mean.rate.lo <= 0.5 <= mean.rate.hi
        assert summary.max_attack is not None
        out["crossed"].append(summary.max_attack.value)
        out["plain"].append(summary.plain_max_auc)
        on = drawn.judged[0]
        # broken on purpose: from the target itself
        best = metrics.best_threshold(scores["loss"][0, on], member[0, on])
        out["peeking"].append(
            metrics.at_threshold(scores["loss"][0, on], member[0, on], best).balanced_accuracy
        )
    return out


def away(values: Any) -> float:
    """By how many standard errors the mean is above 0.5."""
    values = np.asarray(values, float)
    return float((values.mean() - 0.5) / (values.std(ddof=1) / np.sqrt(len(values))))


def test_intervals_cover_the_truth(null: dict[str, Any]) -> None:
    low, high = binom.interval(1 - 0.05 / len(null["inside"]), RUNS, 0.95)
    assert all(low <= hits <= high for hits in null["inside"].values()), null["inside"]
    assert 0.92 <= sum(null["inside"].values()) / RUNS / len(null["inside"]) <= 0.98


def test_the_cross_fitted_maximum_is_not_flattered_and_the_plain_one_is(
    null: dict[str, Any],
) -> None:
    assert abs(away(null["crossed"])) < 3
    assert away(null["plain"]) > 5


def test_thresholds_from_shadows_give_half_and_one_from_the_target_does_not(
    null: dict[str, Any],
) -> None:
    assert abs(away(null["balanced"])) < 3
    assert away(null["peeking"]) > 5


# ---- broken on purpose -------------------------------------------------------------------------


def judged(attack: Attack, signals: Signals) -> list[trial.Verdict]:
    return trial.verdicts(attack, "broken", signals, range(TARGETS), (0,))


def test_a_flipped_sign_is_seen() -> None:
    """Law A1 is one-sided, and nothing folds an AUC: a flipped attack reports what it is, below
    one half.
    """

    class Flipped(Loss):
        def score(self, view: View, rng: Rng) -> Array:
            return -super().score(view, rng)

    for verdict in judged(Flipped(), world(1.0)):
        assert verdict.line["auc"] is not None and verdict.line["auc"] < 0.1


def test_five_percent_of_nan_is_an_error() -> None:
    class Broken(Loss):
        def score(self, view: View, rng: Rng) -> Array:
            scores = super().score(view, rng).copy()
            scores[::20] = np.nan
            return scores

    with pytest.raises(ScoreError, match="24 of 480 scores are not finite"):
        judged(Broken(), world(1.0))


def test_a_leaked_membership_is_seen() -> None:
    """On sealed signals, the only way above one half is to know the answer."""
    sealed = world(0.0)
    signals = replace(sealed, arrays={**sealed.arrays, "truth": sealed.split.member})

    @dataclass(frozen=True)
    class Leaking(Attack):
        def traits(self) -> attacks.Traits:
            return attacks.Traits(needs={"logits", "truth"})

        def score(self, view: View, rng: Rng) -> Array:
            noise: Array = rng.normal(size=len(view.asked))
            return noise + 0.5 * view.target["truth"][view.asked]

    line = judged(Leaking(), signals)[0].line
    assert line["auc_lo"] is not None and line["auc_lo"] > 0.5


POINT = """
name: broken
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 6, targets: 2, reserve: 0.2}}
defenses: [[confidence_penalty: {alpha: 1.0}]]
attacks: [loss]
training: {epochs: 3, lanes: 2}
"""


def exchanged(monkeypatch: pytest.MonkeyPatch, folder: Path) -> bool:
    """Whether the first target says the same as a target and as a shadow of the second one, as
    targets and shadows must.
    """
    file = sweep.parse(POINT)
    data = load_data(file.dataset, 0)
    views: list[View] = []
    honest = Loss.score

    def look(self: Loss, view: View, rng: Rng) -> Array:
        views.append(view)
        return honest(self, view, rng)

    monkeypatch.setattr(Loss, "score", look)
    row = trial.attempt(file.point(0, {}, 0, data), data, folder)
    assert row.state == "done", row.reason
    first, second = (v for v in views if len(v.shadows["logits"]) == 4)
    return any(
        np.array_equal(first.target["logits"], shadow) for shadow in second.shadows["logits"]
    )


def test_shadows_trained_without_the_defense_are_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert exchanged(monkeypatch, tmp_path / "honest")
    original = Signals.view

    def undefended(self: Signals, t: int, needs: Any, known: bool, _: Any, order: Any) -> View:
        plain = Signals(self.split, self.labels, {n: a * 1.5 for n, a in self.arrays.items()})
        return original(self, t, needs, known, plain, order)

    monkeypatch.undo()
    monkeypatch.setattr(Signals, "view", undefended)
    assert not exchanged(monkeypatch, tmp_path / "broken")


# ---- collapse ----------------------------------------------------------------------------------


def collapsing(times: int) -> tuple[Any, list[int]]:
    """`nn`, whose first `times` networks say the same of every record."""
    built: list[int] = []

    class Collapsing(Nn):
        def network(self, inputs: int) -> Any:
            network = super().network(inputs)
            built.append(1)
            if len(built) <= times:
                for parameter in network.parameters():
                    parameter.data.zero_()  # no gradient reaches beyond dead units
            return network

    return Collapsing(epochs=15, pairs=1500), built


def test_a_collapsed_network_is_trained_again() -> None:
    signals = world(1.0)
    attack, built = collapsing(1)
    (found,) = attack.score_all([signals.view(0, {"logits"})], [stream(0)])
    view = signals.view(0, {"logits"})
    assert len(built) == 2 and found.note == ""
    assert (
        metrics.auc(found.scores, signals.split.member[signals.split.targets[0], view.asked]) > 0.75
    )


def test_one_that_stays_collapsed_is_flagged() -> None:
    attack, built = collapsing(99)
    verdicts = judged(attack, world(1.0))
    assert len(built) == 3 * TARGETS
    assert [v.note for v in verdicts] == ["still without power after 3 trainings"] * 2
    assert [v.line["auc"] for v in verdicts] == [0.5, 0.5]


def test_where_there_is_nothing_to_see_no_network_is_trained_again() -> None:
    attack, built = collapsing(0)
    verdicts = judged(replace(attack, epochs=2), world(0.0, seed=1))
    assert len(built) <= 2 * TARGETS and not any(v.note for v in verdicts)


def test_a_network_that_sees_far_less_than_its_answers_show_is_flagged() -> None:
    """Broken on purpose: noise drowns what it reads, so that it finds something, and less than
    half of the log-odds' power.
    """

    class Dim(Nn):
        def inputs(self, said: dict[str, Array], label: Array) -> Array:
            own: Array = said["logits"][np.arange(len(label)), label]
            return (own + np.random.default_rng(0).normal(size=len(own)) * 15)[:, None] / 15

    verdicts = judged(Dim(epochs=15, pairs=3000), world(1.0))
    assert all(0.55 < (v.line["auc"] or 0) < 0.8 for v in verdicts)
    assert [v.note for v in verdicts] == ["still without power after 3 trainings"] * 2


def test_a_network_without_the_label_is_not_asked_for_what_only_the_label_tells() -> None:
    """Members have their label on top, the others any class: sorted, the logits are the same."""
    drawn = split(models=6)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, drawn.member.shape[1])
    logits = np.sort(rng.normal(size=(*drawn.member.shape, 5)))[..., ::-1]
    first = np.where(drawn.member, label, rng.integers(0, 5, drawn.member.shape))
    place = (np.arange(5) - first[..., None]) % 5
    signals = Signals(drawn, label, {"logits": np.take_along_axis(logits, place, -1)})
    assert (
        metrics.auc(
            signals.view(0, {"logits"}).log_odds[drawn.judged[0]], drawn.member[0, drawn.judged[0]]
        )
        > 0.75
    )
    for verdict in judged(NnSorted(epochs=5, pairs=2000), signals):
        assert verdict.note == "" and 0.4 < (verdict.line["auc"] or 0) < 0.6


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("[salem, salem: {counts: false}]", "each attack once"),
        ("[loss, loss: {threshold: shadow}]", "each attack once"),
        ("[class_vector: {pairs: -5}]", "at least 0"),
        ("[top_three: {pairs: -1}]", "at least 0"),
        ("[nn: {pairs: -1}]", "at least 0"),
    ],
)
def test_what_could_not_run_is_refused_when_the_file_is_loaded(bad: str, why: str) -> None:
    with pytest.raises(SweepError, match=why):
        sweep.parse(POINT.replace("[loss]", bad))


def test_slices_has_no_population_and_no_reserve_is_recommended() -> None:
    text = POINT.replace("{coin: {models: 6, targets: 2, reserve: 0.2}}", "slices")
    with pytest.raises(SweepError, match="no population is set aside") as found:
        sweep.parse(text.replace("[loss]", "[population]"))
    assert "raise" not in str(found.value)


def test_known_members_count_by_name_only() -> None:
    named, all_ = (
        sweep.parse(POINT.replace("[loss]", "[loss, salem]")),
        sweep.parse(POINT.replace("[loss]", "all")),
    )
    assert [attacks.traits(p).counts for p in named.attacks] == [True, True]
    counted = {p.name: attacks.traits(p).counts for p in all_.attacks}
    assert (
        not any(counted[n] for n in ("salem", "nn_fused", "distance_to_confident"))
        and counted["loss"]
        and counted["nn"]
    )
    again = [attacks.column(p) for p in all_.attacks if "[" in attacks.column(p)]
    assert again == [
        "lira[variance=bayes]",
        "lira[mode=online,variance=bayes]",
        "lira[mode=online,variance=shrunken,centre=mean]",
        "rmia[mode=online,trim=0.2]",
    ]
