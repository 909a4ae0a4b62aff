"""What the models say of the records, and the view of it that an attack on one target gets.
numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from raymia.records.split import AUDITED, POPULATION, Bools, Ints, Split

Array = np.ndarray[Any, Any]
ACTED = "acted"  # what is asked of a model beside its answers: what its recipe did
# what only a model's owner can ask: nobody is shown it of a target
OWNERS = frozenset({"split_ai"})


@dataclass(frozen=True, eq=False)
class Said:
    """What all models said, arrays [M, S, ...] by name, and what is computed of them once for
    all attacks.
    """

    arrays: Mapping[str, Array]
    labels: Ints

    @cached_property
    def log_odds(self) -> Array:
        """Log-odds of the true class, float64 [M, S]."""
        return np.stack([log_odds(one, self.labels) for one in self.arrays["logits"]])


class Answers(Mapping[str, Array]):
    """What one model (int), a target, or several [K] said, of what an attack asked, with the
    records in the order of the view: taken when it is read, read-only.
    """

    def __init__(self, said: Said, names: Sequence[str], models: int | Ints, order: Ints) -> None:
        if isinstance(models, int):
            names = [name for name in names if name not in OWNERS]
        self._said, self._names, self._models = said, tuple(names), models
        self._order, self._taken = order, dict[str, Array]()

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(f"{name!r} was not asked for; there is {', '.join(self._names)}")
        if name not in self._taken:
            self._taken[name] = self._of(self._said.arrays[name])
        return self._taken[name]

    def at(self, name: str, models: int | Ints, records: Ints) -> Array:
        """`self[name][models, records]` of several models, without a copy of all that they said."""
        assert not isinstance(self._models, int)
        if name not in self._names:
            raise KeyError(f"{name!r} was not asked for; there is {', '.join(self._names)}")
        return np.asarray(self._said.arrays[name][self._models[models], self._order[records]])

    def _of(self, array: Array) -> Array:
        models = self._models if isinstance(self._models, int) else self._models[:, None]
        return _sealed(array[models, self._order])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def log_odds(self) -> Array:
        if "logits" not in self._names:
            raise KeyError("'logits' was not asked for")
        return self._of(self._said.log_odds)

    def take(self, rows: int | Ints) -> Answers:
        """Of several models, these; or one as a target."""
        assert not isinstance(self._models, int)
        models = self._models[rows]
        return Answers(
            self._said, self._names, int(models) if isinstance(rows, int) else models, self._order
        )


def _sealed(array: Array) -> Array:
    array = array.view()
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class View:
    """Everything that an attack on one target may know; the target's own row of the membership
    matrix is not in it.

    Shapes: S records, in an order that a trial draws (under `official` a record's number is its
    membership), K shadows, A asked. `labels` [S]; `target` and `shadows`: what they said, by name,
    [S, ...] and [K, S, ...]; `member` [K, S]: which shadow trained on what; `fit` [K, S]: where an
    attack may be fitted; `out` [K, S]: shadows that can stand for a model without the record;
    `population` [S]; `asked` [A]: the records to score; `known` [Q] records and `known_member`
    [Q], empty unless the attack declares `known_members`.
    """

    labels: Ints
    target: Answers
    shadows: Answers
    member: Bools
    fit: Bools
    out: Bools
    population: Bools
    asked: Ints
    twin: Ints
    known: Ints
    known_member: Bools

    @cached_property
    def log_p(self) -> Array:
        """Log-probabilities of the target, float64 [S, C]."""
        return log_softmax(self.target["logits"])

    @property
    def log_odds(self) -> Array:
        """Log-odds of the true class at the target, float64 [S]: log p_y - log(1 - p_y)."""
        return self.target.log_odds

    @property
    def shadow_log_odds(self) -> Array:
        """Log-odds of the true class at the shadows, float64 [K, S]."""
        return self.shadows.log_odds

    def as_target(self, k: int) -> tuple[View, Bools]:
        """The view in which shadow k is the target, asked where it may be fitted, and its
        membership there.

        Thresholds come from here: chosen on a shadow, with the shadows that are left.
        """
        rest = np.array(
            [i for i in range(len(self.member)) if i not in (k, self.twin[k])], np.int64
        )
        asked = np.flatnonzero(self.fit[k])
        place = {int(i): n for n, i in enumerate(rest)}
        view = replace(
            self,
            target=self.shadows.take(k),
            shadows=self.shadows.take(rest),
            member=self.member[rest],
            fit=self.fit[rest],
            out=self.out[rest],
            asked=asked,
            twin=np.array([place.get(int(self.twin[i]), -1) for i in rest], np.int64),
            known=self.known[:0],
            known_member=self.known_member[:0],
        )
        return view, self.member[k, asked]


def log_softmax(logits: Array) -> Array:
    """float64, over the last axis; exact to the last digit where one class has nearly all."""
    z = logits.astype(np.float64)
    top = z.argmax(-1)[..., None]
    z -= np.take_along_axis(z, top, -1)
    others = np.exp(z)
    np.put_along_axis(others, top, 0.0, -1)
    z -= np.log1p(others.sum(-1, keepdims=True))
    return z


def log_odds(logits: Array, labels: Ints) -> Array:
    """log p_y - log sum_{c != y} p_c in float64, never infinite (a log-sum-exp over the
    others). [..., S, C] -> [..., S].
    """
    z = logits.astype(np.float64)
    rows = np.arange(len(labels))
    right = z[..., rows, labels]
    z[..., rows, labels] = -np.inf
    top = z.max(-1)
    z -= top[..., None]
    np.exp(z, out=z)
    return np.asarray(right - top - np.log(z.sum(-1)))


def log_truth(odds: Array) -> Array:
    """log p_y from the log-odds of y, without loss where p_y is nearly 1."""
    return np.asarray(-np.logaddexp(0.0, -odds))


@dataclass(frozen=True, eq=False)
class Signals:
    """All models' signals [M, S, ...] by name, with the split that says how they may be used;
    `records` [S]: their ids.
    """

    split: Split
    labels: Ints
    arrays: Mapping[str, Array]
    records: Ints | None = None

    @cached_property
    def said(self) -> Said:
        return Said(self.arrays, self.labels)

    def shuffled(self, rng: np.random.Generator) -> Ints:
        """An order of the records [S] that says nothing of them but which is which: the same for
        the same records, however they stand here.
        """
        drawn = rng.permutation(len(self.labels))
        return drawn if self.records is None else np.argsort(self.records, kind="stable")[drawn]

    def view(
        self,
        t: int,
        needs: Iterable[str],
        known: bool = False,
        shadows: Signals | None = None,
        order: Ints | None = None,
    ) -> View:
        """The view of target t, with only what the attack needs. `shadows`: signals of other
        models on the same split. `order` [S]: that of the view's records.
        """
        split, m = self.split, int(self.split.targets[t])
        order = np.arange(len(self.labels)) if order is None else order
        models = np.flatnonzero(split.shadows[t])
        names = [
            n for n in self.arrays if any(n == need or n.startswith(f"{need}_") for need in needs)
        ]
        judged = split.judged[t] & ~(split.known[t] if known else False)
        shown = np.flatnonzero(split.known[t][order]) if known else np.zeros(0, np.int64)
        place = {int(i): k for k, i in enumerate(models)}
        free = (split.role == AUDITED) | (split.role == POPULATION)
        rows = models[:, None]
        return View(
            labels=_sealed(self.labels[order]),
            target=Answers(self.said, names, m, order),
            shadows=Answers((shadows or self).said, names, models, order),
            member=_sealed(split.member[rows, order]),
            fit=_sealed(split.fit[rows, order]),
            out=_sealed((~split.member & ~split.held & free)[rows, order]),
            population=_sealed((split.role == POPULATION)[order]),
            asked=_sealed(np.flatnonzero(judged[order])),
            twin=np.array([place.get(int(split.twin[i]), -1) for i in models], np.int64),
            known=shown,
            known_member=split.member[m, order[shown]],
        )
