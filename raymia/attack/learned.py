"""Attacks that learn: networks trained on (record, shadow) pairs by the same `fit` as the
models that they attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from raymia.attack.attack import Attack, Rng, Scored, Traits
from raymia.attack.pairs import Pairs, draw_matched, draw_pairs
from raymia.lazy import modules, network, torch
from raymia.point.schedule import Training
from raymia.signals.view import View, log_odds, log_softmax
from raymia.training.defense import Batch, Clock, Defense, Lesson, cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs

Array = np.ndarray[Any, Any]
NOTHING = np.zeros(0, np.int64)
STARTS = 3  # trainings of one network, at most: the first and two more where it collapsed
HELD_OUT = 0.1  # of the records, which tell whether it did
# Powers in standard errors. Below SEEN a network tells nothing; above SURE the plain score tells
# members beyond doubt; above VERY_SURE a network must reach half of the plain score's power: one
# that sees the same reaches all of it, to within 1 or 2.
SEEN, SURE, VERY_SURE = 1.645, 3.0, 6.0


@dataclass(frozen=True)
class Learned(Attack):
    """An attack with a network that answers "member or not" from what one model says of one record.

    Subclasses say what it reads (`inputs`), its network and its training. Small networks of all
    targets are trained in one fused group. At most `pairs` pairs are drawn (0: all, as in the
    papers). The score is the log-odds of "member".

    A tenth of the records is held out of the training. A network has collapsed if it says the
    same of all of them, or finds no members among them where one number of the same answers
    does (`plain`), or less than half of what that number finds, if that is much. It is trained
    again from another seed, at most twice, and the best of them on the held-out records scores.
    If that one has collapsed too, a note in the row says so. Where a tenth would hold fewer
    than five members or non-members (of fewer than some 100 known records, say), none is held
    out, and only a constant counts as collapsed.
    """

    revision: ClassVar[int] = 4
    fused: ClassVar[bool] = True
    log_odds: ClassVar[bool] = True
    scaled: ClassVar[bool] = (
        False  # features less their mean, by their standard deviation over the drawn pairs
    )
    labelled: ClassVar[bool] = True  # the network sees the label
    squared: ClassVar[bool] = (
        False  # squared error of the probability in place of the cross-entropy
    )
    twice: ClassVar[bool] = False  # the cross-entropy of the softmax of its softmax
    # how long a perceptron's Adam remembers squared gradients; for a few hundred steps 0.99
    beta2: ClassVar[float] = 0.999

    pairs: Pairs = 20_000

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"})

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        """What a model said of P records, by name [P, ...], and their labels [P] -> features
        [P, F].
        """
        raise NotImplementedError

    def plain(self, said: dict[str, Array], label: Array) -> Array:
        """One number [P] of the same answers that tells members without learning: the least
        that the network should see.
        """
        return (
            log_odds(said["logits"], label)
            if self.labelled
            else np.asarray(log_softmax(said["logits"]).max(-1))
        )

    def by_record(self, pairs: int) -> bool:
        """Whether a perceptron's batches hold all drawn pairs of a record or none, as many members
        as others where that can be: what they have in common then cancels out of the gradient.
        """
        return False

    def network(self, inputs: int) -> Network:
        """Features [B, F] -> two logits, the second for "member"."""
        raise NotImplementedError

    def training(self, pairs: int) -> Training:
        """How it learns from so many pairs, the held-out ones included."""
        raise NotImplementedError

    def score(self, view: View, rng: Rng) -> Array:
        return self.score_all([view], [rng])[0].scores

    def score_all(self, views: Sequence[View], rngs: Sequence[Rng]) -> list[Scored]:
        """The log-odds of "member" for each target's asked records."""
        tasks = [_Task.of(self, view, rng) for view, rng in zip(views, rngs, strict=True)]
        best: dict[int, tuple[float, Array]] = {}
        left = list(range(len(tasks)))
        for _ in range(STARTS):
            seeds = [int(rngs[i].integers(2**62)) for i in left]
            for i, (power, scores) in zip(
                left, _learn(self, [tasks[i] for i in left], seeds), strict=True
            ):
                best[i] = max(
                    (power, scores), best.get(i, (-np.inf, scores)), key=lambda found: found[0]
                )
            left = [i for i in left if tasks[i].collapsed(best[i][0])]
            if not left:
                break
        notes = [
            f"still without power after {STARTS} trainings" if i in left else ""
            for i in range(len(tasks))
        ]
        return [Scored(best[i][1], note) for i, note in enumerate(notes)]


