"""The published data sets: their files in small, and what is refused of others."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from loaded import read, refused

from raymia.errors import SweepError
from raymia.readers import published

Array = np.ndarray[Any, Any]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Any number of records will do; what was expected is kept."""
    asked: list[Any] = []
    monkeypatch.setattr(published, "expected", lambda *given: asked.append(given[3:]))
    return asked


def idx(values: Array) -> bytes:
    """As LeCun's page describes the format."""
    shape = b"".join(side.to_bytes(4, "big") for side in values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.tobytes()


def four(folder: Path, end: str = "", records: int = 20) -> tuple[Array, Array]:
    """Train and test files, half of the records in each; the images and labels in order."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (records, 28, 28)).astype(np.uint8)
    y = (np.arange(records) % 10).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for part, on in (("train", slice(0, records // 2)), ("t10k", slice(records // 2, None))):
        for kind, values in (("images-idx3", x[on]), ("labels-idx1", y[on])):
            content = idx(values)
            content = gzip.compress(content) if end else content
            (folder / f"{part}-{kind}-ubyte{end}").write_bytes(content)
    return x, y


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("torchvisions", [False, True])
def test_idx_files_wherever_they_lie(
    name: str, end: str, torchvisions: bool, tmp_path: Path, small: list[Any]
) -> None:
    inside = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    x, y = four(tmp_path / inside / "raw" if torchvisions else tmp_path, end)
    data = read(name, root=str(tmp_path))
    assert (data.x == x[:, None]).all() and (data.y == y).all() and data.image
    assert small == [((70_000, 1, 28, 28), 10)]


def test_an_idx_file_that_is_cut_off_or_no_idx_file(tmp_path: Path) -> None:
    four(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    whole = file.read_bytes()
    for content in (whole[:-1], whole[:10], b"", b"\0\0\x0d\x01\0\0\0\0", b"PK" + whole):
        file.write_bytes(content)
        refused("mnist", "no whole idx file", root=str(tmp_path))
    file.unlink()
    refused("mnist", "train-images-idx3-ubyte.gz", "mnist.download", root=str(tmp_path))


def test_other_records_than_the_published_ones_are_refused(tmp_path: Path) -> None:
    four(tmp_path)
    refused("fashion_mnist", "(20, 1, 28, 28)", "(70000, 1, 28, 28)", root=str(tmp_path))
    x = np.zeros((8, 2))
    published.expected("d", x, np.arange(8) % 4, (8, 2), 4)
    for y in (np.arange(8) % 3, np.arange(8) % 4 + 1, np.arange(7) % 4):
        with pytest.raises(SweepError, match="of 4 were published"):
            published.expected("d", x, y, (8, 2), 4)


@pytest.mark.parametrize(
    ("name", "reader", "shape", "classes"),
    [("cifar100", "CIFAR100", (60_000, 3, 32, 32), 100), ("svhn", "SVHN", (99_289, 3, 32, 32), 10)],
)
def test_torchvisions_train_before_test(
    name: str,
    reader: str,
    shape: tuple[int, ...],
    classes: int,
    monkeypatch: pytest.MonkeyPatch,
    small: list[Any],
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(20) % 10

    class Reader:
        """What both readers of torchvision have."""

        def __init__(self, root: str, download: bool, **which: Any) -> None:
            first = which in ({"train": True}, {"split": "train"})
            on = slice(0, 12) if first else slice(12, 20)
            self.targets = self.labels = labels[on].tolist()
            self.data = pixels[on] if name == "cifar100" else pixels[on].transpose(0, 3, 1, 2)

    monkeypatch.setattr(torchvision.datasets, reader, Reader)
    if name == "cifar100":  # of the 100 classes so few records hold ten
        monkeypatch.setattr("raymia.records.data._problem", lambda data: "")
    data = read(name)
    assert (data.x == pixels.transpose(0, 3, 1, 2)).all() and (data.y == labels).all()
    assert data.x.flags.c_contiguous and small == [(shape, classes)]


def test_what_cannot_be_found_names_what_to_get(tmp_path: Path) -> None:
    where = str(tmp_path / "nowhere")
    refused("cifar100", "cifar-100-python", "cifar100.download", root=where)
    refused("svhn", "train_32x32.mat", "svhn.root", root=where)
    refused("purchase100", "dataset_purchase.tgz", "purchase100.path", path=where)
    refused("texas100", "dataset_texas.tgz", "texas100.path", path=where)
    refused("location30", "location.tgz", "location30.path", path=where)


# ---- tables of zeros and ones ------------------------------------------------------------------

FEATURES = {"purchase100": 600, "texas100": 6169, "location30": 446}


def records(name: str, classes: int = 4, many: int = 40) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, (many, FEATURES[name])), np.arange(many) % classes


def text(values: Array) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in values.tolist()).encode()


def contents(name: str) -> dict[str, bytes]:
    x, y = records(name)
    if name == "texas100":
        return {"texas/100/feats": text(x), "texas/100/labels": text(y[:, None] + 1)}
    inside = {"purchase100": "dataset_purchase", "location30": "bangkok"}[name]
    return {inside: text(np.column_stack([y + 1, x]))}


def as_tar(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "archive.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for inside, content in files.items():
            info = tarfile.TarInfo(inside)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def as_zip(folder: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for inside, content in files.items():
            archive.writestr(inside, content)
    return folder / "archive.zip"


def as_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for inside, content in files.items():
        (folder / "files" / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / inside).write_bytes(content)
    return folder / "files"


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("packed", [as_tar, as_zip, as_folder], ids=lambda f: f.__name__)
def test_tables_in_their_archives(
    name: str, packed: Callable[..., Path], tmp_path: Path, small: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("raymia.records.data._problem", lambda data: "")  # four of its classes
    path = packed(tmp_path, contents(name))
    before = sorted(tmp_path.rglob("*"))
    data, (x, y) = read(name, path=str(path)), records(name)
    assert (data.x == x).all() and (data.y == y).all() and data.x.dtype == np.float32
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked to the disk


@pytest.mark.parametrize("name", ["purchase100", "location30"])
def test_a_table_that_lies_there_itself(
    name: str, tmp_path: Path, small: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymia.records.data._problem", lambda data: "")
    (content,) = contents(name).values()
    (tmp_path / "table").write_bytes(content)
    assert (read(name, path=str(tmp_path / "table")).x == records(name)[0]).all()


@pytest.mark.parametrize("hot", [False, True])
def test_the_npz_that_circulates(
    hot: bool, tmp_path: Path, small: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raymia.records.data._problem", lambda data: "")
    x, y = records("purchase100")
    path = tmp_path / "purchase100.npz"
    np.savez(path, features=x, labels=np.eye(4)[y] if hot else y)
    data = read("purchase100", path=str(path))
    assert (data.x == x).all() and (data.y == y).all()
    np.savez(path, x=x, y=y)
    refused("purchase100", "no array 'features'", "it has x, y", path=str(path))
    np.savez(path, features=np.array([{}], dtype=object), labels=y)
    refused("purchase100", "purchase100", path=str(path))


def test_other_tables_are_refused(tmp_path: Path) -> None:
    x, y = records("location30")
    for content, why in (
        (text(np.column_stack([y + 1, x[:, 1:]])), "446 zeros and ones were published"),
        (text(np.column_stack([y + 1, 2 * x])), "446 zeros and ones were published"),
        (b"a,b\n1,2\n", "no table of whole numbers"),
        (text(np.column_stack([y + 1, x])), "records of shape (40, 446)"),
    ):
        refused("location30", why, path=str(as_tar(tmp_path, {"bangkok": content})))
    other = as_tar(tmp_path, {"other": b"1,2\n"})
    refused("location30", "holds no file 'bangkok'", path=str(other))


def test_links_and_places_outside_of_an_archive_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(next(iter(contents("location30").values())))
    path = tmp_path / "evil.tgz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("bangkok")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    refused("location30", "holds no file 'bangkok'", path=str(path))
