"""Data, and the data sets that come with it."""

import dataclasses
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loaded import paint, read, refused, some

from raymia.errors import EnvironmentFault, SweepError
from raymia.point import catalog
from raymia.records.data import encode, take

# ---- Data


def nan_at(row: int) -> np.ndarray:
    x = np.zeros((10, 3), np.float32)
    x[row, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("record 7 holds nan at (1,)", dict(x=nan_at(7))),
        ("labels must be in 0..1, got 0..2", dict(y=np.arange(10) % 3)),
        ("labels must be in 0..1, got -1..0", dict(y=-(np.arange(10) % 2))),
        ("every record has the label 1", dict(y=np.ones(10, np.int64))),
        ("x has 9 records and y has 10", dict(x=np.zeros((9, 3), np.float32))),
        ("float32 or uint8", dict(x=np.zeros((10, 3)))),
        ("uint8 is for images", dict(x=np.zeros((10, 3), np.uint8))),
        ("[N, C, H, W]", dict(image=True)),
        ("pixels must be in [0, 1]", dict(image=True, x=np.full((10, 1, 2, 2), 1.5, np.float32))),
        ("std above 0", dict(std=(0.0,))),
        ("mean and std need 1 or 1", dict(mean=(0.0, 0.0))),
    ],
)
def test_data_refuses(words: str, changes: dict[str, Any]) -> None:
    with pytest.raises(SweepError) as error:
        some(**changes)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_data_needs_eight_records() -> None:
    assert len(some(8)) == 8
    with pytest.raises(SweepError, match="7 records; at least 8"):
        some(7)


def test_hash_is_of_what_models_see() -> None:
    a = some()
    assert a.sha256() == replace(a, name="other").sha256() == some().sha256()
    changed = [
        replace(a, x=a.x + 1),
        replace(a, y=1 - a.y),
        replace(a, classes=3),
        replace(a, mean=(1.0,)),
        replace(a, std=(2.0,)),
        replace(a, x=a.x.reshape(10, 3, 1)),
    ]
    assert len({d.sha256() for d in [a, *changed]}) == 1 + len(changed)
    column_major = replace(a, x=np.asfortranarray(a.x))
    assert column_major.sha256() == a.sha256()


def test_a_draw_is_the_seeds_and_holds_the_smaller_one() -> None:
    data = some(200)
    first, again, other = (take(data, 50, seed).x[:, 0] for seed in (0, 0, 1))
    assert (first == again).all() and set(first) != set(other)
    assert set(first) < set(take(data, 120, 0).x[:, 0])
    assert (np.diff(first) > 0).all(), "the order of the source is kept"
    drawn = take(data, 50, 0)
    assert (drawn.y == (drawn.x[:, 0] // 3) % 2).all(), "labels stay with their records"


def test_too_many_records_says_how_many_there_are() -> None:
    refused("digits", "1798 asked", "there are 1797", records=1798)
    refused("digits", "at least 8", records=7)


def test_encode_sorts_numbers_as_numbers_and_texts_as_texts() -> None:
    y, names = encode([10, 9, 10, -1], "t")
    assert y.tolist() == [2, 1, 2, 0] and names == (-1, 9, 10)
    assert encode(["10", "9", "a"], "t")[0].tolist() == [0, 1, 2]
    assert encode(["b", "a"], "t")[1] == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1.0, 0.5], "fractions (a regression target?), the first of them 0.5 in record 1"),
        ([0.5, 1.0, np.nan], "got NaN in record 2"),
        ([1.0, -np.inf], "got -inf in record 1"),
    ],
)
def test_encode_says_which_label_is_none(labels: list[float], words: str) -> None:
    with pytest.raises(SweepError) as error:
        encode(labels, "t")
    assert words in str(error.value) and ("fractions" in str(error.value)) == ("fractions" in words)


def test_labels_are_shown_as_the_file_has_them(tmp_path: Path) -> None:
    """Also where a draw, and not the file, has but one class left."""
    x = np.zeros((10, 2))
    refused(
        "arrays",
        "every record has the label 7;",
        path=saved(tmp_path / "a.npz", x=x, y=np.full(10, 7)),
        copies="keep",
    )
    refused(
        "arrays",
        "every record has the label 'dog';",
        path=saved(tmp_path / "b.npz", x=x, y=np.array(["dog"] * 10)),
        copies="keep",
    )
    y = np.array(["cat"] + ["dog"] * 999)
    path = saved(tmp_path / "c.npz", x=np.arange(2000).reshape(1000, 2), y=y)
    refused("arrays", "every record has the label 'dog';", path=path, records=8)
    (tmp_path / "d.csv").write_text("a,y\n" + "".join(f"{i},7.0\n" for i in range(8)))
    refused("table", "every record has the label 7.0;", path=str(tmp_path / "d.csv"), label="y")
    for i in range(8):
        paint(tmp_path / "pics" / "cat" / f"{i}.png", i)
    refused(
        "image_folder",
        "every record has the label 'cat';",
        path=str(tmp_path / "pics"),
        cache=str(tmp_path / "cache"),
    )


@pytest.mark.parametrize("name", catalog.names("datasets"))
def test_every_data_set_has_a_summary_a_source_and_a_recipe(name: str) -> None:
    described, cls = catalog.describe("datasets", name), catalog.find("datasets", name)
    assert described["summary"].endswith(".") and described["source"]
    assert "records" in catalog.knobs(cls)
    required = {
        k.name: "x" for k in catalog.knobs(cls).values() if k.default is dataclasses.MISSING
    }
    assert catalog.make("datasets", name, required).training(1000).epochs >= 1
    assert cls.cite == "" or cls.cite.startswith("@")