@dataclass(frozen=True, eq=False)
class _Task:
    """One target's pairs: features [P, F], members [P] and records [P] to fit, features and
    members held out, features [A, F] of the asked records.

    `plain`: the power of the attack's own plain number on the held-out pairs.
    """

    x: Array
    member: Array
    record: Array
    held: Array
    held_member: Array
    asked: Array
    plain: float

    @classmethod
    def of(cls, attack: Learned, view: View, rng: Rng) -> _Task:
        label = view.labels
        if attack.traits().informed:
            record, member = view.known, view.known_member
            said = {name: view.target[name][record] for name in view.target}
        else:
            draw = draw_matched if attack.by_record(_drawn(view, attack.pairs)) else draw_pairs
            shadow, record = draw(view, attack.pairs, rng)
            member = view.member[shadow, record]
            said = {name: view.shadows.at(name, shadow, record) for name in view.shadows}
        features = attack.inputs(said, label[record]).astype(np.float32)
        asked = attack.inputs(
            {name: view.target[name][view.asked] for name in view.target}, label[view.asked]
        )
        out = _held_out(record, member, rng)
        plain = _power(attack.plain(said, label[record])[out], member[out])
        if attack.scaled:
            centre, spread = features[~out].mean(0), features[~out].std(0)
            spread = np.where(spread > 1e-9, spread, 1.0)
            features, asked = (features - centre) / spread, (asked - centre) / spread
        return cls(
            features[~out],
            member[~out],
            record[~out],
            features[out],
            member[out],
            asked.astype(np.float32),
            plain,
        )

    @property
    def pairs(self) -> int:
        return len(self.x) + len(self.held)

    def collapsed(self, power: float) -> bool:
        """Whether a network with that power on the held-out pairs is a constant, or misses what
        the plain score tells beyond doubt.
        """
        return (
            power == -np.inf
            or (power < SEEN and self.plain > SURE)
            or VERY_SURE < self.plain > 2 * power
        )


def _held_out(record: Array, member: Array, rng: Rng) -> Array:
    """Which pairs [P] are of held-out records; none where too few are left on either side of
    either part.
    """
    ids = np.unique(record)
    out = np.isin(record, ids[rng.permutation(len(ids))[: int(HELD_OUT * len(ids))]])
    sides = [(on & (member == side)).sum() for on in (out, ~out) for side in (True, False)]
    return out if min(sides) >= 5 else np.zeros_like(out)


def _power(score: Array, member: Array) -> float:
    """By how many standard errors the AUC exceeds 1/2; minus infinity for a constant, plus
    infinity without records.
    """
    if not len(score):
        return np.inf
    if np.ptp(score) <= 1e-6 * max(1.0, float(np.abs(score).max())):
        return -np.inf
    _, level, count = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[level]
    m, n = int(member.sum()), int((~member).sum())
    excess = ranks[member].sum() - m * (m + n + 1) / 2
    return float(excess / np.sqrt(m * n * (m + n + 1) / 12))


def _learn(
    attack: Learned, tasks: Sequence[_Task], seeds: Sequence[int]
) -> list[tuple[float, Array]]:
    """Trains one network a target; returns its power on the held-out pairs and its scores of
    the asked records.
    """
    from raymia.training.model import predict
    from raymia.training.perceptrons import learn

    torch.set_num_threads(1)
    edges = np.cumsum([0, *(len(task.x) for task in tasks)])
    lesson = Lesson(
        x=torch.tensor(np.concatenate([task.x for task in tasks])),
        y=torch.tensor(np.concatenate([task.member for task in tasks]), dtype=torch.int64),
        members=tuple(np.arange(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)),
        reference=(NOTHING,) * len(tasks),
        classes=2,
    )
    pairs = max(task.pairs for task in tasks)
    recipe = _Squared() if attack.squared else _Twice() if attack.twice else Defense()
    models = learn(
        recipe,
        lambda: attack.network(tasks[0].x.shape[1]),
        lesson,
        attack.training(pairs),
        ("attacker",),
        seeds,
        attack.beta2,
        np.concatenate([task.record for task in tasks]) if attack.by_record(pairs) else None,
    )

    def said(model: Any, x: Array) -> Array:
        z = predict(model, torch.tensor(x)).astype(np.float64) if len(x) else np.zeros((0, 2))
        return np.asarray(z[:, 1] - z[:, 0])

    scores = [said(model, task.asked) for model, task in zip(models, tasks, strict=True)]
    powers = [
        _power(said(model, task.held), task.held_member)
        for model, task in zip(models, tasks, strict=True)
    ]
    return [
        (-np.inf if np.ptp(s) == 0 else power, s) for power, s in zip(powers, scores, strict=True)
    ]


