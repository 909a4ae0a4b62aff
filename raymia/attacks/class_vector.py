from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Scored, Traits
from raymia.attack.calibration import logistic, odds
from raymia.attack.learned import Learned, perceptron
from raymia.attack.pairs import Pairs, draw_pairs
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.signals.view import View, log_softmax

if TYPE_CHECKING:
    from raymia.training.network import Network

EPOCHS = 100


@dataclass(frozen=True)
class ClassVector(Attack):
    """Log-odds of "member" by one classifier for each class, on the whole vector of
    probabilities, fitted on the shadows.

    `classifier`: `logistic`, a logistic regression; `network`, C-64-2 with ReLU, the
    cross-entropy of the softmax of its softmax as in the authors' code, Adam 0.01, weight decay
    1e-7, batches of 100, `epochs`; it decides by itself, at log-odds 0. In the paper's form
    `{classifier: network, pairs: 0}`.

    Fitted on at most `pairs` (record, shadow) pairs of all classes (0: all); a class without
    members or non-members among them cannot tell (score 0). The log-odds of all classes are
    ranked together: a class of which more is told reaches further to both ends.

    Source: Shokri et al., S&P 2017, in the form of `class vector` of Li, Li & Ribeiro, CODASPY
    2021 (section 3.1, and their code).

    Departures: AUC and accuracy over all records; the authors report the unweighted mean of the
    classes' accuracies. A network that has collapsed is trained again.
    """

    cite: ClassVar[str] = (
        "@inproceedings{li2021mmd, title={Membership Inference Attacks and Defenses in "
        "Classification Models}, author={Li, Jiacheng and Li, Ninghui and Ribeiro, Bruno}, "
        "booktitle={CODASPY}, year={2021}}"
    )
    revision: ClassVar[int] = 4

    pairs: Pairs = 20_000
    classifier: Literal["logistic", "network"] = "logistic"
    epochs: Annotated[int, Range(10, 200, least=1)] = EPOCHS

    def __post_init__(self) -> None:
        if self.classifier != "network" and self.epochs != EPOCHS:
            raise ValueError("epochs goes with classifier: network; a regression has none")

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"})

    def score(self, view: View, rng: Rng) -> Array:
        return self.score_all([view], [rng])[0].scores

    def score_all(self, views: Sequence[View], rngs: Sequence[Rng]) -> list[Scored]:
        by = self._networks if self.classifier == "network" else self._regressions
        return [by(view, rng) for view, rng in zip(views, rngs, strict=True)]

    def cut(self, view: View) -> float | None:
        return 0.0 if self.classifier == "network" else super().cut(view)

    def _regressions(self, view: View, rng: Rng) -> Scored:
        shadow, record = draw_pairs(view, self.pairs, rng)
        member, label = view.member[shadow, record], view.labels[record]
        x = np.exp(log_softmax(view.shadows.at("logits", shadow, record)))
        own, own_label = np.exp(view.log_p[view.asked]), view.labels[view.asked]
        scores = np.zeros(len(own))
        for c in _told(member, label, own_label):
            here, there = label == c, own_label == c
            scores[there] = odds(own[there], logistic(x[here], member[here]))
        return Scored(scores)

    def _networks(self, view: View, rng: Rng) -> Scored:
        """Each class as a target of its own: its pairs alone fitted, its records alone asked."""
        shadow, record = draw_pairs(view, self.pairs, rng)
        label, own_label = view.labels[record], view.labels[view.asked]
        classes = _told(view.member[shadow, record], label, own_label)
        parts = []
        for c in classes:
            fit = np.zeros_like(view.fit)
            fit[shadow[label == c], record[label == c]] = True
            parts.append(replace(view, fit=fit, asked=view.asked[own_label == c]))
        scores, notes = np.zeros(len(view.asked)), []
        if parts:
            found = _Network(epochs=self.epochs).score_all(parts, rng.spawn(len(parts)))
            for c, (said, note) in zip(classes, found, strict=True):
                scores[own_label == c] = said
                notes += [f"class {c}: {note}"] if note else []
        return Scored(scores, "; ".join(notes))


def _told(member: Array, label: Array, asked: Array) -> list[int]:
    """The asked classes that have members and non-members among the pairs."""
    both = np.intersect1d(label[member], label[~member])
    return [int(c) for c in np.intersect1d(both, asked)]


@dataclass(frozen=True)
class _Network(Learned):
    """The classifier of one class, on the pairs that its view may be fitted on."""

    twice: ClassVar[bool] = True

    pairs: int = 0
    epochs: int = EPOCHS

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        return np.exp(log_softmax(said["logits"]))

    def network(self, inputs: int) -> "Network":
        return perceptron(inputs, (64,))

    def training(self, pairs: int) -> Training:
        return Training(
            self.epochs, 100, optimizer="adam", lr=0.01, weight_decay=1e-7, milestones=()
        )
