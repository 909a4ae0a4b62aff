"""Attacks that learn: networks trained on (record, shadow) pairs by the same `fit` as the models that they attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from raymia.attack import Attack, Rng
from raymia.schedule import Training
from raymia.signals import View

if TYPE_CHECKING:
    from raymia.modules import Network

Array = np.ndarray[Any, Any]
NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Learned(Attack):
    """An attack with a network that answers "member or not" from what one model says of one record.

    Subclasses say what it reads (`inputs`), its network and its training. The networks of all targets are trained in one fused
    group. At most `pairs` pairs are drawn (0: all, as in the papers).
    """

    wants: ClassVar[frozenset[str]] = frozenset({"out_shadows"})
    threshold: ClassVar[float | None] = 0.5
    fused: ClassVar[bool] = True

    pairs: int = 20_000

    def inputs(self, log_p: Array, label: Array) -> Array:
        """Log-probabilities [P, C] and labels [P] -> features [P, F]."""
        raise NotImplementedError

    def network(self, inputs: int) -> Network:
        """Features [B, F] -> two logits, the second for "member"."""
        raise NotImplementedError

    def training(self) -> Training:
        raise NotImplementedError

    def score(self, view: View, rng: Rng) -> Array:
        return self.score_all([view], [rng])[0]

    def score_all(self, views: Sequence[View], rngs: Sequence[Rng]) -> list[Array]:
        """The probability of "member" for each target's asked records."""
        features, members = [], []
        for view, rng in zip(views, rngs, strict=True):
            shadow, record = draw_pairs(view, self.pairs, rng)
            features.append(self.inputs(view.shadow_log_p[shadow, record], view.labels[record]))
            members.append(view.member[shadow, record])
        seeds = [int(rng.integers(2**62)) for rng in rngs]
        asked = [self.inputs(view.log_p[view.asked], view.labels[view.asked]) for view in views]
        return learn(self, features, members, seeds, asked)


def learn(
    attack: Learned, features: Sequence[Array], members: Sequence[Array], seeds: Sequence[int], asked: Sequence[Array]
) -> list[Array]:
    """One network a target, trained on features [P, F] and members [P] -> its probability of "member" for `asked` [A, F]."""
    import torch

    from raymia.defense import Lesson, Recipe
    from raymia.training import fit, predict

    torch.set_num_threads(1)
    edges = np.cumsum([0, *(len(f) for f in features)])
    lesson = Lesson(
        x=torch.tensor(np.concatenate(features), dtype=torch.float32),
        y=torch.tensor(np.concatenate(members), dtype=torch.int64),
        members=tuple(np.arange(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)),
        reference=(NOTHING,) * len(features),
        classes=2,
    )
    models = fit(Recipe(), lambda: attack.network(features[0].shape[1]), lesson, attack.training(), ("attacker",), seeds)
    logits = [predict(m, torch.tensor(x, dtype=torch.float32)).astype(np.float64) for m, x in zip(models, asked, strict=True)]
    return [1 / (1 + np.exp(z[:, 0] - z[:, 1])) for z in logits]


def draw_pairs(view: View, most: int, rng: Rng) -> tuple[Array, Array]:
    """(shadow, column) of every pair that may be fitted, at most `most` of them (0: all), members and non-members alike.

    Ordered by record id, so that permuting the records changes nothing.
    """
    shadow, column = np.nonzero(view.fit)
    order = np.lexsort((shadow, view.records[column]))
    shadow, column = shadow[order], column[order]
    if most and len(shadow) > most:
        chosen = np.sort(rng.permutation(len(shadow))[:most])
        shadow, column = shadow[chosen], column[chosen]
    return shadow, column


def perceptron(inputs: int, sizes: Sequence[int], dropout: float = 0.0, last_activation: bool = True) -> Network:
    """Linear-ReLU-Dropout of the given sizes, then two logits."""
    from torch import nn

    from raymia.modules import Dropout, classifier

    layers: list[Any] = []
    for i, size in enumerate(sizes):
        layers.append(nn.Linear(inputs, size))
        if i < len(sizes) - 1 or last_activation:
            layers += [nn.ReLU(), *([Dropout(dropout)] if dropout else [])]
        inputs = size
    return classifier(nn.Sequential(*layers), inputs, 2)