class _Squared(Defense):
    """Squared error of the probability of "member"."""

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        return (outputs.logits.softmax(-1)[..., 1] - batch.target[..., 1]).square()


class _Twice(Defense):
    """Cross-entropy with the softmax of the network's probabilities."""

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        return cross_entropy(outputs.logits.softmax(-1), batch.target)


def _drawn(view: View, most: int) -> int:
    every = int(view.fit.sum())
    return min(every, most or every)


def falling(epochs: int, batch: int, lr: float) -> Training:
    """Adam, whose rate falls to 0 by the same amount with every epoch: to learn pairs by heart in
    few of them.
    """
    steps = tuple((e / epochs, 1 - e / epochs) for e in range(1, epochs))
    return Training(epochs, batch, optimizer="adam", lr=lr, weight_decay=0.0, milestones=steps)


def perceptron(
    inputs: int, sizes: Sequence[int], dropout: float = 0.0, last_activation: bool = True
) -> Network:
    """Linear-ReLU-Dropout of the given sizes, then two logits."""
    return network.classifier(_layers(inputs, sizes, dropout, last_activation), sizes[-1], 2)


def _layers(
    inputs: int, sizes: Sequence[int], dropout: float = 0.0, last_activation: bool = True
) -> Any:
    layers: list[Any] = []
    for i, size in enumerate(sizes):
        layers.append(torch.nn.Linear(inputs, size))
        if i < len(sizes) - 1 or last_activation:
            layers += [torch.nn.ReLU(), *([modules.Dropout(dropout)] if dropout else [])]
        inputs = size
    return torch.nn.Sequential(*layers)


def two_branches(
    classes: int, first: Sequence[int], second: Sequence[int], both: Sequence[int]
) -> Network:
    """Prediction [C] and label [C] through perceptrons of their own, then through a common one."""

    class Branches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = _layers(classes, first), _layers(classes, second)
            self.both = _layers(first[-1] + second[-1], both)

        def forward(self, x: Any) -> Any:
            return self.both(
                torch.cat([self.first(x[..., :classes]), self.second(x[..., classes:])], -1)
            )

    return network.classifier(Branches(), both[-1], 2)


def attentive(
    tokens: int, each: int, width: int, layers: int, heads: int, inside: int, dropout: float
) -> Network:
    """A transformer encoder over `tokens` of `each` numbers; its output, flattened, goes
    through `width` to two logits.
    """

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
            self.feed = torch.nn.Sequential(
                torch.nn.Linear(width, inside), torch.nn.GELU(), torch.nn.Linear(inside, width)
            )
            self.norm1, self.norm2, self.drop = (
                torch.nn.LayerNorm(width),
                torch.nn.LayerNorm(width),
                modules.Dropout(dropout),
            )

        def forward(self, x: Any) -> Any:
            b, t, _ = x.shape
            q, k, v = self.mix(x).reshape(b, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            told = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            x = self.norm1(x + self.out(told.transpose(1, 2).reshape(b, t, width)))
            return self.norm2(x + self.drop(self.feed(x)))

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Sequential(torch.nn.Linear(each, width), torch.nn.GELU())
            self.layers = torch.nn.Sequential(*(Layer() for _ in range(layers)))
            self.last = torch.nn.Sequential(torch.nn.Linear(tokens * width, width), torch.nn.GELU())

        def forward(self, x: Any) -> Any:
            return self.last(self.layers(self.embed(x.reshape(len(x), tokens, each))).flatten(1))

    return network.classifier(Encoder(), width, 2)
