"""A suggestion is a function of the rows that it may see: not of workers, order of completion,
or kills.
"""

import dataclasses
import random
import warnings
from typing import Any

import optuna
import pytest

from raymia.errors import EnvironmentFault
from raymia.point.space import Choice, Part, Range, Scalar
from raymia.results.row import Row
from raymia.search import suggest as search
from raymia.search.suggest import Outcome, Suggestion, Suggestions, locate
from raymia.study.sweep import Resources, Search, Sweep
from raymia.verdict.front import hypervolume


@dataclasses.dataclass(frozen=True)
class Toy(Sweep):
    """A sweep whose arms need no catalogue."""

    def default(self, arm: int) -> dict[str, Scalar]:
        return {
            k: d.options[0] if isinstance(d, Choice) else d.low for k, d in self.space(arm).items()
        }


ARMS = (
    (),
    (Part("smooth", {"amount": Range(0.0, 1.0)}),),
    (
        Part(
            "clip",
            {
                "norm": Range(0.01, 10.0, log=True),
                "steps": Range(1, 9),
                "kind": Choice(("a", "b", None)),
            },
        ),
    ),
    (
        Part("smooth", {"amount": Range(0.5, 1.0)}),
        Part("clip", {"norm": 1.0, "steps": 3, "kind": "a"}),
    ),
)


def toy(arms: tuple[tuple[Part, ...], ...] = ARMS, **search: Any) -> Toy:
    part = Part("x", {})
    return Toy(
        name="toy",
        dataset=part,
        network=part,
        protocol=part,
        arms=arms,
        attacks=(),
        attacker="adaptive",
        training={},
        lanes=1,
        search=Search(**search),
        resources=Resources(),
        keep_signals="all",
        canaries={},
    )


def measure(sweep: Sweep, s: Suggestion) -> Outcome:
    """Accuracy falls and privacy rises with the amount; steps cost both; one kind fails."""
    recipe = {p.name: p.knobs for p in sweep.recipe(s.arm, s.knobs)}
    amount = float(recipe.get("smooth", {}).get("amount", 0.0))
    clip = recipe.get("clip")
    if clip and clip["kind"] is None:
        return Outcome()
    cost = 0.0 if clip is None else 0.02 * clip["steps"]
    return Outcome(
        (0.9 - 0.5 * amount**2 - cost + 0.001 * s.replicate, 0.8 - 0.25 * amount - 3 * cost)
    )


def run(
    sweep: Sweep, n: int, workers: int, order: random.Random, crash: float = 0.0
) -> list[Suggestion]:
    """A driver: `workers` trials at a time that finish in random order; it dies now and then,
    and goes on.
    """
    rows: dict[int, tuple[Suggestion, Outcome]] = {}
    while len(rows) < n:
        suggestions = Suggestions(sweep, {i: s for i, (s, _) in rows.items()})
        outcomes = {i: outcome for i, (_, outcome) in rows.items()}
        running: dict[int, Suggestion] = {}
        missing = [i for i in range(n) if i not in rows]
        while len(rows) < n and order.random() >= crash:
            while missing and len(running) < workers and suggestions.ready(missing[0], outcomes):
                running[missing[0]] = suggestions.suggest(missing[0], outcomes)
                missing.pop(0)
            done = order.choice(sorted(running))
            outcomes[done] = measure(sweep, running[done])
            rows[done] = (running.pop(done), outcomes[done])
    return [rows[i][0] for i in range(n)]


@pytest.fixture(scope="module")
def alone() -> list[Suggestion]:
    return run(toy(trials=40, lag=4), 40, 1, random.Random(0))


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
@pytest.mark.parametrize("crash", [0.0, 0.15])
def test_order_of_completion_workers_and_crashes_change_nothing(
    alone: list[Suggestion], workers: int, crash: float
) -> None:
    assert run(toy(trials=40, lag=4), 40, workers, random.Random(workers), crash) == alone


def test_another_seed_suggests_something_else(alone: list[Suggestion]) -> None:
    other = run(toy(trials=40, lag=4, seed=1), 40, 1, random.Random(0))
    assert other[: len(ARMS)] == alone[: len(ARMS)]
    assert other != alone


