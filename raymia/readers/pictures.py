"""Pictures as arrays: decoded upright and on white, once, and kept."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raymia.errors import EnvironmentFault, SweepError

Pixels = npt.NDArray[np.uint8]
# of the cache; raised when decoding changes, so that old arrays are not taken for new ones
LAYOUT = 2
_TURNED, _ON_WHITE, _FRAMES = (
    "turned upright, as their EXIF orientation says",
    "with an alpha channel laid on white",
    "of several frames of which the first is read",
)


@cache
def endings() -> frozenset[str]:
    """Those of the formats that Pillow reads."""
    from PIL import Image

    return frozenset(
        ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN
    ) - {".pdf", ".eps", ".ps", ".mpg", ".mpeg", ".h5", ".hdf", ".wmf", ".emf", ".grib", ".bufr"}


def decoded(
    paths: Sequence[Path], size: int | None, grayscale: bool, cache: str | None
) -> tuple[Pixels, tuple[str, ...]]:
    """[N, C, H, W] and what was done to some of them, from the cache where the same files were
    read before. Raises SweepError naming a file.
    """
    kept = _folder(cache) / f"{_key(paths, size, grayscale)}.npz"
    found = _cached(kept, len(paths))
    if found is None:
        found = _decode_all(paths, size, grayscale)
        _keep(kept, *found)
    x, done = found
    return x, tuple(f"{count} pictures {what}" for what, count in done.items())


def _key(paths: Sequence[Path], size: int | None, grayscale: bool) -> str:
    """Of what stands in the files: the same names, sizes and times may hold other pictures."""
    digest = blake2b(repr((LAYOUT, size, grayscale)).encode(), digest_size=32)
    for path in paths:
        digest.update(blake2b(path.read_bytes()).digest())
    return digest.hexdigest()


def _decode_all(
    paths: Sequence[Path], size: int | None, grayscale: bool
) -> tuple[Pixels, dict[str, int]]:
    done = Counter[str]()
    first = _decode(paths[0], size, grayscale, done)
    x = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        image = first if i == 0 else _decode(path, size, grayscale, done)
        if image.shape != first.shape:
            raise SweepError(
                f"dataset image_folder: {str(path)!r} is {image.shape[2]}x{image.shape[1]} pixels, "
                f"those before it are {first.shape[2]}x{first.shape[1]}; set image_folder.size"
            )
        x[i] = image
    return x, dict(done)


def _decode(path: Path, size: int | None, grayscale: bool, done: Counter[str]) -> Pixels:
    """One picture as uint8 [C, H, W]."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            mode = opened.mode
            if getattr(opened, "n_frames", 1) > 1:
                done[_FRAMES] += 1
            if opened.getexif().get(0x0112, 1) in range(2, 9):
                done[_TURNED] += 1
            upright = ImageOps.exif_transpose(opened)
            if "transparency" in opened.info or mode in ("RGBA", "LA", "PA", "La", "RGBa"):
                done[_ON_WHITE] += 1
                seen = upright.convert("RGBA")
                upright = Image.new("RGBA", seen.size, "white")
                upright.alpha_composite(seen)
            image = upright.convert("L" if grayscale else "RGB")
    except Exception as error:  # on damaged bytes decoders raise nearly anything
        said = " ".join(str(error).split())
        raise SweepError(f"dataset image_folder: {str(path)!r} cannot be decoded: {said}") from None
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


def _cached(path: Path, records: int) -> tuple[Pixels, dict[str, int]] | None:
    """What was kept before; None where there is nothing, or where it is damaged."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            x: Pixels = file["x"]
            return (x, json.loads(str(file["done"]))) if len(x) == records else None
    except Exception:  # nothing there, or whatever damaged bytes raise: it is made again
        return None


def _keep(path: Path, x: Pixels, done: dict[str, int]) -> None:
    """Written beside and renamed: a reader sees all of it or none, and two writers leave the
    same pixels.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".", suffix=".tmp", delete=False
        ) as file:
            try:
                np.savez(file, x=x, done=np.array(json.dumps(done)))
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
