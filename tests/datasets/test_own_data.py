"""Data sets of one's own: tables and folders of images."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loaded import paint, read, refused
from PIL import Image

from raymia.errors import EnvironmentFault
from raymia.readers import pictures

# ---- table


def test_table_numbers_and_categories(tmp_path: Path) -> None:
    rows = "".join(
        f"{i},{'red' if i % 3 else 'blue'},{i / 4},{'yes' if i % 2 else 'no'}\n" for i in range(9)
    )
    (tmp_path / "a.csv").write_text("age,colour,share,bought\n" + rows)
    data = read("table", path=str(tmp_path / "a.csv"), label="bought")
    assert data.x[4].tolist() == [4, 0, 1, 1.0], "age, colour=blue, colour=red, share"
    assert data.x[3].tolist() == [3, 1, 0, 0.75]
    assert data.y.tolist() == [0, 1] * 4 + [0] and not data.image
    assert data.mean == (0.0,) and data.std == (1.0,)
    assert read("table", path=str(tmp_path / "a.csv"), label=-1).sha256() == data.sha256()


def test_table_like_location30_and_two_files(tmp_path: Path) -> None:
    """No header, the label first and quoted; the second file follows the first."""
    (tmp_path / "train.csv").write_text("".join(f'"{10 - i % 5}",{i % 2},1\n' for i in range(10)))
    (tmp_path / "test.csv").write_text("".join(f'"{10 - i % 5}",0,0\n' for i in range(3)))
    knobs: dict[str, Any] = dict(label=0, header=False)
    data = read("table", path=[str(tmp_path / "train.csv"), str(tmp_path / "test.csv")], **knobs)
    assert data.x.shape == (13, 2) and data.x[:, 1].tolist() == [1] * 10 + [0] * 3
    assert data.y[:5].tolist() == [4, 3, 2, 1, 0], "10 is the largest number, not the second text"
    assert read("table", path=str(tmp_path), **knobs).sha256() == data.sha256(), (
        "a folder of train.csv and test.csv"
    )
    turned = read("table", path=[str(tmp_path / "test.csv"), str(tmp_path / "train.csv")], **knobs)
    assert turned.x[:, 1].tolist() == [0] * 3 + [1] * 10


GOOD = "a,b,y\n" + "1,2,0\n3,4,1\n" * 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "5,,1\n", ("column 'b'", "line 12", "empty")),
        (
            GOOD.replace("3,4,1", "3,NA,1", 1),
            ("column 'b'", "line 3", ": 'NA' stands among numbers"),
        ),
        (
            GOOD.replace("3,4,1", "3,nan,1", 1),
            ("column 'b'", "line 3", ": 'nan' stands among numbers"),
        ),
        (GOOD + "5,6,nan\n", ("column 'y'", "line 12", ": 'nan' stands among numbers")),
        (GOOD + "5,6,None\n", ("column 'y'", "line 12", ": 'None' stands among numbers")),
        (GOOD + '5,"  ",1\n', ("column 'b'", "line 12", "empty")),
        (GOOD.replace("a,b", "a,a"), ("columns 0 and 1", "both named 'a'")),
        (GOOD.replace("a,b,y", "y,b,y "), ("columns 0 and 2", "both named 'y'")),
        (
            GOOD + "99999999999999999999,x,1\n",
            ("column 'b'", "line 12", ": 'x' stands among numbers"),
        ),
        (GOOD + f"1{'0' * 39},2,1\n", ("column 'a'", "line 12", "not finite")),
        (GOOD + "x,2,1\n", ("column 'a'", "line 12", ": 'x' stands among numbers")),
        (GOOD + "inf,2,1\n", ("column 'a'", "line 12", "not finite")),
        (GOOD + "1e99,2,1\n", ("column 'a'", "line 12", "not finite")),
        (GOOD + "1,2,\n", ("column 'y'", "line 12", "empty")),
        (GOOD + "1,2,1,7\n", ("cannot be read",)),
        (GOOD.replace("\n1,2,0", "\n1,2,0,9"), ("cannot be read",)),
        (GOOD.replace(",y", ",Y"), ("no column 'y'", "allowed: Y, a, b")),
        (GOOD.replace(",1\n", ",0\n"), ("every record has the label 0",)),
        (GOOD.replace(",1\n", ",0.5\n"), ("fractions",)),
        ("a,b,y\n1,2,0\n", ("1 records",)),
        ("", ("cannot be read",)),
        ("y\n" + "1\n0\n" * 5, ("empty",)),
        (
            "a,y\n" + "".join(f"name{i},{i % 2}\n" for i in range(1001)),
            ("column 'a'", "1001 texts in 1001 records", "table.drop: ['a']"),
        ),
    ],
)
def test_table_refused(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "a.csv").write_text(text)
    refused("table", *words, path=str(tmp_path / "a.csv"), label="y")


def test_table_takes_whole_numbers_beyond_64_bits_as_floats(tmp_path: Path) -> None:
    """Alone, beside small ones, and where neither int64 nor uint64 holds both."""
    big = 9999999999999999999999
    columns = [[big] * 8, [big, *range(7)], [2**64 - 1, -1, *range(6)], [-big, big] * 4]
    whole: dict[str, Any] = {"label": "y", "copies": "keep"}
    for i, column in enumerate(columns):
        (tmp_path / f"{i}.csv").write_text(
            "a,y\n" + "".join(f"{a},{j % 2}\n" for j, a in enumerate(column))
        )
        data = read("table", path=str(tmp_path / f"{i}.csv"), **whole)
        assert (data.x == np.array(column, dtype=np.float64).astype(np.float32)[:, None]).all()
    # as labels they stay apart, though no float tells them from each other
    (tmp_path / "y.csv").write_text("y,a\n" + "".join(f"{2**70 + i % 2},{i}\n" for i in range(8)))
    assert read("table", path=str(tmp_path / "y.csv"), label="y").y.tolist() == [0, 1] * 4


def test_table_takes_words_for_nothing_as_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("country,answer\nNA,None\nUS,null\n" + "NA,None\nUS,null\n" * 4)
    data = read("table", path=str(tmp_path / "a.csv"), label="answer", copies="keep")
    assert (
        data.x.tolist() == [[1, 0], [0, 1]] * 5
        and data.y.tolist() == [0, 1] * 5
        and data.names == ("None", "null")
    )


def test_table_spaces_around_a_text_are_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("colour , y \n" + 'red, a\nred ,a \nblue,"b "\n blue , b\n' * 2)
    data = read("table", path=str(tmp_path / "a.csv"), label="y", copies="keep")
    assert (
        data.x.tolist() == [[0, 1], [0, 1], [1, 0], [1, 0]] * 2
        and data.y.tolist() == [0, 0, 1, 1] * 2
    )
    assert data.names == ("a", "b")


def test_table_without_names_calls_columns_by_their_index(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,0\n3,4,1\n" * 5 + "oops,2,1\n")
    refused(
        "table",
        "column 0 of",
        "line 11: 'oops' stands among numbers",
        path=str(tmp_path / "a.csv"),
        label=2,
        header=False,
    )
    (tmp_path / "b.csv").write_text(",b,,y\n" + "1,2,3,0\n4,5,6,1\n" * 5)
    assert read("table", path=str(tmp_path / "b.csv"), label="y", copies="keep").x.shape == (
        10,
        3,
    ), "two columns without a name are two"


def test_table_refuses_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(GOOD.replace("a,b", "b,a"))
    (tmp_path / "raw.csv").write_bytes(b"a,y\n\xff\xfe,1\n")
    refused(
        "table", "same columns", path=[str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], label="y"
    )
    refused("table", "there is no file", path=str(tmp_path / "c.csv"), label="y")
    refused("table", "columns 0..2", path=str(tmp_path / "a.csv"), label=3)
    refused("table", "cannot be read", path=str(tmp_path / "raw.csv"), label="y")
    refused("table", "label must be given", path=str(tmp_path / "a.csv"))


def test_table_error_in_the_second_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(GOOD + "5,,1\n")
    refused(
        "table",
        "b.csv', line 12",
        path=[str(tmp_path / "a.csv"), str(tmp_path / "b.csv")],
        label="y",
    )


# ---- image_folder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """train/ and test/ of two classes, 8 and 4 images; red numbers them in the order of the
    records.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    number = 0
    for part, count in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                paint(root / part / name / f"{i}.png", number)
                number += 1
    return root


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every path that is decoded from now on."""
    seen: list[Path] = []
    true_decode = pictures._decode

    def counted(path: Path, *rest: Any) -> Any:
        seen.append(path)
        return true_decode(path, *rest)

    monkeypatch.setattr(pictures, "_decode", counted)
    return seen


def test_train_and_test_are_merged_train_first(photos: Path) -> None:
    data = read("image_folder", path=str(photos))
    assert data.x.shape == (12, 3, 4, 4) and data.x.dtype == np.uint8 and data.image
    assert data.x[:, 0, 0, 0].tolist() == list(range(12))
    assert (data.x[:, 1] == 0).all() and (data.x[:, 2] == 255).all(), (
        "channels first, in the order red, green, blue"
    )
    assert data.y.tolist() == [0] * 4 + [1] * 4 + [0] * 2 + [1] * 2
    assert read("image_folder", path=str(photos / "train")).y.tolist() == [0] * 4 + [1] * 4


def test_rows_and_columns_of_an_image_stay(photos: Path) -> None:
    for i in range(8):
        Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) + i).save(
            photos.parent / f"{i}.png"
        )
        target = photos.parent / "flat" / ("a" if i % 2 else "b") / f"{i}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        (photos.parent / f"{i}.png").rename(target)
    data = read("image_folder", path=str(photos.parent / "flat"), grayscale=True)
    assert data.shape == (1, 3, 4) and (data.x[0, 0] == np.arange(12).reshape(3, 4) + 1).all()


def test_images_are_decoded_once(photos: Path, decodes: list[Path]) -> None:
    first = read("image_folder", path=str(photos))
    assert len(decodes) == 12
    again = read("image_folder", path=str(photos))
    assert len(decodes) == 12 and again.sha256() == first.sha256()
    read("image_folder", path=str(photos), size=2)
    assert len(decodes) == 24, "another size is another cache"
    os.utime(photos / "train" / "cat" / "0.png", ns=(1, 1))
    (photos / "test" / "dog" / "1.png").rename(photos / "test" / "dog" / "9.png")
    read("image_folder", path=str(photos))
    assert len(decodes) == 24, "the key is what the files hold, not their names and times"
    paint(photos / "train" / "cat" / "0.png", 77)
    assert read("image_folder", path=str(photos)).x[0, 0, 0, 0] == 77
    assert len(decodes) == 36


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off", None])
def test_a_damaged_cache_is_read_again(
    photos: Path, decodes: list[Path], damage: bytes | None
) -> None:
    first = read("image_folder", path=str(photos))
    (kept,) = (photos.parent / "cache" / "raymia").iterdir()
    raw = bytearray(kept.read_bytes())
    raw[len(raw) // 2] ^= 1  # one bit of a pixel
    kept.write_bytes(bytes(raw) if damage is None else damage)
    assert read("image_folder", path=str(photos)).sha256() == first.sha256()
    assert len(decodes) == 24


def _hash(path: str) -> str:
    return read("image_folder", path=path).sha256()


def test_two_processes_at_once(photos: Path) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        hashes = set(pool.map(_hash, [str(photos)] * 4, chunksize=1))
    assert len(hashes) == 1
    assert [p.suffix for p in (photos.parent / "cache" / "raymia").iterdir()] == [".npz"], (
        "nothing half written is left"
    )


def test_cache_knob_and_a_cache_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    read("image_folder", path=str(photos), cache=str(tmp_path / "mine"))
    assert len(list((tmp_path / "mine").iterdir())) == 1 and not (tmp_path / "cache").exists()
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(EnvironmentFault, match="image_folder.cache"):
        read("image_folder", path=str(photos), cache=str(tmp_path / "taken"))


def test_image_folder_refused(photos: Path, tmp_path: Path) -> None:
    paint(photos / "train" / "cat" / "odd.png", 0, size=(5, 4))
    refused("image_folder", "odd.png", "5x4", "4x4", "image_folder.size", path=str(photos))
    whole = {"path": str(photos), "copies": "keep"}
    assert read("image_folder", **whole, size=4).x.shape == (13, 3, 4, 4)
    (photos / "train" / "cat" / "odd.png").unlink()

    content = (photos / "train" / "dog" / "2.png").read_bytes()
    (photos / "train" / "dog" / "2.png").write_bytes(content[: len(content) // 2])
    refused("image_folder", "dog/2.png", "cannot be decoded", path=str(photos))
    (photos / "train" / "dog" / "2.png").write_bytes(content)

    refused("image_folder", "std above 0", path=str(photos), std=0.0)
    for part in ("train", "test"):
        (photos / part / "eel").mkdir()
        (photos / part / "eel" / "notes.txt").write_text("none yet")
    refused("image_folder", "train/eel", "no picture that can be read", path=str(photos))
    refused("image_folder", "there is no folder", "nowhere", path=str(tmp_path / "nowhere"))
    refused("image_folder", "size: got 0", path=str(photos), size=0)


def test_a_class_may_be_named_like_a_part(photos: Path) -> None:
    root = photos.parent / "classes"
    for i in range(9):
        paint(root / ("test", "valid", "Train")[i % 3] / f"{i}.png", i)
    data = read("image_folder", path=str(root))
    assert (
        data.names == ("Train", "test", "valid") and data.y.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    )


def test_a_class_that_one_part_lacks_is_named(photos: Path) -> None:
    paint(photos / "test" / "eel" / "0.png", 0)
    refused("image_folder", "class 'eel' is in test/ and not in train/", path=str(photos))
    (photos / "test" / "eel").rename(photos / "train" / "eel")
    refused("image_folder", "class 'eel' is in train/ and not in test/", path=str(photos))


def test_sixteen_bits_are_not_clipped_in_silence(photos: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(photos / "train" / "cat" / "deep.png")
    refused("image_folder", "deep.png", "8 bits", path=str(photos))


def test_knobs_reach_json_and_back(tmp_path: Path) -> None:
    """A point keeps its data set as JSON; lists come back as tuples and still make the same
    data.
    """
    (tmp_path / "a.csv").write_text(GOOD)
    knobs = {"path": [str(tmp_path / "a.csv")], "label": "y", "copies": "keep", "drop": ["b"]}
    knobs = json.loads(json.dumps(knobs))
    assert (
        read("table", **knobs).sha256()
        == read("table", **(knobs | {"path": tuple(knobs["path"])})).sha256()
    )