def test_every_arm_comes_first_at_its_defaults(alone: list[Suggestion]) -> None:
    sweep = toy()
    assert [s.arm for s in alone[: len(ARMS)]] == [0, 1, 2, 3]
    assert [dict(s.knobs) for s in alone[: len(ARMS)]] == [
        sweep.default(arm) for arm in range(len(ARMS))
    ]


def test_a_suggestion_waits_for_the_rows_before_its_lag_and_reads_no_other() -> None:
    sweep = toy(lag=4)
    first = run(sweep, 24, 1, random.Random(0))
    rows = {i: measure(sweep, s) for i, s in enumerate(first)}
    lied = {i: o if i <= 20 else Outcome((0.0, 1.0)) for i, o in rows.items()}
    known = dict(enumerate(first))

    assert Suggestions(sweep, known).suggest(24, lied) == Suggestions(sweep, known).suggest(
        24, rows
    )
    needed = {i: o for i, o in rows.items() if i <= 20}
    assert Suggestions(sweep, known).ready(24, needed)
    assert Suggestions(sweep, known).suggest(24, needed) == Suggestions(sweep, known).suggest(
        24, rows
    )

    del needed[20]
    assert not Suggestions(sweep, known).ready(24, needed)
    with pytest.raises(LookupError, match="0 to 20"):
        Suggestions(sweep, known).suggest(24, needed)


def test_the_row_at_the_lag_and_the_knobs_of_the_peers_do_count() -> None:
    sweep = toy(arms=(ARMS[1],), lag=4)
    first = run(sweep, 24, 1, random.Random(0))
    rows, known = {i: measure(sweep, s) for i, s in enumerate(first)}, dict(enumerate(first))
    usual = Suggestions(sweep, known).suggest(24, rows)
    assert Suggestions(sweep, known).suggest(24, rows | {20: Outcome((0.99, 0.5))}) != usual
    moved = known | {23: Suggestion(0, {"smooth.amount": usual.knobs["smooth.amount"]})}
    assert Suggestions(sweep, moved).suggest(24, rows) != usual


def test_of_many_rows_the_last_ones_and_the_front_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_WINDOW", 8)
    sweep = toy(arms=(ARMS[1],), lag=4)
    first = run(sweep, 24, 1, random.Random(0))
    known = dict(enumerate(first))
    rows = {i: Outcome((0.5 - 0.001 * i, 0.7)) for i in range(24)} | {
        5: Outcome((0.9, 0.8)),
        6: Outcome((0.8, 0.6)),
    }

    def next_one(changed: dict[int, Outcome]) -> Suggestion:
        return Suggestions(sweep, known).suggest(24, rows | changed)

    usual = next_one({})
    # old, and beaten before and after
    assert next_one({3: Outcome((0.4, 0.75))}) == usual == next_one({3: Outcome()})
    assert next_one({6: Outcome((0.8, 0.9))}) != usual  # old, and no longer on the front
    assert next_one({14: Outcome((0.99, 0.5))}) != usual  # one of the last eight


