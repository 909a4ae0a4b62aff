"""Handwritten digits that come with scikit-learn: nothing is downloaded."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """1,797 handwritten digits of 8x8 grey pixels, 10 classes; comes with scikit-learn.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998: its test
    part, as `sklearn.datasets.load_digits` gives it.

    Shapes: x [1797, 1, 8, 8]. Units: pixel / 16, in [0, 1].
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@misc{digits,
  title = {Optical Recognition of Handwritten Digits},
  author = {Alpaydin, E. and Kaynak, C.},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}"""

    def read(self) -> Data:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        x = (pixels.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
        return Data(
            "digits", x, labels.astype(np.int64), 10, image=True, mean=(0.3053,), std=(0.3761,)
        )

    def training(self, records: int) -> Training:
        return Training(epochs=60, batch_size=64, lr=0.1, weight_decay=5e-4)