# ---- digits


def test_digits() -> None:
    data = read("digits")
    assert data.x.shape == (1797, 1, 8, 8) and data.image and data.classes == 10
    assert data.y[:10].tolist() == list(range(10))
    assert data.x.min() == 0 and data.x.max() == 1
    assert data.x.mean() == pytest.approx(data.mean[0], abs=1e-4) and data.x.std() == pytest.approx(
        data.std[0], abs=1e-4
    )
    zero = data.x[0, 0]  # upright: the hole of the 0 is in the middle, and the sides are ink
    assert zero[3:5, 3:5].max() < 0.5 < zero[3:5, 2].max()


# ---- cifar10


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the authors' format, 2 records each; red is the file's number, green the row,
    blue the column.
    """
    import hashlib

    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def written(name: str, body: dict[str, Any]) -> list[str]:
        raw = pickle.dumps(body)
        (folder / name).write_bytes(raw)
        return [name, hashlib.md5(raw).hexdigest()]

    row, column = np.divmod(np.arange(1024, dtype=np.int64), 32)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    files = []
    for i, name in enumerate(names):
        flat = np.concatenate([np.full(1024, i), row, column]).astype(np.uint8)
        files.append(written(name, {"data": np.stack([flat, flat]), "labels": [i, 9]}))
    meta = written("batches.meta", {"label_names": [str(i) for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "train_list", files[:5])
    monkeypatch.setattr(CIFAR10, "test_list", files[5:])
    monkeypatch.setattr(
        CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    )
    return tmp_path


def test_cifar10_is_the_authors_files_train_first(batches: Path) -> None:
    data = read("cifar10", root=str(batches))
    assert data.x.shape == (12, 3, 32, 32) and data.x.dtype == np.uint8 and data.image
    assert data.x[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert data.y.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9]
    assert (data.x[3, 1] == np.arange(32)[:, None]).all() and (
        data.x[3, 2] == np.arange(32)[None, :]
    ).all()


def test_cifar10_missing_or_damaged(batches: Path, tmp_path: Path) -> None:
    refused("cifar10", "cifar-10-batches-py", "download", root=str(tmp_path / "nowhere"))
    damaged = batches / "cifar-10-batches-py" / "data_batch_3"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    refused("cifar10", "cifar-10-batches-py", root=str(batches))


def test_cifar10_with_a_torchvision_of_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    true_import = builtins.__import__

    def broken(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("torchvision"):
            raise RuntimeError("operator torchvision::nms does not exist")
        return true_import(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(EnvironmentFault, match="nms does not exist.*belongs to this torch"):
        read("cifar10")


# ---- arrays


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_arrays_features(tmp_path: Path) -> None:
    x = np.arange(30).reshape(10, 3)
    data = read("arrays", path=saved(tmp_path / "a.npz", x=x, y=np.array([5, 2] * 5)))
    assert (data.x == x).all() and data.x.dtype == np.float32 and not data.image
    assert data.y.tolist() == [1, 0] * 5 and data.classes == 2


def test_arrays_images_stay_bytes_and_text_labels_are_sorted(tmp_path: Path) -> None:
    x = np.arange(10 * 3 * 2 * 5).astype(np.uint8).reshape(10, 3, 2, 5)
    data = read("arrays", path=saved(tmp_path / "a.npz", x=x, y=np.array(["dog", "cat"] * 5)))
    assert (
        (data.x == x).all() and data.x.dtype == np.uint8 and data.image and data.shape == (3, 2, 5)
    )
    assert data.y.tolist() == [1, 0] * 5


def test_arrays_refused(tmp_path: Path) -> None:
    y = np.arange(10) % 2
    refused("arrays", "there is no file", "nowhere.npz", path=str(tmp_path / "nowhere.npz"))
    (tmp_path / "text.npz").write_text("not a zip")
    refused("arrays", "not an .npz", path=str(tmp_path / "text.npz"))
    refused(
        "arrays",
        "has no x, it holds X, y",
        "arrays.x",
        path=saved(tmp_path / "b.npz", X=np.zeros((10, 2)), y=y),
    )
    refused("arrays", "(10, 2, 2)", path=saved(tmp_path / "c.npz", x=np.zeros((10, 2, 2)), y=y))
    refused(
        "arrays",
        "record 0 holds inf",
        path=saved(tmp_path / "d.npz", x=np.full((10, 2), 1e300), y=y),
    )
    refused("arrays", "fractions", path=saved(tmp_path / "e.npz", x=np.zeros((10, 2)), y=y + 0.5))


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_arrays_never_unpickles(tmp_path: Path) -> None:
    objects = np.array([Payload(tmp_path / "marker")] * 10, dtype=object)
    path = tmp_path / "evil.npz"
    np.savez(path, allow_pickle=True, x=np.zeros((10, 2)), y=objects)
    refused("arrays", "cannot be read", "y holds Python objects", "y.astype(str)", path=str(path))
    np.savez(path, allow_pickle=True, x=objects, y=np.arange(10) % 2)
    refused("arrays", "x holds Python objects", "x.astype('float32')", path=str(path))
    assert not (tmp_path / "marker").exists()
