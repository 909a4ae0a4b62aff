"""The published files of known data sets: where they lie, and that they are what was published."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from raymia.errors import EnvironmentFault, SweepError
from raymia.point.schedule import Training
from raymia.readers import archives
from raymia.records.data import Data, Dataset

Array = npt.NDArray[Any]
T = TypeVar("T")
MOST_BYTES = 4 * 2**30  # of an archive, unpacked, as far as it is read


def parts(
    dataset: str, reader: str, holds: str, root: str, download: bool, sets: Sequence[Any]
) -> list[Any]:
    """torchvision's data sets of that class, train before test (`sets`: the arguments of each).
    Raises SweepError where the files (`holds` names them) are missing or not the authors'
    (checked by md5).
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        # RuntimeError: a torchvision that was built for another torch
        raise EnvironmentFault(
            f"dataset {dataset}: torchvision does not import ({error}); install the one that "
            "belongs to this torch"
        ) from None
    made = getattr(datasets, reader)
    try:
        return [made(root, download=download, **one) for one in sets]
    except RuntimeError:  # torchvision's word for "not found or corrupted"
        raise SweepError(
            f"dataset {dataset}: {root!r} does not hold a whole and undamaged {holds}; set "
            f"{dataset}.root, or {dataset}.download: true (folders of images are read by "
            "image_folder)"
        ) from None
    except OSError as error:
        raise EnvironmentFault(
            f"dataset {dataset}: cannot read or download into {root!r}: {error}"
        ) from None


def idx(dataset: str, root: str, inside: str) -> tuple[Array, Array]:
    """Images [N, H, W] uint8 and labels [N] of the four idx files, train before t10k; plain or
    .gz, in `root` or where torchvision puts them (`root/<inside>/raw`).
    """
    top = Path(os.path.expanduser(root))
    places = [top, top / inside / "raw"]
    images: list[Array] = []
    labels: list[Array] = []
    for part in ("train", "t10k"):
        for kind, held in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{part}-{kind}-ubyte"
            files = [place / f"{name}{end}" for place in places for end in ("", ".gz")]
            found = next((file for file in files if file.is_file()), None)
            if found is None:
                raise SweepError(
                    f"dataset {dataset}: {root!r} holds no {name} or {name}.gz; set "
                    f"{dataset}.root, or {dataset}.download: true"
                )
            held.append(_idx(dataset, found))
    return np.concatenate(images), np.concatenate(labels)


def _idx(dataset: str, path: Path) -> Array:
    """The bytes of an idx file in their shape: two zeros, 8 for bytes, the number of axes, their
    lengths as big-endian 32-bit numbers.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = archives.within(gzip.open(io.BytesIO(content)), len(content))
    axes = content[3] if content[:3] == b"\0\0\x08" else 0
    head, values = content[4 : 4 + 4 * axes], np.frombuffer(content[4 + 4 * axes :], np.uint8)
    whole = axes > 0 and len(head) == 4 * axes
    shape = np.frombuffer(head, ">u4").astype(int) if whole else np.zeros(0, int)
    if not whole or values.size != int(np.prod(shape)):
        raise SweepError(f"dataset {dataset}: {str(path)!r} is no whole idx file of bytes")
    return values.reshape(shape)


def expected(dataset: str, x: Array, y: Array, shape: tuple[int, ...], classes: int) -> None:
    """Raises SweepError where the records are not those that were published."""
    if x.shape != shape:
        raise SweepError(
            f"dataset {dataset}: the files hold records of shape {x.shape}; {shape} was published"
        )
    seen = np.unique(y)
    if len(y) != len(x) or not np.array_equal(seen, np.arange(classes)):
        raise SweepError(
            f"dataset {dataset}: the files hold {len(y)} labels of {len(seen)} classes; {len(x)} "
            f"of {classes} were published"
        )


def bits(
    dataset: str, path: str, names: Sequence[str], features: int, source: str
) -> tuple[Array, Array]:
    """Records of zeros and ones [N, features] float32 and labels from 0 [N] of a published table.

    `path`: the archive (.tgz, .zip), a folder with its files, the table itself, or the .npz that
    circulates (`features`, `labels`, which may be one-hot). `names`: one table with the label
    first, from 1; or those of features and of labels. Nothing of an archive is written anywhere.
    """
    place = there(dataset, path, source)
    if place.suffix == ".npz":
        return _npz(dataset, place, features)
    tables = [_table(dataset, content(dataset, place, name)) for name in names]
    if len(tables) == 1:
        tables = [tables[0][:, 1:], tables[0][:, :1]]
    x, y = tables[0].astype(np.float32), tables[1].reshape(-1).astype(np.int64) - 1
    return _zeros_and_ones(dataset, place, x, features), y


@dataclass(frozen=True, kw_only=True)
class Bits(Dataset):
    """A published table of zeros and ones, read by `bits`: how many of which, and from whom."""

    image: ClassVar[bool | None] = False
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@inproceedings{shokri2017membership,
  title = {Membership Inference Attacks Against Machine Learning Models},
  author = {Shokri, Reza and Stronati, Marco and Song, Congzheng and Shmatikov, Vitaly},
  booktitle = {IEEE Symposium on Security and Privacy},
  year = {2017}
}"""
    name: ClassVar[str]
    tables: ClassVar[tuple[str, ...]]
    size: ClassVar[tuple[int, int]]
    classes: ClassVar[int]
    origin: ClassVar[str]
    batch: ClassVar[int]

    path: str = ""

    def read(self) -> Data:
        x, y = bits(self.name, self.path, self.tables, self.size[1], self.origin)
        expected(self.name, x, y, self.size, self.classes)
        return Data(self.name, x, y, self.classes, image=False)

    def training(self, records: int) -> Training:
        steps = ((0.5, 0.1), (0.8, 0.01))
        return Training(100, self.batch, lr=0.1, milestones=steps, scale="none")


