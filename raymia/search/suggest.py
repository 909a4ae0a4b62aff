"""What to try next: suggestion i is a function of the sweep, its seed, i, and the rows at least
`lag` before i.

That is all there is to resume: no state of a searcher is kept. A study is made afresh for every
suggestion from the rows 0..i-lag and, as constant-liar peers, the knobs of the rows
i-lag+1..i-1; whether those have finished makes no difference. Making it takes time for each
row, and so does the sampler: of more than 500 rows it is told the last 500, and of those before
them the ones on their front. A suggestion then takes as long after 10,000 rows as after 500.
"""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raymia.errors import EnvironmentFault
from raymia.point import columns
from raymia.point.objectives import OBJECTIVES
from raymia.point.space import Choice, Domain, Part, Range, Scalar
from raymia.results.row import Row
from raymia.streams import seed_of
from raymia.study.sweep import Sweep
from raymia.verdict.front import Values, front

# rows with an outcome that a sampler is told of, beside the front of those before them
_WINDOW = 500


@dataclass(frozen=True)
class Outcome:
    """What the search learns of a row: its value of each objective; None where the row has
    nothing to say of it.

    That is so in a row that failed or is invalid, and where a number is missing.
    """

    values: Values = (None, None)

    @property
    def known(self) -> bool:
        return all(value is not None and math.isfinite(value) for value in self.values)

    @classmethod
    def of(cls, row: Row) -> "Outcome":
        return cls(row.values)


@dataclass(frozen=True)
class Suggestion:
    """An arm of the sweep, its free knobs, and how many earlier suggestions were the same
    recipe.
    """

    arm: int
    knobs: Mapping[str, Scalar]
    replicate: int = 0


class Suggestions:
    """The suggestions of one sweep, in order.

    `known` are those that stand in written rows: they are final, taken as they are instead of
    being derived again.
    """

    def __init__(self, sweep: Sweep, known: Mapping[int, Suggestion] | None = None) -> None:
        self._sweep = sweep
        self._known = dict(known or {})
        self._made: list[Suggestion] = []
        self._seen: Counter[tuple[Part, ...]] = Counter()
        self._prefix = 0  # the rows before this one have been seen finished

    def ready(self, index: int, outcomes: Mapping[int, Outcome]) -> bool:
        """Whether every row that suggestion `index` depends on is there."""
        while self._prefix in outcomes:
            self._prefix += 1
        return self._prefix > index - self._sweep.search.lag

    def suggest(self, index: int, outcomes: Mapping[int, Outcome]) -> Suggestion:
        """Suggestion `index`. Raises LookupError where a row that it depends on is missing."""
        while len(self._made) <= index:
            i = len(self._made)
            self._made.append(self._known[i] if i in self._known else self._next(i, outcomes))
            self._seen[self._sweep.recipe(self._made[i].arm, self._made[i].knobs)] += 1
        return self._made[index]

    def _next(self, index: int, outcomes: Mapping[int, Outcome]) -> Suggestion:
        if not self.ready(index, outcomes):
            raise LookupError(
                f"suggestion {index} needs the rows 0 to {index - self._sweep.search.lag}"
            )
        number, again = divmod(index, self._sweep.search.repeats)
        if again:
            before = self._made[index - again]
            arm, knobs = before.arm, dict(before.knobs)
        elif number < len(self._sweep.arms):
            arm, knobs = number, self._sweep.default(number)
        else:
            arm, knobs = self._sample(index, outcomes)
        recipe = self._sweep.recipe(arm, knobs)
        # Of two arms that hold the same recipe the first one has it: a row does not say which
        # arm proposed it.
        arm, knobs = locate(self._sweep, recipe)
        return Suggestion(arm, knobs, self._seen[recipe])

    def _sample(self, index: int, outcomes: Mapping[int, Outcome]) -> tuple[int, dict[str, Scalar]]:
        """Ask Optuna, knowing the rows 0..index-lag and the knobs of those after them."""
        import optuna

        told = index - self._sweep.search.lag + 1
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it logs every study to stderr
        try:
            with warnings.catch_warnings():
                # it means `group`
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study = optuna.create_study(
                    directions=[o.direction for o in OBJECTIVES],
                    sampler=_sampler(self._sweep, index),
                )
                # which looks at no row, and so takes no time for them
                if self._sweep.search.sampler != "random":
                    study.add_trials(
                        [
                            self._frozen(i, outcomes[i] if i < told else None)
                            for i in self._shown(told, outcomes)
                        ]
                    )
                trial = study.ask()
                arm = trial.suggest_categorical("arm", range(len(self._sweep.arms)))
                drawn = _draw(trial, self._domains[arm])
        finally:
            optuna.logging.set_verbosity(verbosity)
        return arm, {key: drawn[name(arm, key)] for key in self._sweep.space(arm)}

    def _shown(self, told: int, outcomes: Mapping[int, Outcome]) -> list[int]:
        """The rows that the sampler learns of, of which the first `told` have an outcome for it."""
        first = max(0, told - _WINDOW)
        return [*_front({i: outcomes[i] for i in range(first)}), *range(first, len(self._made))]

    def _frozen(self, index: int, outcome: Outcome | None) -> Any:
        """A trial for the study: finished, failed, or (no outcome) still running."""
        from optuna.trial import TrialState, create_trial

        suggestion = self._made[index]
        told = outcome is not None and outcome.known
        return create_trial(
            state=TrialState.RUNNING
            if outcome is None
            else TrialState.COMPLETE
            if told
            else TrialState.FAIL,
            params={"arm": suggestion.arm}
            | {name(suggestion.arm, k): v for k, v in suggestion.knobs.items()},
            distributions={"arm": self._arms} | self._domains[suggestion.arm],
            values=list(outcome.values) if outcome is not None and told else None,
        )

    @cached_property
    def _arms(self) -> Any:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(tuple(range(len(self._sweep.arms))))

    @cached_property
    def _domains(self) -> list[dict[str, Any]]:
        """Of each arm: the name of a free knob in the study -> its distribution."""
        spaces = [self._sweep.space(arm) for arm in range(len(self._sweep.arms))]
        return [
            {name(arm, key): distribution(d) for key, d in space.items()}
            for arm, space in enumerate(spaces)
        ]


