"""Handwritten digits that come with scikit-learn: nothing is downloaded."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.records.data import Data, Dataset

_FILE = Path("datasets", "data", "digits.csv.gz")


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
        pixels, labels = _loaded()
        x = (pixels.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
        return Data(
            "digits", x, labels.astype(np.int64), 10, image=True, mean=(0.3053,), std=(0.3761,)
        )

    def training(self, records: int) -> Training:
        return Training(epochs=60, batch_size=64, lr=0.1, weight_decay=5e-4)


def _loaded() -> tuple[Any, Any]:
    """The file of scikit-learn, which takes a second to import; by scikit-learn itself where it
    keeps it elsewhere.
    """
    package = find_spec("sklearn")
    file = Path(package.origin if package and package.origin else "").parent / _FILE
    if not file.is_file():
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)  # type: ignore[no-any-return]
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1]
