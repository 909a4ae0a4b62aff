"""Your own images."""

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from raymia.errors import EnvironmentFault, SweepError
from raymia.point.schedule import Training
from raymia.records.data import Data, Dataset, encode, existing

ENDINGS = (".jpg", ".jpeg", ".png")
# of a data set, where they hold folders; else classes
PARTS = ("train", "test", "val", "valid", "validation")
# of the cache; raised when decoding changes, so that old arrays are not taken for new ones
LAYOUT = 1


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Dataset):
    """Your own images: JPEG or PNG in one folder a class, or in train/ and test/ of such, which
    are merged.

    The images are decoded once and kept as arrays in `cache` (by default in raymia/ of
    XDG_CACHE_HOME or ~/.cache); a file that is added, removed or touched makes them be read
    again. `size` resizes to size x size (bilinear); without it all images must have the same
    size. `mean` and `std` are the same for every channel; they are constants and not fitted,
    because statistics of all records would carry non-members into every model.

    Source: yours. The recipe is that of Fang and Kim, AIES 2024, for ResNet18 on CIFAR-10.

    Shapes: x [N, 3, H, W] uint8, or [N, 1, H, W] with `grayscale`; train first, then classes
    and paths in sorted order. Raises: SweepError naming the file or folder: no JPEG or PNG in a
    class, an image that does not decode or has another size, parts other than train/ and test/,
    a class that one of them lacks.
    """

    image: ClassVar[bool | None] = True

    path: str
    size: int | None = None
    grayscale: bool = False
    mean: float = 0.5
    std: float = 0.25
    cache: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None and self.size < 1:
            raise ValueError(f"size: got {self.size}; at least 1 is allowed")

    def read(self) -> Data:
        root = existing(self.path, "image_folder", "folder")
        files = _files(root)
        y, names = encode([name for _, name in files], "image_folder")
        paths = [path for path, _ in files]
        kept = _folder(self.cache) / f"{self._key(root, paths)}.npz"
        x = _cached(kept, len(paths))
        if x is None:
            x = _decode_all(paths, self.size, self.grayscale)
            _keep(kept, x)
        return Data("image_folder", x, y, len(names), True, (self.mean,), (self.std,), names)

    def _key(self, root: Path, paths: list[Path]) -> str:
        digest = hashlib.sha256(repr((LAYOUT, self.size, self.grayscale)).encode())
        for path in paths:
            found = path.stat()
            digest.update(
                repr((path.relative_to(root).as_posix(), found.st_size, found.st_mtime_ns)).encode()
            )
        return digest.hexdigest()

    def training(self) -> Training:
        return Training(epochs=100, batch_size=256, lr=0.01, milestones=((0.5, 0.1), (0.8, 0.01)))


def _files(root: Path) -> list[tuple[Path, str]]:
    """Every image with the name of its class, in the order of the records."""
    folders = _folders(root)
    inside = [folder.name for folder in folders]
    if inside == ["test", "train"]:
        found = [_classes(root / "train"), _classes(root / "test")]
        _same_classes(root, *({name for _, name in part} for part in found))
        return found[0] + found[1]
    # taken for a class, each would be one, and all of its images would have one label
    for folder in folders:
        if folder.name.lower() in PARTS and any(_inside(folder)):
            raise SweepError(
                f"dataset image_folder: {str(root)!r} holds {_listed(inside)}, and {folder.name}/ "
                "holds folders itself; one folder a class is allowed, or train/ and test/ alone, "
                f"of such; for one part, set path to {str(folder)!r}"
            )
    return _classes(root)


def _classes(root: Path) -> list[tuple[Path, str]]:
    return [(path, folder.name) for folder in _folders(root) for path in _images(folder)]


def _same_classes(root: Path, train: set[str], test: set[str]) -> None:
    for name in sorted(train ^ test):
        there, lacking = ("train", "test") if name in train else ("test", "train")
        raise SweepError(
            f"dataset image_folder: {str(root)!r}: class {name!r} is in {there}/ and not in "
            f"{lacking}/"
        )


def _listed(names: list[str]) -> str:
    shown = [f"{name}/" for name in names[:5]] + (
        [f"{len(names) - 5} more"] if len(names) > 5 else []
    )
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _inside(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _folders(root: Path) -> list[Path]:
    folders = _inside(root)
    if not folders:
        raise SweepError(
            f"dataset image_folder: {str(root)!r} holds no folders; one for each class is needed"
        )
    return folders


def _images(folder: Path) -> list[Path]:
    """The images at any depth below a class folder. Other files (notes, thumbnails) are no
    records.
    """
    found = [
        Path(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    ]
    if not found:
        raise SweepError(f"dataset image_folder: class folder {str(folder)!r} holds no JPEG or PNG")
    return sorted(found)


def _decode_all(paths: list[Path], size: int | None, grayscale: bool) -> npt.NDArray[np.uint8]:
    first = _decode(paths[0], size, grayscale)
    x = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        image = first if i == 0 else _decode(path, size, grayscale)
        if image.shape != first.shape:
            raise SweepError(
                f"dataset image_folder: {str(path)!r} is {image.shape[2]}x{image.shape[1]} pixels, "
                f"those before it are {first.shape[2]}x{first.shape[1]}; set image_folder.size"
            )
        x[i] = image
    return x


def _decode(path: Path, size: int | None, grayscale: bool) -> npt.NDArray[np.uint8]:
    """One image as uint8 [C, H, W]."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            mode = opened.mode
            # a palette with transparency goes to RGB by way of RGBA
            plain = opened.convert("RGBA") if "transparency" in opened.info else opened
            image = plain.convert("L" if grayscale else "RGB")
    except Exception as error:  # on damaged bytes decoders raise nearly anything
        raise SweepError(
            f"dataset image_folder: {str(path)!r} cannot be decoded: {error}"
        ) from None
    if mode.startswith(("I", "F")):  # Pillow would clip them to 255
        raise SweepError(
            f"dataset image_folder: {str(path)!r} has more than 8 bits a channel; convert it to 8"
        )
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if grayscale else pixels.transpose(2, 0, 1)


def _folder(cache: str | None) -> Path:
    if cache is not None:
        return Path(cache).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "raymia"


def _cached(path: Path, records: int) -> npt.NDArray[np.uint8] | None:
    """The arrays kept before; None where there are none, or where they are damaged (zip checks
    its CRC).
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            x: npt.NDArray[np.uint8] = file["x"]
            return x if len(x) == records else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(path: Path, x: npt.NDArray[np.uint8]) -> None:
    """Written beside and renamed: a reader sees all of it or none, and two writers leave the
    same pixels.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".", suffix=".tmp", delete=False
        ) as file:
            try:
                np.savez(file, x=x)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise EnvironmentFault(
            f"dataset image_folder: cannot keep decoded images in {str(path.parent)!r}: {error}; "
            "set image_folder.cache"
        ) from None
