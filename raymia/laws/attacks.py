"""Laws that every attack keeps, whoever wrote it.

def test_mine() -> None:
    attacks.check("mine")

They are checked on synthetic signals that leak, or do not leak, their members: nothing is trained
but what the attack itself trains.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from raymia.attack.attack import OF_A_DEFENSE, Attack, column, make
from raymia.attack.learned import Learned
from raymia.laws.law import check_all, holds
from raymia.laws.synthetic import Array, permuted, world
from raymia.point import catalog
from raymia.point.space import Part
from raymia.signals.view import OWNERS, Signals, View
from raymia.streams import stream
from raymia.trial.judge import verdicts
from raymia.verdict import metrics

Knobs = Mapping[str, Any]
MAY_WANT = {"in_shadows", "out_shadows", "population", "images", *OF_A_DEFENSE}


@cache
def signals(where: str) -> Signals:
    """`leaky`: members are plain to see; `sealed`: nothing depends on membership."""
    return world(1.0) if where == "leaky" else world(0.0, seed=1)


def scores(attack: Attack, of: Signals) -> list[Array]:
    """Of every target [S], through the same calls as a trial."""
    return [one.scores for one in verdicts(attack, "law", of, range(len(of.split.targets)), (0, 0))]


def hurried(part: Part, pairs: int = 300, share: float = 0.0) -> Attack:
    """The attack; if it learns, on few pairs, and for one epoch where the law is about equality."""
    attack: Any = make(part)
    if not isinstance(attack, Learned):
        return make(part)
    epochs = max(1, int(share * attack.training(pairs).epochs))
    hurry: Attack = replace(attack, epochs=epochs, pairs=pairs)  # type: ignore[call-arg]
    return hurry


@cache
def _found(part: Part, where: str, quick: bool) -> list[Array]:
    return scores(hurried(part) if quick else hurried(part, 1500, 1), signals(where))


def _asked(part: Part, where: str) -> Iterator[tuple[Array, Array]]:
    """(score, member) of every target on the records that the attack was asked."""
    split = signals(where).split
    for score, m in zip(_found(part, where, False), split.targets, strict=True):
        on = np.isfinite(score)
        yield score[on], split.member[m, on]


def _view(of: Signals, part: Part, t: int = 0) -> View:
    traits = make(part).traits()
    return of.view(t, traits.needs, traits.informed)


def _equal(a: Array, b: Array, seen: str) -> None:
    holds(np.array_equal(a, b, equal_nan=True), seen)


def it_sees_what_leaks(name: str, knobs: Knobs) -> None:
    """A1: where members are plain to see, its AUC is above 0.9 on every target."""
    for score, member in _asked(Part(name, knobs), "leaky"):
        found = metrics.auc(score, member)
        holds(found > 0.9, f"an AUC of {found:.3f}")


def it_says_nothing_of_what_is_sealed(name: str, knobs: Knobs) -> None:
    """A2: where nothing depends on membership, 0.5 lies in its interval (99.99%)."""
    for score, member in _asked(Part(name, knobs), "sealed"):
        found = metrics.auc(score, member)
        low, high = metrics.interval(found, metrics.influence(score, member), level=0.9999)
        holds(low <= 0.5 <= high, f"an AUC of {found:.3f} [{low:.3f}, {high:.3f}]")


def permuting_records_permutes_scores(name: str, knobs: Knobs) -> None:
    """A3: in another order of the records each has the score that it had."""
    part, leaky = Part(name, knobs), signals("leaky")
    order = np.random.default_rng(3).permutation(len(leaky.labels))
    moved = scores(hurried(part), permuted(leaky, order))
    for before, after in zip(_found(part, "leaky", True), moved, strict=True):
        same = np.allclose(after, before[order], rtol=1e-4, atol=1e-5, equal_nan=True)
        holds(same, f"they differ by {np.nanmax(abs(after - before[order])):g}")


def the_same_stream_gives_the_same_scores(name: str, knobs: Knobs) -> None:
    """A4: nothing but its stream is random, and nobody else's randomness is used."""
    part, leaky = Part(name, knobs), signals("leaky")
    again = scores(hurried(part), leaky)
    for before, after in zip(_found(part, "leaky", True), again, strict=True):
        _equal(before, after, "other scores at a second call")
    np.random.seed(7)
    state = np.random.get_state(legacy=False)["state"]["key"]
    hurried(part).score(_view(leaky, part), stream(1))
    _equal(
        np.random.get_state(legacy=False)["state"]["key"],
        state,
        "numpy's global generator was used",
    )


