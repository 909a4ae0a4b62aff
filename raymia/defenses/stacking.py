from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.errors import SweepError
from raymia.lazy import torch
from raymia.point.space import Range
from raymia.records.split import Ints
from raymia.training.defense import Array, Defense, Fit, Lesson, Predictor, Rng, Traits
from raymia.training.losses import SEEN, aligned, logarithm, softened

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Stacking(Defense):
    """Three models on three disjoint thirds of the members: a network, a random forest, and a
    logistic regression on both.

    The regression learns the label from the two vectors of probabilities side by side. Only its
    probabilities are released, so that white-box attacks do not apply.

    Source: Salem et al., ML-Leaks, NDSS 2019, section VII.B.

    Neutral: none exists: the release is never a network's (law L3: an ensemble of the three,
    checked on numbers).

    Departures: the paper leaves the forest's size open: `trees` (100, scikit-learn's default).
    The regression is scikit-learn's (L2, C 1).
    """

    revision: ClassVar[int] = 2
    cite: ClassVar[str] = (
        "@inproceedings{salem2019mlleaks, title={ML-Leaks: Model and Data Independent Membership "
        "Inference Attacks and Defenses on Machine Learning Models}, author={Salem, Ahmed and "
        "Zhang, Yang and Humbert, Mathias and Berrang, Pascal and Fritz, Mario and Backes, "
        "Michael}, booktitle={NDSS}, year={2019}}"
    )

    trees: Annotated[int, Range(10, 300, log=True, least=1)] = 100

    def traits(self) -> Traits:
        return Traits(wants={"numbers"})

    def assemble(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> list[Predictor]:
        thirds = [
            np.array_split(g.permutation(m), 3) for m, g in zip(lesson.members, rngs, strict=True)
        ]
        if min(len(np.unique(lesson.y.cpu().numpy()[last])) for _, _, last in thirds) < 2:
            raise SweepError(
                "stacking: a third of a model's members holds one class only; take more records"
            )
        networks = fit(
            Defense(),
            replace(lesson, members=tuple(np.sort(first) for first, _, _ in thirds)),
            "stacking",
        )
        return [
            self._stack(lesson, network, second, last, int(rng.integers(2**31)))
            for network, (_, second, last), rng in zip(networks, thirds, rngs, strict=True)
        ]

    def _stack(
        self, lesson: Lesson, network: Predictor, second: Ints, last: Ints, seed: int
    ) -> Predictor:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression

        y = lesson.y.cpu().numpy()
        forest = RandomForestClassifier(self.trees, random_state=seed, n_jobs=1).fit(
            _flat(lesson.x[second]), y[second]
        )

        def both(x: Tensor) -> Array:
            return np.hstack(
                [
                    softened(network, x, 1.0).cpu().numpy(),
                    aligned(forest, _flat(x), lesson.classes),
                ]
            )

        regression = LogisticRegression(max_iter=5000).fit(both(lesson.x[last]), y[last])

        def predict(x: Tensor) -> Tensor:
            return torch.as_tensor(logarithm(aligned(regression, both(x), lesson.classes))).to(
                x.device
            )

        mine = lesson.x[last]
        alone = softened(network, mine, 1.0).cpu()
        moved = (predict(mine).exp().cpu() - alone).abs().max(-1).values > SEEN
        return Assembled(predict, {"stacking.moved": float(moved.double().mean())})


@dataclass(frozen=True, eq=False)
class Assembled:
    """A predictor that says what became of the network in it: `moved`, the share of members of
    the last third whose probabilities are others than its own.
    """

    predict: Predictor
    acted: Mapping[str, float]

    def __call__(self, x: Tensor) -> Tensor:
        return self.predict(x)


def _flat(x: Tensor) -> Array:
    return x.flatten(1).cpu().numpy()