def _front(outcomes: Mapping[int, Outcome]) -> list[int]:
    """The rows that no other beats, in order; of equal ones the first."""
    rows = sorted(outcomes)
    return sorted(rows[i] for i in front([outcomes[row].values for row in rows]))


def locate(sweep: Sweep, recipe: Sequence[Part]) -> tuple[int, dict[str, Scalar]]:
    """The first arm that holds a recipe, and its free knobs there. Raises EnvironmentFault
    where none does.
    """
    values = {
        columns.knob(part.name, knob): value
        for part in recipe
        for knob, value in part.knobs.items()
    }
    for index, arm in enumerate(sweep.arms):
        spelled = {
            columns.knob(part.name, knob): value
            for part in arm
            for knob, value in part.knobs.items()
        }
        same = [p.name for p in arm] == [p.name for p in recipe] and spelled.keys() == values.keys()
        if same and all(_holds(spelled[key], values[key]) for key in values):
            return index, {key: values[key] for key in sweep.space(index)}
    named = " + ".join(f"{p.name} {dict(p.knobs)}" for p in recipe) or "none"
    raise EnvironmentFault(
        f"the results folder holds a trial of {named}, which is in no arm of this sweep"
    )


def _holds(spelled: Any, value: Any) -> bool:
    if isinstance(spelled, Range):
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and spelled.low <= value <= spelled.high
        )
    allowed = spelled.options if isinstance(spelled, Choice) else (spelled,)
    return any(
        value == option and isinstance(value, bool) == isinstance(option, bool)
        for option in allowed
    )


def _sampler(sweep: Sweep, index: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    # as many bits as numpy's RandomState takes
    seed = seed_of(sweep.search.seed, "suggest", index) % 2**32
    if sweep.search.sampler == "random":
        return RandomSampler(seed=seed)
    # 5 random draws instead of Optuna's 10: 0.3 to 17% more hypervolume on toys of 2 to 6 knobs
    # at 24 and 64 trials, lag 8.
    return TPESampler(
        multivariate=True, group=True, constant_liar=True, n_startup_trials=5, seed=seed
    )


def name(arm: int, key: str) -> str:
    """The name of an arm's knob in a study."""
    # Two arms may give one knob two ranges; the number keeps them apart.
    return f"{arm}.{key}"


def distribution(domain: Domain) -> Any:
    """Optuna's word for a domain."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.options)
    # as `sweep` spells the range of a whole number
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def _draw(trial: Any, domains: Mapping[str, Any]) -> dict[str, Scalar]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    drawn: dict[str, Scalar] = {}
    for name, d in domains.items():
        if isinstance(d, CategoricalDistribution):
            drawn[name] = trial.suggest_categorical(name, d.choices)
        elif isinstance(d, IntDistribution):
            drawn[name] = trial.suggest_int(name, d.low, d.high, log=d.log)
        else:
            drawn[name] = trial.suggest_float(name, d.low, d.high, log=d.log)
    return drawn
