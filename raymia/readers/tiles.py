"""Small pictures of one published size, in an archive or a folder of classes, or as the rows of a
table.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError

Array = npt.NDArray[Any]
MOST_BYTES = 2**20  # of one tile: 150x150 pixels in colour are 67,500


def decoded(
    dataset: str, place: Path, classes: Sequence[str], side: int, shape: tuple[int, int, int]
) -> tuple[Array, Array]:
    """The .tif tiles below the folders of these names as uint8 [N, *shape], by class and name, and
    their classes [N]. `side`: of every tile as it was published. Nothing is written anywhere.
    """
    held = {name: label for label, name in enumerate(classes)}
    found = [
        (held[path.parent.name], path.name, _tile(dataset, place, path.name, content, side, shape))
        for path, content in _files(dataset, place)
        if path.parent.name in held
    ]
    if not found:
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} holds no .tif in folders {classes[0]} to "
            f"{classes[-1]}"
        )
    found.sort(key=lambda tile: tile[:2])
    x = np.stack([tile for _, _, tile in found])
    return x, np.array([label for label, _, _ in found], np.int64)


def _files(dataset: str, place: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The .tif files of a folder or a zip, hidden ones left out."""
    if place.is_dir():
        for file in place.rglob("*.tif"):
            if file.is_file() and not file.name.startswith("."):
                yield PurePosixPath(file.as_posix()), file.read_bytes()
        return
    if not zipfile.is_zipfile(place):
        raise SweepError(f"dataset {dataset}: {str(place)!r} is no zip, no folder and no .csv")
    with zipfile.ZipFile(place) as archive:
        for one in archive.infolist():
            path = PurePosixPath(one.filename)
            if path.suffix == ".tif" and not path.name.startswith("."):
                if one.file_size > MOST_BYTES:
                    raise _other(dataset, place, path.name, f"of {one.file_size} bytes")
                yield path, archive.read(one)


def _other(dataset: str, place: Path, name: str, what: str) -> SweepError:
    return SweepError(f"dataset {dataset}: {name!r} of {str(place)!r} is no tile: it is {what}")


def _tile(
    dataset: str, place: Path, name: str, content: bytes, side: int, shape: tuple[int, int, int]
) -> Array:
    """One tile [C, H, W]."""
    from PIL import Image

    channels, size, _ = shape
    try:
        with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
            if image.mode != "RGB" or image.size != (side, side):
                wide, high = image.size
                raise _other(dataset, place, name, f"{wide}x{high} pixels of {image.mode}")
            own = image.convert("L") if channels == 1 else image.convert("RGB")
    except SweepError:
        raise
    except Exception:  # on damaged bytes decoders raise nearly anything
        raise _other(dataset, place, name, "no picture that can be decoded") from None
    if size != side:
        own = own.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(own, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def table(dataset: str, place: Path, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """The rows of a table with a header as uint8 [N, *shape], and their classes [N]: pixels by row,
    column and channel, then the label, from 1.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(place, dtype=np.int32)
    except (ValueError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} is no table of whole numbers: {said}"
        ) from None
    channels, high, wide = shape
    cells = frame.to_numpy()
    if list(frame.columns[-1:]) != ["label"] or cells.shape[1] != channels * high * wide + 1:
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} has {cells.shape[1]} columns, the last of them "
            f"{str(frame.columns[-1])!r}; {channels * high * wide} pixels ({wide}x{high}, "
            f"{channels} channels) and 'label' are asked: set {dataset}.size and "
            f"{dataset}.grayscale"
        )
    pixels = cells[:, :-1]
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} has pixels from {pixels.min()} to {pixels.max()}; "
            "0..255 was published"
        )
    x = pixels.astype(np.uint8).reshape(-1, high, wide, channels).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x), cells[:, -1].astype(np.int64) - 1
