from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Defense, Facts


@dataclass(frozen=True)
class WeightDecay(Defense):
    """L2 regularisation: lam w is added to the gradient, in place of the training's own weight
    decay.

    Source: Krogh & Hertz, NIPS 1991; as a defense in Kaya, Hong & Dumitras 2020 (1e-6 to 0.5,
    1e-6 in every baseline); the baselines of SRCM, CRL and RelaxLoss have 5e-4 already.

    Neutral: lam equal to the training's own weight_decay (5e-4 unless the data set or the sweep
    says otherwise).
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"lam": 5e-4}
    cite: ClassVar[str] = (
        "@inproceedings{krogh1991weight, title={A Simple Weight Decay Can Improve Generalization}, "
        "author={Krogh, Anders and Hertz, John A.}, booktitle={NIPS}, year={1991}}"
    )

    lam: Annotated[float, Range(1e-6, 0.05, log=True, least=0.0)] = 5e-3

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """To where training fails: lr times lam of 0.005 by SGD, and 0.05 by Adam."""
        sgd = facts.training.optimizer == "sgd" and facts.training.lr > 0
        return {"lam": Range(1e-6, min(0.5, 0.005 / facts.training.lr) if sgd else 0.05, log=True)}

    def training(self, training: Training) -> Training:
        return replace(training, weight_decay=self.lam)