def it_reads_what_it_asked_for_and_changes_nothing(name: str, knobs: Knobs) -> None:
    """A5: what it did not ask for may be anything, and what it reads is as it was."""
    part, leaky = Part(name, knobs), signals("leaky")
    needs = make(part).traits().needs
    own = {
        n: a for n, a in leaky.arrays.items() if any(n == q or n.startswith(f"{q}_") for q in needs)
    }
    holds(own, f"it asks for {sorted(needs)}, of which there is nothing")
    poisoned = {n: a.copy() if n in own else a * np.nan for n, a in leaky.arrays.items()}
    other = Signals(leaky.split, leaky.labels, poisoned)
    for before, after in zip(
        _found(part, "leaky", True), scores(hurried(part), other), strict=True
    ):
        _equal(before, after, "it reads what it did not ask for")
    for key, array in own.items():
        _equal(poisoned[key], array, f"{key} was changed")
    view = leaky.view(0, needs)
    holds(
        set(view.target) == set(own) - OWNERS and set(view.shadows) == set(own),
        "a view holds something else",
    )
    given = (*view.target.values(), view.member, view.fit, view.out, view.labels, view.asked)
    holds(not any(a.flags.writeable for a in given), "a view can be written")


def the_targets_membership_is_out_of_reach(name: str, knobs: Knobs) -> None:
    """A6: another draw of the target's members changes no score of the same answers, nor does what
    only the target's owner can ask.
    """
    part, leaky = Part(name, knobs), signals("leaky")
    split, informed = leaky.split, make(part).traits().informed
    for t, m in enumerate(split.targets):
        free = split.judged[t] & ~(split.known[t] if informed else False)
        rows = split.member.copy()
        rows[m, free] = np.random.default_rng(m).permutation(rows[m, free])
        rows[split.twin[m]] = ~rows[m]
        arrays = {name: leaky.arrays[name].copy() for name in OWNERS}
        for array in arrays.values():
            array[m] = np.nan
        other = Signals(replace(split, member=rows), leaky.labels, {**leaky.arrays, **arrays})
        one = hurried(part).score(_view(other, part, t), stream(t))
        _equal(one, hurried(part).score(_view(leaky, part, t), stream(t)), f"target {t} shows it")


def known_records_are_never_asked(name: str, knobs: Knobs) -> None:
    """An attack that is shown some members is not judged on them; any other is shown none."""
    part, leaky = Part(name, knobs), signals("leaky")
    informed = make(part).traits().informed
    for t in range(len(leaky.split.targets)):
        view = _view(leaky, part, t)
        both = set(view.asked.tolist()) & set(view.known.tolist())
        holds(not both, f"target {t}: asked of {len(both)} records that it was shown")
        holds(bool(len(view.known)) == informed, f"{len(view.known)} records are shown")


def it_names_its_source_and_what_it_wants(name: str, knobs: Knobs) -> None:
    """It says what it is and where it comes from; an informed one is not of the standard ones."""
    cls, traits = catalog.find("attacks", name), make(Part(name, knobs)).traits()
    holds(catalog.summary(cls) and catalog.source(cls), "no summary, or no Source:")
    holds(cls.cite.startswith("@") and cls.revision >= 1, "no BibTeX, or no revision")
    holds(traits.wants <= MAY_WANT, f"it wants {sorted(traits.wants - MAY_WANT)}")
    plain = make(Part(name, {})).traits()
    holds(not (plain.informed and cls.standard), "standard, and shown some members")
    holds(column(Part(name, knobs)).startswith(name), column(Part(name, knobs)))


LAWS = (
    it_sees_what_leaks,
    it_says_nothing_of_what_is_sealed,
    permuting_records_permutes_scores,
    the_same_stream_gives_the_same_scores,
    it_reads_what_it_asked_for_and_changes_nothing,
    the_targets_membership_is_out_of_reach,
    known_records_are_never_asked,
    it_names_its_source_and_what_it_wants,
)


def check(name: str, knobs: Knobs | None = None) -> None:
    """All laws of attacks for one of the catalogue, with these arguments. Raises LawBroken."""
    check_all(LAWS, name, knobs or {})