@pytest.mark.parametrize("workers", [1, 5])
def test_the_window_keeps_suggestions_apart_from_workers_and_crashes(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(search, "_WINDOW", 8)
    sweep = toy(trials=30, lag=4)
    assert run(sweep, 30, workers, random.Random(workers), 0.15) == run(
        sweep, 30, 1, random.Random(0)
    )


def test_an_equal_suggestion_is_the_next_replicate_even_from_another_arm() -> None:
    sweep = toy(
        arms=(
            (),
            (Part("smooth", {"amount": Choice((0.5, 1.0))}),),
            (Part("smooth", {"amount": 0.5}),),
        ),
        lag=3,
    )
    made = run(sweep, 30, 2, random.Random(3))
    spelled = [str(sweep.recipe(s.arm, s.knobs)) for s in made]
    for i, s in enumerate(made):
        assert s.replicate == spelled[:i].count(spelled[i])
    assert len({(spelled[i], s.replicate) for i, s in enumerate(made)}) == 30
    # arm 2 proposed it, arm 1 holds it too and comes first
    assert made[2] == Suggestion(1, {"smooth.amount": 0.5}, 1)


@pytest.mark.parametrize(
    "row",
    [Outcome(), Outcome((0.9, None)), Outcome((float("nan"), 0.5)), Outcome((0.9, float("inf")))],
)
def test_failed_and_unknown_rows_say_nothing(row: Outcome) -> None:
    sweep = toy(arms=(ARMS[1],), lag=2)
    known = {i: Suggestion(0, {"smooth.amount": i / 20}) for i in range(20)}
    rows = {i: measure(sweep, s) for i, s in known.items()}
    failed = Suggestions(sweep, known).suggest(20, rows | {3: row})
    assert failed == Suggestions(sweep, known).suggest(20, rows | {3: Outcome()})
    assert failed != Suggestions(sweep, known).suggest(20, rows | {3: Outcome((0.99, 0.5))})


def test_outcome_of_a_row() -> None:
    row = Row(
        trial=0,
        digest="0" * 64,
        signals="",
        state="done",
        reason="",
        point={},
        dataset="d",
        network="n",
        defense="none",
        knobs={},
        seed=0,
        models=2,
        targets=1,
        numbers={"test_accuracy": 0.75, "max_attack_auc": 0.625},
    )
    assert Outcome.of(row) == Outcome((0.75, 0.625))
    for state in ("failed", "invalid", "stopped"):
        assert not Outcome.of(dataclasses.replace(row, state=state)).known


def test_knobs_stay_in_their_domain_and_type(alone: list[Suggestion]) -> None:
    sweep = toy()
    seen = set()
    for s in alone:
        assert locate(sweep, sweep.recipe(s.arm, s.knobs)) == (s.arm, dict(s.knobs))
        seen.add(s.arm)
        if s.arm == 2:
            assert type(s.knobs["clip.steps"]) is int and type(s.knobs["clip.norm"]) is float
    assert seen == {0, 1, 2, 3}


def test_a_recipe_in_no_arm_is_an_environment_fault() -> None:
    for recipe in [
        (Part("smooth", {"amount": 1.5}),),
        (Part("other", {}),),
        (Part("smooth", {"amount": True}),),
    ]:
        with pytest.raises(EnvironmentFault, match="no arm"):
            locate(toy(), recipe)


def _quality(sampler: str, seed: int) -> float:
    """One knob trades accuracy for privacy, five only have a right value each."""
    sweep = toy(
        arms=((Part("f", {f"k{i}": Range(0.0, 1.0) for i in range(6)}),),),
        sampler=sampler,
        seed=seed,
        lag=8,
    )
    suggestions, rows = Suggestions(sweep), dict[int, Outcome]()
    for i in range(64):
        trade, *rest = (
            float(v) for v in suggestions.suggest(i, rows).knobs.values() if isinstance(v, float)
        )
        miss = sum((v - 0.15 - 0.1 * k) ** 2 for k, v in enumerate(rest))
        rows[i] = Outcome((1 - trade**2 - miss, 1 - trade + miss))
    return hypervolume([outcome.values for outcome in rows.values()])


def test_tpe_finds_a_better_front_than_random_draws() -> None:
    gains = [_quality("tpe", seed) - _quality("random", seed) for seed in range(4)]
    assert sum(gains) / 4 > 0.05, gains


def test_it_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(toy(lag=2), 16, 2, random.Random(0))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize("crash", [0.0, 0.15])
def test_every_point_is_repeated_one_replicate_after_the_other(workers: int, crash: float) -> None:
    sweep = toy(trials=30, lag=4, repeats=3)
    made = run(sweep, 30, workers, random.Random(workers), crash)
    assert made == run(sweep, 30, 1, random.Random(0))
    for i in range(0, 30, 3):
        first, *rest = made[i : i + 3]
        assert [(s.arm, s.knobs) for s in rest] == [(first.arm, first.knobs)] * 2
        assert [s.replicate for s in rest] == [first.replicate + 1, first.replicate + 2]
    assert [s.arm for s in made[: 3 * len(ARMS) : 3]] == [0, 1, 2, 3]
    assert len({str(s.knobs) for s in made[3 * len(ARMS) :: 3]}) > 3
