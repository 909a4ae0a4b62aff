"""Your own arrays."""

import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.point.schedule import Training
from raymia.records.data import Data, Dataset, encode, existing


@dataclass(frozen=True, kw_only=True)
class Arrays(Dataset):
    """Your own arrays: an .npz file with x and y.

    Source: yours, written by `numpy.savez(path, x=x, y=y)`. The recipe is a start, taken from
    no paper.

    Shapes: x [N, features], or images [N, C, H, W] with pixels in [0, 1] or uint8 0..255; y
    [N], whole numbers or texts, taken as 0..C-1 in sorted order. Raises: SweepError for another
    shape or type. Pickled objects are not read.
    """

    path: str

    def read(self) -> Data:
        x, labels = self._arrays()
        y, names = encode(labels, "arrays")
        if x.ndim not in (2, 4) or x.dtype.kind not in "biuf":
            raise SweepError(
                f"dataset arrays: x is numbers [N, features] or [N, C, H, W], got {x.dtype} "
                f"{x.shape}"
            )
        image = x.ndim == 4
        if not (image and x.dtype == np.uint8):
            # a float64 beyond float32 becomes inf, which Data refuses with its place
            with np.errstate(over="ignore"):
                x = x.astype(np.float32)
        mean, std = ((0.5,), (0.25,)) if image else ((0.0,), (1.0,))
        return Data("arrays", x, y, len(names), image, mean, std, names)

    def _arrays(self) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
        path = existing(self.path, "arrays")
        if not zipfile.is_zipfile(path):
            raise SweepError(f"dataset arrays: {str(path)!r} is not an .npz file, or it is cut off")
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                return _array(file, "x", "x.astype('float32')"), _array(file, "y", "y.astype(str)")
        except KeyError:
            held = ", ".join(sorted(file.files)) or "nothing"
            raise SweepError(
                f"dataset arrays: {str(path)!r} must hold x and y, it holds {held}"
            ) from None
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise SweepError(f"dataset arrays: {str(path)!r} cannot be read: {error}") from None

    def training(self) -> Training:
        return Training(epochs=100, batch_size=256, lr=0.1, milestones=((0.5, 0.1), (0.8, 0.01)))


def _array(file: Any, name: str, plain: str) -> npt.NDArray[np.generic]:
    """One array of the file. Raises ValueError where it holds Python objects: to read those is
    to run what they say.
    """
    try:
        array: npt.NDArray[np.generic] = file[name]
        return array
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise ValueError(f"{name} holds Python objects; save them with {plain}") from None
