"""CH-MNIST: tiles and tables in small, and what is refused of others."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loaded import read, refused
from PIL import Image

from raymia.point import catalog
from raymia.point.space import Part
from raymia.readers import published

Array = np.ndarray[Any, Any]
FOLDERS = (
    *("01_TUMOR", "02_STROMA", "03_COMPLEX", "04_LYMPHO"),
    *("05_DEBRIS", "06_MUCOSA", "07_ADIPOSE", "08_EMPTY"),
)
INSIDE = "Kather_texture_2016_image_tiles_5000"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Any number of records will do; what was expected is kept."""
    asked: list[Any] = []
    monkeypatch.setattr(published, "expected", lambda *given: asked.append(given[3:]))
    return asked


def coded(pixels: Array, kind: str = "TIFF") -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind)
    return held.getvalue()


def tile(seed: int, side: int = 150) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


def contents() -> dict[str, bytes]:
    """Two tiles a class, in no order: tile 10 * i + j is the j-th by name of the i-th class."""
    made = {
        f"{INSIDE}/{folder}/{'ab'[j]}_Row_{j}.tif": coded(tile(10 * i + j))
        for j in (1, 0)
        for i, folder in reversed(list(enumerate(FOLDERS)))
    }
    return made | {f"{INSIDE}/01_TUMOR/._a.tif": b"?", f"{INSIDE}/read.me": b"?"}


def as_zip(folder: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "tiles.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, content in files.items():
            archive.writestr(inside, content)
    return folder / "tiles.zip"


def as_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for inside, content in files.items():
        (folder / "files" / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / inside).write_bytes(content)
    return folder / "files"


@pytest.mark.parametrize("packed", [as_zip, as_folder], ids=lambda f: f.__name__)
def test_tiles_by_class_and_name_wherever_they_lie(
    packed: Callable[..., Path], tmp_path: Path, small: list[Any]
) -> None:
    path = packed(tmp_path, contents())
    before = sorted(tmp_path.rglob("*"))
    data = read("ch_mnist", path=str(path), size=150, grayscale=False)
    wanted = np.stack([tile(10 * i + j).transpose(2, 0, 1) for i in range(8) for j in range(2)])
    assert (data.x == wanted).all() and data.x.dtype == np.uint8 and data.image
    assert data.y.tolist() == [i for i in range(8) for _ in range(2)]
    assert data.names[0] == "TUMOR" and data.names[7] == "EMPTY"
    assert small == [((5000, 3, 150, 150), 8)]
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked to the disk


def test_the_default_is_64_grey_pixels(tmp_path: Path, small: list[Any]) -> None:
    """Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R 601); half a tile black stays so when smaller."""
    flat = np.zeros((150, 150, 3), np.uint8)
    flat[75:] = (200, 100, 50)
    files = {f"{INSIDE}/{folder}/a.tif": coded(flat) for folder in FOLDERS}
    data = read("ch_mnist", path=str(as_zip(tmp_path, files)))
    assert data.shape == (1, 64, 64) and small == [((5000, 1, 64, 64), 8)]
    assert (data.mean, data.std) == ((0.0,), (1.0,))
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert (data.x[0, 0, :31] == 0).all() and np.abs(data.x[0, 0, 33:] - grey).max() <= 1


def frame(channels: int, side: int, many: int = 16) -> tuple[str, Array, Array]:
    x = np.random.default_rng(0).integers(0, 256, (many, side, side, channels))
    y = np.arange(many) % 8 + 1
    head = [f"pixel{i:04}" for i in range(side * side * channels)] + ["label"]
    rows = [",".join(map(str, [*row.ravel(), label])) for row, label in zip(x, y, strict=True)]
    return "\n".join([",".join(head), *rows]) + "\n", x, y


@pytest.mark.parametrize(("channels", "side"), [(1, 64), (1, 28), (3, 28), (3, 8)])
def test_tables_that_circulate(channels: int, side: int, tmp_path: Path, small: list[Any]) -> None:
    text, x, y = frame(channels, side)
    (tmp_path / "hmnist.csv").write_text(text)
    knobs = {"path": str(tmp_path / "hmnist.csv"), "size": side, "grayscale": channels == 1}
    data = read("ch_mnist", **knobs)
    assert (data.x == x.transpose(0, 3, 1, 2)).all() and (data.y == y - 1).all()
    assert data.x.flags.c_contiguous and small == [((5000, channels, side, side), 8)]


def test_a_table_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hmnist_28_28_L.csv"
    text, _, _ = frame(1, 28)
    path.write_text(text)
    refused("ch_mnist", "785 columns", "4096 pixels", "ch_mnist.size", path=str(path))
    refused("ch_mnist", "(16, 1, 28, 28)", "(5000, 1, 28, 28)", path=str(path), size=28)
    path.write_text(text.replace("label", "pixel9999"))
    refused("ch_mnist", "'pixel9999'", "'label'", path=str(path), size=28)
    cells = text.splitlines()
    cells[1] = "256," + cells[1].split(",", 1)[1]
    path.write_text("\n".join(cells))
    refused("ch_mnist", "pixels from 0 to 256", path=str(path), size=28)
    for content in ("", "a,b\nx,y\n"):
        path.write_text(content)
        refused("ch_mnist", "no table of whole numbers", path.name, path=str(path))


def test_other_tiles_are_refused(tmp_path: Path) -> None:
    where = f"{INSIDE}/02_STROMA/a.tif"
    for content, why in (
        (coded(tile(0, 149)), "149x149 pixels of RGB"),
        (coded(tile(0)[:, :, 0]), "150x150 pixels of L"),
        (coded(tile(0), "PNG"), "no picture that can be decoded"),
        (coded(tile(0))[:5000], "no picture that can be decoded"),
        (bytes(2**20 + 1), "1048577 bytes"),
    ):
        refused("ch_mnist", "'a.tif'", why, path=str(as_zip(tmp_path, {where: content})))
    refused("ch_mnist", "(16, 1, 64, 64)", "(5000, ", path=str(as_zip(tmp_path, contents())))
    elsewhere = as_zip(tmp_path, {"STROMA/a.tif": coded(tile(0))})
    refused("ch_mnist", "holds no .tif in folders 01_TUMOR to 08_EMPTY", path=str(elsewhere))
    (tmp_path / "other").write_bytes(b"other")
    refused("ch_mnist", "no zip, no folder and no .csv", path=str(tmp_path / "other"))


def test_what_is_missing_names_what_to_get(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.zip")
    refused("ch_mnist", "zenodo.org/records/53169", "kaggle.com", "ch_mnist.path", path=gone)
    for size in (0, 151):
        refused("ch_mnist", "size", f"got {size}", path=gone, size=size)


@pytest.mark.parametrize("size", [64, 28])
def test_networks_for_images_run_on_it(size: int) -> None:
    for name in ("resnet20", "cnn"):
        net: Any = catalog.made("networks", Part(name, {"width": 4})).build((1, size, size), 8)
        assert net(torch.rand(2, 1, size, size)).logits.shape == (2, 8)


def test_the_recipe_is_that_of_the_papers_pictures() -> None:
    recipe: Any = catalog.made("datasets", Part("ch_mnist", {})).training(1000)
    assert (recipe.epochs, recipe.batch_size, recipe.momentum) == (300, 128, 0.9)
    rates = [recipe.lr_at(epoch) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert recipe.weight_decay == 1e-4
