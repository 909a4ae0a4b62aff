"""Laws that every data set keeps, whoever wrote it.

def test_mine(tmp_path: Path) -> None:
    datasets.check("mine", {"path": str(sample(tmp_path))})

A data set of files needs a small valid sample, named in its knobs.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raymia.errors import EnvironmentFault, SweepError
from raymia.laws.law import check_all, holds
from raymia.point import catalog
from raymia.point.space import Part
from raymia.records.data import LEAST_RECORDS, Data, Dataset, load

Knobs = Mapping[str, Any]


def _read(name: str, knobs: Knobs, **more: Any) -> Data:
    return load(Part(name, {**knobs, **more}), 0)


def records_are_as_declared(name: str, knobs: Knobs) -> None:
    """Types, shapes, labels and the image flag are those that Data promises and the class says."""
    data, cls = _read(name, knobs), catalog.find("datasets", name)
    image, words = cls.image, data.vectors is not None
    holds(words == cls.words, f"its vectors of words are {words}, the class says {cls.words}")
    holds(image is None or data.image == image, f"image is {data.image}, the class says {image}")
    holds(data.x.dtype in (np.float32, np.uint8), f"x is {data.x.dtype}")
    holds(data.y.dtype == np.int64 and data.y.shape == (len(data.x),), f"y is {data.y.dtype}")
    holds(data.x.ndim == 4 if data.image else data.x.ndim >= 2, f"x has the shape {data.x.shape}")
    seen = sorted(set(data.y.tolist()))
    holds(seen == list(range(data.classes)), f"labels {seen} of {data.classes} classes")
    holds(not data.names or len(data.names) == data.classes, f"{len(data.names)} names")


def normalisation_is_constant(name: str, knobs: Knobs) -> None:
    """Mean and deviation are finite, one or one a channel, and no record decides them."""
    data = _read(name, knobs)
    channels = data.x.shape[1] if data.image else 1
    for what in (data.mean, data.std):
        holds(len(what) in (1, channels), f"{len(what)} numbers for {channels} channels")
        holds(np.isfinite(what).all(), f"{what}")
    holds(min(data.std) > 0, f"{data.std}")
    few = _read(name, knobs, records=max(LEAST_RECORDS, len(data) // 2))
    holds((few.mean, few.std) == (data.mean, data.std), "half of the records have other constants")


def the_same_files_are_the_same_data(name: str, knobs: Knobs) -> None:
    """Read twice it is the same to the last byte, and any record that changes changes its hash."""
    one, again = _read(name, knobs), _read(name, knobs)
    holds(one.sha256() == again.sha256(), "read twice, two hashes")
    y = one.y.copy()
    first = y[0]
    y[0] = (first + 1) % one.classes
    if len(set(y.tolist())) > 1:
        holds(replace(one, y=y).sha256() != one.sha256(), "another label, the same hash")


def a_larger_draw_holds_the_smaller(name: str, knobs: Knobs) -> None:
    """`records: n` draws some of all records, and n + 1 of them hold those n."""
    whole = _read(name, knobs)
    sizes = sorted({LEAST_RECORDS, (LEAST_RECORDS + len(whole)) // 2, len(whole)})
    before: list[bytes] = []
    for size in sizes:
        data = _read(name, knobs, records=size)
        holds(len(data) == size, f"{len(data)} records instead of {size}")
        rows = [x.tobytes() + y.tobytes() for x, y in zip(data.x, data.y, strict=True)]
        left = list(rows)
        for row in before:
            holds(row in left, f"a draw of {size} lacks a record of a smaller one")
            left.remove(row)
        before = rows


def too_many_records_are_refused(name: str, knobs: Knobs) -> None:
    """More records than there are is one line with both numbers."""
    many = len(_read(name, knobs)) + 1
    said = _refusal(name, {**knobs, "records": many})
    holds(said and str(many) in said, f"{said!r}")


def it_has_a_recipe_and_a_source(name: str, knobs: Knobs) -> None:
    """It says where it comes from, and how models on it are trained."""
    cls, made = catalog.find("datasets", name), catalog.made("datasets", Part(name, knobs))
    holds(isinstance(made, Dataset), f"{cls} is no Dataset")
    holds(
        catalog.summary(cls) and catalog.source(cls), "no summary, or no Source: in its docstring"
    )
    holds(made.training(1000).epochs >= 1, "its recipe trains no epoch")


def damaged_files_are_refused(name: str, knobs: Knobs) -> None:
    """A file that is empty, of random bytes, a folder or gone is one line that names a place."""
    paths = {key: value for key, value in knobs.items() if _is_path(value)}
    for key, value in paths.items():
        damages = [_emptied, _of_random_bytes]
        if Path(str(value)).is_file():  # a folder with one picture less is another data set
            damages += [_made_a_folder, _removed]
        for damage in damages:
            with tempfile.TemporaryDirectory() as folder:
                copy = _copied(Path(str(value)), Path(folder))
                victim = _first_file(copy)
                damage(victim)
                said = _refusal(name, {**knobs, key: str(copy), **_uncached(name, folder)})
                what = f"{damage.__name__.strip('_')} {victim.name}"
                holds(said is not None, f"{what}: it was read")
                named = said and any(part in said for part in (victim.name, copy.name, key))
                holds(named, f"{what}: no place is named: {said!r}")


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and os.path.exists(value)


def _copied(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    return copy


def _first_file(path: Path) -> Path:
    return path if path.is_file() else min(p for p in path.rglob("*") if p.is_file())


def _uncached(name: str, folder: str) -> dict[str, Any]:
    """Data sets that keep what they decoded keep it where nobody else looks."""
    return {"cache": folder} if "cache" in catalog.knobs(catalog.find("datasets", name)) else {}


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _of_random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(4000))


def _removed(path: Path) -> None:
    path.unlink()


def _made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def cut_off_files_are_refused(name: str, knobs: Knobs) -> None:
    """A file that ends in its middle is refused where its format can tell; never another error."""
    for key, value in ((key, value) for key, value in knobs.items() if _is_path(value)):
        with tempfile.TemporaryDirectory() as folder:
            copy = _copied(Path(str(value)), Path(folder))
            victim = _first_file(copy)
            content = victim.read_bytes()
            victim.write_bytes(content[: len(content) // 2])
            said = _refusal(name, {**knobs, key: str(copy), **_uncached(name, folder)})
            text = victim.suffix in (".csv", ".txt", ".json")
            holds(text or said is not None, f"{victim.name}, cut off: it was read")


def _refusal(name: str, knobs: Knobs) -> str | None:
    """The one line that refuses these knobs; None where they are read."""
    try:
        load(Part(name, knobs), 0)
    except (SweepError, EnvironmentFault) as error:
        said = str(error)
        holds("\n" not in said and said.isprintable(), f"more than one line: {said!r}")
        return said
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} instead of one line: {error}") from error
    return None


LAWS: tuple[Callable[[str, Knobs], None], ...] = (
    records_are_as_declared,
    normalisation_is_constant,
    the_same_files_are_the_same_data,
    a_larger_draw_holds_the_smaller,
    too_many_records_are_refused,
    it_has_a_recipe_and_a_source,
    damaged_files_are_refused,
    cut_off_files_are_refused,
)


def check(name: str, knobs: Knobs | None = None) -> None:
    """All laws of data sets for one of the catalogue. Raises LawBroken."""
    check_all(LAWS, name, knobs or {})


# ---- samples of the data sets of one's own -----------------------------------------------------


def _labels() -> Iterator[int]:
    return (i % 3 for i in range(24))


def table(folder: Path) -> dict[str, Any]:
    """A table of 24 records, two columns of numbers and one of categories."""
    draw = np.random.default_rng(0)
    lines = [f"{draw.random():.6f},{i % 12},{'abc'[i % 3]},{y}" for i, y in enumerate(_labels())]
    path = folder / "sample.csv"
    path.write_text("\n".join(["size,number,kind,label", *lines]) + "\n")
    return {"path": str(path), "label": "label"}


def arrays(folder: Path) -> dict[str, Any]:
    """24 records of 5 numbers."""
    x = np.random.default_rng(0).random((24, 5), np.float32)
    np.savez(folder / "sample.npz", x=x, y=np.array(list(_labels())))
    return {"path": str(folder / "sample.npz")}


def image_folder(folder: Path) -> dict[str, Any]:
    """24 pictures of 8x8 pixels in three classes."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for i, y in enumerate(_labels()):
        place = folder / "pictures" / f"class-{y}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{i:02}.png")
    return {"path": str(folder / "pictures"), "cache": str(folder / "cache")}


SAMPLES: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "table": table,
    "arrays": arrays,
    "image_folder": image_folder,
}