def there(dataset: str, path: str, source: str, knob: str = "path") -> Path:
    """The file or folder of that path. Raises SweepError where there is none."""
    place = Path(os.path.expanduser(path))
    if not (place.is_file() or place.is_dir()):
        raise SweepError(
            f"dataset {dataset}: there is no {path!r}; get {source} and set {dataset}.{knob}"
        )
    return place


def content(dataset: str, place: Path, name: str) -> bytes:
    """The bytes of the file of that name in a folder or an archive, or of the place itself."""
    if place.is_dir():
        found = sorted(file for file in place.rglob(name) if file.is_file())
        if found:
            return found[0].read_bytes()
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for one in _named(name, archive.infolist(), lambda one: (one.filename, one.file_size)):
                return archive.read(one)
    elif tarfile.is_tarfile(place):
        with tarfile.open(place) as archive:
            for member in _named(name, archive, lambda one: (one.name, one.size)):
                if member.isfile() and (held := archive.extractfile(member)):
                    return held.read()
    else:
        return place.read_bytes()
    raise SweepError(f"dataset {dataset}: {str(place)!r} holds no file {name!r}")


def _named(
    name: str, members: Iterable[T], described: Callable[[T], tuple[str, int]]
) -> Iterator[T]:
    """The members of an archive that have the name. Raises ValueError at one that leads out of it,
    or whose size no published file has.
    """
    total = 0
    for member in members:
        path, size = described(member)
        archives.inner(path)
        total += size
        if total > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES / 2**30:.0f} GB")
        if PurePosixPath(path).name == name:
            yield member


def _table(dataset: str, content: bytes) -> Array:
    import pandas as pd

    try:
        frame = pd.read_csv(io.BytesIO(content), header=None, dtype=np.int32)
    except ValueError as error:
        raise SweepError(f"dataset {dataset}: no table of whole numbers: {error}") from None
    return frame.to_numpy()


def _npz(dataset: str, place: Path, features: int) -> tuple[Array, Array]:
    archives.plain_zip(place)
    with np.load(place, allow_pickle=False) as held:
        missing = {"features", "labels"} - set(held.files)
        if missing:
            raise SweepError(
                f"dataset {dataset}: {str(place)!r} has no array {sorted(missing)[0]!r}; it has "
                f"{', '.join(held.files)}"
            )
        x, y = held["features"].astype(np.float32), held["labels"]
    y = y.argmax(-1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1).astype(np.int64)
    return _zeros_and_ones(dataset, place, x, features), np.asarray(y - y.min(), np.int64)


def _zeros_and_ones(dataset: str, place: Path, x: Array, features: int) -> Array:
    if x.ndim != 2 or x.shape[1] != features or not np.isin(x, (0.0, 1.0)).all():
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} holds records of shape {x.shape[1:]}, from "
            f"{x.min():g} to {x.max():g}; {features} zeros and ones were published"
        )
    return x
