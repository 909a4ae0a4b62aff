from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Defense


@dataclass(frozen=True)
class EarlyStopping(Defense):
    """Stops after a fraction of the epochs, on the learning rates of the full schedule (it is
    not rescaled).

    Source: used as a baseline by RelaxLoss (5 to 250 of 300 epochs), SRCM and Kaya, Hong &
    Dumitras 2020 (E of 30).

    Units: `fraction` of the training's epochs, rounded, at least one epoch: E / 30 is Kaya's E.

    Neutral: fraction 1.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"fraction": 1.0}
    cite: ClassVar[str] = (
        "@inproceedings{caruana2000overfitting, title={Overfitting in Neural Nets: "
        "Backpropagation, Conjugate Gradient, and Early Stopping}, author={Caruana, Rich and "
        "Lawrence, Steve and Giles, C. Lee}, booktitle={NIPS}, year={2000}}"
    )

    fraction: Annotated[float, Range(0.02, 1.0, log=True, least=0.0, most=1.0)] = 0.5

    def training(self, training: Training) -> Training:
        stop = max(1, round(self.fraction * training.epochs))
        return replace(training, stop=min(stop, training.run_epochs))
