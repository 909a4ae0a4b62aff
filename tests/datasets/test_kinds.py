"""Files as people have them: read right, or refused in one line that names the knob."""

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loaded import paint, read, refused
from PIL import Image

from raymia.records.account import account, sentences
from raymia.records.data import Data

N = 60


def table(folder: Path, text: str | bytes, name: str = "t.csv", **knobs: Any) -> Data:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read("table", **{"path": str(folder / name), "label": "y"} | knobs)


def wrong(folder: Path, text: str | bytes, *words: str, name: str = "t.csv", **knobs: Any) -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("table", *words, **{"path": str(folder / name), "label": "y"} | knobs)


def lines(*columns: Callable[[int], Any], head: str = "a,b,y", mark: str = ",") -> str:
    """A file of N records: a number that is no whole one, what is given, and a label."""
    rows = [[f"{(i * 37 % 101) / 7:.4f}", *(c(i) for c in columns), i % 2] for i in range(N)]
    return "\n".join([head, *(mark.join(map(str, row)) for row in rows)]) + "\n"


# ---- a column of texts that is none of categories ----------------------------------------------

NO_CATEGORIES: dict[str, tuple[Callable[[int], str], str]] = {
    "decimal comma": (lambda i: f'"{i},{i % 10}"', "numbers with commas"),
    "few decimal commas": (lambda i: f'"1,{i % 4}"', "numbers with commas"),
    "thousands": (lambda i: f"{i % 7 + 1} 000", "numbers with separated thousands"),
    "percent": (lambda i: f"{i % 5}0%", "percentages"),
    "dollars": (lambda i: f"${i % 6}.50", "amounts of money"),
    "euros": (lambda i: f"{i % 6}0 €", "amounts of money"),
    "minus": (lambda i: f"−{i % 9}.5", "typographic minus"),
    "hex": (lambda i: hex(i % 8), "hexadecimal"),
    "brackets": (lambda i: f"({i % 9}.50)", "brackets"),
    "iso dates": (lambda i: f"2021-{i % 12 + 1:02}-01", "dates or times"),
    "german dates": (lambda i: f"{i % 28 + 1}.3.2021", "dates or times"),
    "timestamps": (lambda i: f"2021-03-{i % 28 + 1:02}T10:00:{i:02}Z", "dates or times"),
    "month names": (lambda i: f"{i % 28 + 1} Mar 2021", "dates or times"),
    "clock": (lambda i: f"{i % 12}:30 pm", "dates or times"),
    "units": (lambda i: f"{i % 20} kg", "numbers with units"),
    "identifiers": (lambda i: f"P{i * 7919 % 99991:05x}", "60 texts in 60 records"),
    "nearly identifiers": (lambda i: f"name {i % 50}", "50 texts in 60 records"),
    "free text": (
        lambda i: f"the patient number {i % 25} had a cough",
        "25 texts of 7 words each",
    ),
}


@pytest.mark.parametrize("kind", NO_CATEGORIES)
def test_a_text_that_is_no_category_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    cell, words = NO_CATEGORIES[kind]
    text = lines(cell)
    wrong(tmp_path, text, "column 'b'", words, "table.drop: ['b']", "table.categories")
    assert table(tmp_path, text, drop=["b"]).shape == (1,)
    assert table(tmp_path, text, categories=[1]).shape[0] > 1, "who asks for it gets it"


@pytest.mark.parametrize(
    "cells",
    [
        "20-29 30-39 40+",
        "1st 2nd 3rd 4th",
        "A1 B2 C3",
        "yes no",
        "10.0.0.1 10.0.0.2",
        "Jan Feb",
        "4WD 2WD",
    ],
)
def test_categories_are_categories(cells: str, tmp_path: Path) -> None:
    names = cells.split()
    data = table(tmp_path, lines(lambda i: names[i % len(names)]))
    assert data.shape == (1 + len(names),)
    assert data.columns[1]["categories"] == {n: N // len(names) for n in sorted(names)}


def test_numbers_are_written_as_the_sweep_says(tmp_path: Path) -> None:
    rows = [f"{i},{i % 10};1.{i % 9}00,5;{i % 2}" for i in range(N)]
    knobs: dict[str, Any] = {"separator": ";", "decimal": ",", "thousands": "."}
    data = table(tmp_path, "\n".join(["a;b;y", *rows]), **knobs)
    assert data.x[:9, 1].tolist() == [1000.5 + 100 * i for i in range(9)]
    assert data.x[3, 0] == np.float32(3.3)
    wrong(tmp_path, lines(lambda i: '"12,34"'), "stands among", thousands=",", numbers=["b"])


def test_codes_with_leading_zeros_are_not_merged(tmp_path: Path) -> None:
    text = lines(lambda i: ("01", "1", "10")[i % 3])
    wrong(tmp_path, text, "column 'b'", "leading zeros ('01')", "table.categories")
    assert table(tmp_path, text, categories=["b"]).shape == (4,)
    assert table(tmp_path, text, numbers=["b"]).shape == (2,)


# ---- headers, indices, identifiers -------------------------------------------------------------


def test_a_header_that_is_none_and_a_record_that_is_one(tmp_path: Path) -> None:
    text = lines(lambda i: i % 5)
    bare = text.split("\n", 1)[1]
    wrong(tmp_path, bare, "looks like a record", "table.header to false", label=2)
    assert len(table(tmp_path, bare, label=2, header=False, copies="keep")) == N
    believed = "7.5,3,0\n" + bare
    assert len(table(tmp_path, believed, label=2, header=True, copies="keep")) == N
    words = "\n".join(f"{'rb'[i % 2]},{'xyz'[i % 3]},{'no yes'.split()[i % 2]}" for i in range(N))
    wrong(tmp_path, words, "looks like a record", label=2)
    named = "colour,kind,class\n" + words
    wrong(tmp_path, named, "looks like names (colour, kind, class)", label=2, header=False)
    assert len(table(tmp_path, named, label=2, copies="keep")) == N


@pytest.mark.parametrize("names", ["0,1,2,y", "1990,1995,2000,y", "p1,p2,p3,y", "64,y"])
def test_names_may_count(names: str, tmp_path: Path) -> None:
    width = names.count(",")
    rows = [",".join(f"{(i * (j + 3)) % 17 / 4}" for j in range(width)) for i in range(N)]
    text = "\n".join([names, *(f"{row},{i % 2}" for i, row in enumerate(rows))])
    knobs = {"header": True} if width == 1 else {}
    assert table(tmp_path, text, **knobs, copies="keep").shape == (width,)


@pytest.mark.parametrize(
    ("head", "cell", "words"),
    [
        (",b,y", lambda i: i, "has no name in the file"),
        (",b,y", lambda i: i + 1, "has no name in the file"),
        ("Id,b,y", lambda i: i + 1, "counts the records (1, 2, ...)"),
        ("row,b,y", lambda i: N - i, "counts the records"),
        ("customer,b,y", lambda i: i * 7919 % 99991, "another whole number in every record"),
        ("code,b,y", lambda i: f"{i * 31}.0", "another whole number in every record"),
    ],
)
def test_an_index_is_no_feature(
    head: str, cell: Callable[[int], Any], words: str, tmp_path: Path
) -> None:
    rows = [f"{cell(i)},{(i * 37 % 101) / 7:.4f},{i % 2}" for i in range(N)]
    text, name = "\n".join([head, *rows]), head.split(",")[0] or "Unnamed: 0"
    wrong(tmp_path, text, f"column '{name}'", words, f"table.drop: ['{name}']", "table.numbers")
    assert table(tmp_path, text, drop=[0]).shape == (1,)
    assert table(tmp_path, text, numbers=[name]).shape == (2,)


def test_an_index_that_begins_again_in_the_second_file_is_one(tmp_path: Path) -> None:
    rows = [f"{i},{(i * 37 % 101) / 7:.4f},{i % 2}" for i in range(N)]
    (tmp_path / "train.csv").write_text("\n".join(["n,b,y", *rows]))
    (tmp_path / "test.csv").write_text("\n".join(["n,b,y", *rows[:30]]))
    refused("table", "column 'n' counts the records", path=str(tmp_path), label="y")


def test_whole_numbers_that_float32_cannot_tell_apart(tmp_path: Path) -> None:
    text = lines(lambda i: 2**40 + i % 30)
    wrong(tmp_path, text, "column 'b'", "30 numbers of which float32 tells 1 apart")
    few = lines(lambda i: 2**24 + i % 30)
    wrong(tmp_path, few, "column 'b'", "30 numbers of which float32 tells")
    assert table(tmp_path, lines(lambda i: 2**40 * (1 + i % 30))).shape == (2,)


# ---- labels ------------------------------------------------------------------------------------


def test_labels_with_leading_zeros_are_three(tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{i / 7:.3f},{('01', '1', '10')[i % 3]}\n" for i in range(N))
    assert table(tmp_path, text).names == ("01", "1", "10")
    assert table(tmp_path, text.replace("01", "0")).names == (0, 1, 10)
    assert table(tmp_path, text.replace("01", "1.0")).names == (1.0, 10.0), "one number"


@pytest.mark.parametrize(("one", "other"), [(">50K", ">50K."), ("cat", "Cat"), ("a b", "a  b")])
def test_labels_that_differ_by_little_are_refused_with_both_places(
    one: str, other: str, tmp_path: Path
) -> None:
    for part, name in (("train", one), ("test", other)):
        rows = "".join(f"{i / 7:.3f}{part[0] == 't'},{name if i % 2 else 'no'}\n" for i in range(N))
        (tmp_path / f"{part}.csv").write_text("a,y\n" + rows.replace("True", ""))
    refused(
        "table", repr(one), repr(other), "train.csv', line 3", "test.csv', line 3",
        path=str(tmp_path), label="y",
    )  # fmt: skip


@pytest.mark.parametrize(
    "labels", [lambda i: i * 3, lambda i: i * 977 % 61, lambda i: f"n{i % 45}", lambda i: i % 22]
)
def test_a_number_to_predict_is_no_class(labels: Callable[[int], Any], tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{i / 7:.3f},{labels(i)}\n" for i in range(N))
    wrong(tmp_path, text, "values in 60 records, fewer than", "regression")
    y = np.array([labels(i) for i in range(N)])
    np.savez(tmp_path / "a.npz", x=np.arange(N * 2.0).reshape(N, 2), y=y)
    refused("arrays", "regression", path=str(tmp_path / "a.npz"))


# ---- how a file is written ---------------------------------------------------------------------


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("header", [None, False])
def test_another_separator_is_named(mark: str, header: bool | None, tmp_path: Path) -> None:
    text = lines(lambda i: i % 5, head="a,b,y".replace(",", mark), mark=mark)
    text = text if header is None else text.split("\n", 1)[1]
    spelled = '"\\t"' if mark == "\t" else f"'{mark}'"
    label: dict[str, Any] = {"label": -1, "header": header}
    wrong(tmp_path, text, f"separated by {spelled}", "set table.separator", **label)
    assert table(tmp_path, text, separator=mark, **label).shape == (2,)
    german = text.replace(".", ",")
    wrong(tmp_path, german, f"separated by {spelled}", **label)
    assert table(tmp_path, german, separator=mark, decimal=",", **label).shape == (2,)


def test_spaces_between_cells(tmp_path: Path) -> None:
    text = lines(lambda i: i % 5, head="a b y", mark=" ")
    wrong(tmp_path, text, "separated by ' '")
    assert table(tmp_path, text.replace(" ", "   "), separator=" ").shape == (2,)


def test_encodings(tmp_path: Path) -> None:
    text = lines(lambda i: ("crème", "thé")[i % 2])
    for marked in ("utf-8-sig", "utf-16"):
        assert table(tmp_path, text.encode(marked)).shape == (3,)
    wrong(tmp_path, text.encode("latin-1"), "byte 0xe8 in line 2 is no utf-8", "table.encoding")
    data = table(tmp_path, text.encode("latin-1"), encoding="latin-1")
    assert list(data.columns[1]["categories"]) == ["crème", "thé"]
    wrong(tmp_path, lines(lambda i: i % 5).encode("utf-16-le"), "zero byte in line 1")
    wrong(tmp_path, text, "encoding: got 'utf-7-bit'", encoding="utf-7-bit")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("ending", PACKED)
def test_packed_files(ending: str, tmp_path: Path) -> None:
    plain = lines(lambda i: i % 5).encode()
    packed, name = PACKED[ending](plain), f"t.csv{ending}"
    assert table(tmp_path, packed, name).sha256() == table(tmp_path, plain).sha256()
    wrong(tmp_path, packed[: len(packed) // 2], name, "cannot be read", name=name)
    wrong(tmp_path, plain, name, f"it is no {ending} file", name=name)
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    wrong(tmp_path, bytes(flipped), name, "cannot be read", name=name)


def test_zips_of_one_file(tmp_path: Path) -> None:
    plain = lines(lambda i: i % 5)
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as file:
        file.writestr("a/t.csv", plain)
        file.writestr("__MACOSX/t.csv", "junk")
    assert read("table", path=str(tmp_path / "t.zip"), label="y").shape == (2,)
    with zipfile.ZipFile(tmp_path / "t.zip", "a") as file:
        file.writestr("b.csv", plain)
    refused("table", "holds 2 files", path=str(tmp_path / "t.zip"), label="y")


def test_parquet_is_the_same_table(tmp_path: Path) -> None:
    import pandas as pd

    text = lines(lambda i: "red" if i % 3 else "blue")
    table(tmp_path, text)
    frame = pd.read_csv(tmp_path / "t.csv")
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    both = [read("table", path=str(tmp_path / f), label="y") for f in ("t.csv", "t.parquet")]
    assert both[0].sha256() == both[1].sha256() and both[0].columns == both[1].columns
    frame.assign(when=pd.Timestamp("2021-01-01")).to_parquet(tmp_path / "d.parquet")
    refused("table", "column 'when' holds dates", path=str(tmp_path / "d.parquet"), label="y")
    whole = (tmp_path / "t.parquet").read_bytes()
    wrong(tmp_path, whole[: len(whole) // 2], "t.parquet", "cannot be read", name="t.parquet")


def test_quotes(tmp_path: Path) -> None:
    """A stray one swallows records; a cell may hold separators, quotes and lines of its own."""
    rows = [f'{i / 7:.3f},"{i % 3}, or ""more""",{i % 2}' for i in range(N)]
    data = table(tmp_path, "\n".join(["a,b,y", *rows]))
    assert list(data.columns[1]["categories"]) == [f'{i}, or "more"' for i in range(3)]
    sizes = [f"{i % 2},{i / 7:.3f},{i % 4} in" for i in range(N)]
    for first, last in ((9, 40), (9, 10)):
        for closing in ('"5', '5"'):  # inches, and a quote that closes a cell in good order
            stray = list(sizes)
            stray[first] = stray[first].rpartition(",")[0] + ',"5'
            stray[last] = stray[last].rpartition(",")[0] + f",{closing}"
            text = "\n".join(["y,a,size", *stray])
            wrong(tmp_path, text, f"line {first + 2}", "table.quote to none")
            assert len(table(tmp_path, text, quote="none", drop=["size"])) == N
    own_lines = [f'{i % 2},{i / 7:.3f},"{i % 4}\n, or so"' for i in range(N)]
    assert len(table(tmp_path, "\n".join(["y,a,size", *own_lines]))) == N
    wrong(tmp_path, "\n".join(["y,a,size", *sizes, '1,2,"5']), "begins in line 62", "quote")
    wrong(tmp_path, "\n".join(["y,a,b", *sizes[:5], "1,2"]), "line 7 has 2 cells", "before it 3")
    names = "\n".join(["a,y", *(f"r{i},{i / 7:.3f},{i % 2}" for i in range(N))])
    wrong(tmp_path, names, "names of records")


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = (
        'a,b,y\n1.5,"x\ny",0\n\n' + "".join(f"{i}.5,z,{i % 2}\n" for i in range(9)) + "oops,z,1\n"
    )
    wrong(tmp_path, text, "line 14", "'oops' stands among numbers")
    data = table(tmp_path, text.replace("oops", "9.5"))
    assert "1 blank lines left out" in data.notes[0]


def test_missing_cells(tmp_path: Path) -> None:
    text = lines(lambda i: ("red", "", "blue")[i % 3])
    wrong(tmp_path, text, "column 'b'", "line 3", "is empty", "table.missing to category")
    data = table(tmp_path, text, missing="category")
    assert data.columns[1]["categories"] == {"(empty)": 20, "blue": 20, "red": 20}
    wrong(tmp_path, lines(lambda i: i % 3 or ""), "line 2", "is empty", "bin", missing="category")
    data = table(tmp_path, lines(lambda i: "", head="a,b,y"))
    assert data.shape == (1,) and "column 'b' left out: every cell is empty" in data.notes


@pytest.mark.parametrize("knob", ["drop", "categories", "numbers"])
def test_columns_are_named_or_refused(knob: str, tmp_path: Path) -> None:
    text = lines(lambda i: i % 5)
    wrong(tmp_path, text, f"{knob}.0: there is no column 'c'", "allowed: a, b, y", **{knob: ["c"]})
    wrong(tmp_path, text, f"{knob}.1: 7 given", "columns 0..2", **{knob: ["a", 7]})


# ---- copies ------------------------------------------------------------------------------------


def test_copies_are_left_out_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 3)).astype(np.float32), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x=np.tile(x, (3, 1)), y=np.tile(y, 3))
    data = read("arrays", path=str(tmp_path / "a.npz"))
    assert (data.x == x).all() and (data.y == y).all(), "the first of each, in their order"
    assert "80 of 120 records are exact copies of others: left out (copies: drop)" in data.notes
    kept = read("arrays", path=str(tmp_path / "a.npz"), copies="keep")
    assert len(kept) == 120 and account(kept)["copies"] == 80 and kept.units == 120
    y[3] = 1 - y[3]
    np.savez(tmp_path / "b.npz", x=np.concatenate([x, x[3:4]]), y=np.append(y, 1 - y[3]))
    other = read("arrays", path=str(tmp_path / "b.npz"))
    assert len(other) == 41 and account(other)["copies_with_another_label"] == 1


# ---- arrays ------------------------------------------------------------------------------------


def arrays(folder: Path, **held: Any) -> str:
    np.savez(folder / "a.npz", **held)
    return str(folder / "a.npz")


@pytest.mark.parametrize(
    ("shape", "layout", "read_as"),
    [
        ((60, 3, 8, 9), None, (3, 8, 9)),
        ((60, 8, 9, 3), None, (3, 8, 9)),
        ((60, 8, 9, 1), None, (1, 8, 9)),
        ((60, 8, 8, 4), None, (4, 8, 8)),
        ((60, 16, 8, 9), "channels_first", (16, 8, 9)),
        ((60, 8, 9, 16), "channels_last", (16, 8, 9)),
        ((60, 3, 8, 4), "channels_first", (3, 8, 4)),
    ],
)
def test_channels(
    shape: tuple[int, ...], layout: str | None, read_as: tuple[int, ...], tmp_path: Path
) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = arrays(tmp_path, x=x, y=np.arange(60) % 2)
    data = read("arrays", path=path, **({"layout": layout} if layout else {}))
    assert data.shape == read_as
    last = x.shape[1:] != read_as
    assert (data.x == (x.transpose(0, 3, 1, 2) if last else x)).all()
    assert any("channels last" in note for note in data.notes) == last


@pytest.mark.parametrize("shape", [(60, 3, 8, 4), (60, 16, 8, 9)])
def test_channels_are_asked_for_where_they_cannot_be_told(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = arrays(tmp_path, x=np.zeros(shape, np.uint8), y=np.arange(60) % 2)
    refused("arrays", str(list(shape)), "arrays.layout", path=path)


def test_labels_of_arrays(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((60, 3)), np.arange(60) % 3
    for spelled in (y[:, None], np.eye(3)[y], np.eye(3, dtype=bool)[y], np.eye(3, dtype=int)[y]):
        data = read("arrays", path=arrays(tmp_path, x=x, y=spelled))
        assert (data.y == y).all() and any("y [60, " in note for note in data.notes)
    soft = np.eye(3)[y] * 0.9 + 0.05
    refused("arrays", "y is [60, 3]", "argmax", path=arrays(tmp_path, x=x, y=soft))
    two = np.eye(3)[y]
    two[7] = [1, 1, 0]
    refused("arrays", "one-hot", path=arrays(tmp_path, x=x, y=two))


def test_pixels(tmp_path: Path) -> None:
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    x = rng.random((60, 1, 4, 6), np.float32)
    over = x.copy()
    over[3, 0, 1, 2] = 1.0000001
    data = read("arrays", path=arrays(tmp_path, x=over, y=y))
    assert data.x.max() == 1 and "1 pixels a little outside [0, 1]" in data.notes[0]
    whole = rng.integers(0, 256, x.shape)
    for given in (whole, whole.astype(np.float64)):
        data = read("arrays", path=arrays(tmp_path, x=given, y=y))
        assert data.x.dtype == np.uint8 and (data.x == whole).all() and data.notes
    signed = x * 2 - 1
    refused("arrays", "(x + 1) / 2", path=arrays(tmp_path, x=signed, y=y))
    refused("arrays", "x / 255", path=arrays(tmp_path, x=x * 254.5, y=y))
    data = read("arrays", path=arrays(tmp_path, x=x, y=y), mean=[0.1], std=0.2)
    assert data.mean == (0.1,) and data.std == (0.2,)


def test_columns_of_arrays_that_cannot_be_meant(tmp_path: Path) -> None:
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    x = np.stack([rng.permutation(60) + 5.0, rng.random(60)], 1)
    data = read("arrays", path=arrays(tmp_path, x=x, y=y))
    assert data.notes == ("column 0 of x counts the records: an index?",)
    for big in (2**40 + np.arange(60), (2**40 + np.arange(60)).astype(np.float64)):
        path = arrays(tmp_path, x=np.stack([rng.random(60) * 0 + 1, big], 1).astype(big.dtype), y=y)
        refused("arrays", "column 1 of x", "60 whole numbers", "float32", path=path)
    fine = np.stack([rng.random(60), 2**40 * (1.0 + np.arange(60) % 7)], 1)
    assert not read("arrays", path=arrays(tmp_path, x=fine, y=y)).notes


def test_a_zip_whose_entry_is_encrypted(tmp_path: Path) -> None:
    path = Path(arrays(tmp_path, x=np.zeros((60, 3)), y=np.arange(60) % 2))
    raw = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(magic) + at] |= 1
    path.write_bytes(bytes(raw))
    refused("arrays", "a.npz", "encrypted", path=str(path))


# ---- pictures ----------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "p"


def fill(root: Path, *places: str, count: int = 5) -> None:
    for j, place in enumerate(places):
        for i in range(count):
            paint(root / place / f"{j}-{i}.png", 20 * j + i)


@pytest.mark.parametrize(
    ("parts", "classes"),
    [
        (("Training", "Testing"), "abcd"),
        (("fold1", "fold2", "fold3"), "ab"),
        (("seg_train/seg_train", "seg_test/seg_test"), "ab"),
        (("site A", "site B"), "ab"),
        (("data/train", "data/val", "data/test"), "ab"),
    ],
)
def test_parts_are_told_by_structure(parts: tuple[str, ...], classes: str, pictures: Path) -> None:
    fill(pictures, *(f"{part}/{name}" for part in parts for name in classes))
    data = read("image_folder", path=str(pictures))
    assert data.names == tuple(classes) and len(data) == 5 * len(parts) * len(classes)
    merged = [note for note in data.notes if note.startswith("merged: ")]
    assert len(merged) == len(parts)
    first = data.x[: 5 * len(classes), 0, 0, 0]
    assert ("rain" in merged[0]) == any("rain" in part for part in parts), "train comes first"
    assert len(set(first.tolist())) == 5 * len(classes)


def test_wrappers_nested_classes_and_what_is_neither(pictures: Path) -> None:
    fill(pictures, "images/a", "images/b")
    data = read("image_folder", path=str(pictures))
    assert data.names == ("a", "b") and "the classes are in 'images'" in data.notes
    fill(pictures.parent / "nested", "cat/persian", "cat/tabby", "dog/terrier", "dog/poodle")
    assert read("image_folder", path=str(pictures.parent / "nested")).names == ("cat", "dog")
    fill(pictures.parent / "kaggle", "train/cat", "train/dog", "test")
    refused("image_folder", "train/ with folders inside and test/ without", "set path to",
            path=str(pictures.parent / "kaggle"))  # fmt: skip


def test_all_formats_and_what_is_left_out(pictures: Path) -> None:
    for j, name in enumerate(("a", "b")):
        for i, ending in enumerate("png webp bmp gif tiff jfif jpe ppm".split()):
            place = pictures / name / f"{i}.{ending}"
            place.parent.mkdir(parents=True, exist_ok=True)
            kind = {"jfif": "JPEG", "jpe": "JPEG"}.get(ending)
            Image.new("RGB", (4, 4), (30 * i, 100 * j, 9)).save(place, kind)
    (pictures / "a" / "notes.txt").write_text("no picture")
    (pictures / "a" / "x.heic").write_bytes(b"no picture")
    (pictures / "a" / ".hidden.png").write_bytes(b"no picture")
    fill(pictures, "a/.ipynb_checkpoints", ".git/c", count=2)
    os.mkfifo(pictures / "b" / "pipe.png")
    data = read("image_folder", path=str(pictures))
    assert len(data) == 16 and data.classes == 2
    said = " ".join(data.notes)
    for words in ("1 .txt files", "1 .heic files", "1 hidden files", "1 hidden folders",
                  "1 files that are no plain ones ('pipe.png')"):  # fmt: skip
        assert words in said, said


def test_links_are_followed_once(pictures: Path) -> None:
    fill(pictures, "a", "b")
    fill(pictures.parent / "more", "-", "-", "x", "y", "z")
    (pictures / "b" / "more").symlink_to(pictures.parent / "more")
    assert len(read("image_folder", path=str(pictures))) == 30
    (pictures.parent / "more" / "back").symlink_to(pictures / "b")
    data = read("image_folder", path=str(pictures))
    assert len(data) == 30 and "links to folders that are read already" in " ".join(data.notes)


def test_upright_and_on_white(pictures: Path) -> None:
    upright = np.zeros((4, 4), np.uint8)
    upright[0] = 255  # a bright top
    for name in ("a", "b"):
        for i in range(4):
            place = pictures / name / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = 6  # the row 0 of the file is the right side
            Image.fromarray(np.rot90(upright)).save(place, exif=exif)
    data = read("image_folder", path=str(pictures), grayscale=True, copies="keep")
    assert (data.x[0, 0, 0] == 255).all() and (data.x[0, 0, 1:] == 0).all()
    assert "8 pictures turned upright, as their EXIF orientation says" in data.notes
    for j, name in enumerate(("c", "d")):
        for i in range(4):
            place = pictures.parent / "q" / name / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            alpha = np.zeros((4, 4, 4), np.uint8)
            alpha[i, :, 3] = 255 - 100 * j
            Image.fromarray(alpha, "RGBA").save(place)
    data = read("image_folder", path=str(pictures.parent / "q"))
    assert (data.x[0, :, 0] == 0).all() and (data.x[0, :, 1:] == 255).all()
    assert (data.x[4, :, 0] == 100).all(), "half transparent black on white"
    assert "8 pictures with an alpha channel laid on white" in data.notes


def test_the_cache_goes_by_content(pictures: Path) -> None:
    """Same names, sizes and times, other pixels."""
    for root, value in (("p", 0), ("q", 100)):
        for j, name in enumerate(("a", "b")):
            for i in range(5):
                place = pictures.parent / root / name / f"{i}.bmp"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (4, 4), (value + 10 * j + i, 0, 0)).save(place)
                os.utime(place, ns=(1, 1))
    found = [read("image_folder", path=str(pictures.parent / root)) for root in "pq"]
    assert (found[1].x[:, 0].astype(int) - found[0].x[:, 0] == 100).all()


# ---- what was read -----------------------------------------------------------------------------


def test_an_account_says_what_was_read(tmp_path: Path) -> None:
    data = table(tmp_path, lines(lambda i: ("red", "blue")[i % 2]), drop=[])
    said = account(data)
    assert said["records"] == N and said["features"] == 3 and said["labels"] == {"0": 30, "1": 30}
    assert said["columns"][0] == {
        "name": "a", "kind": "numbers", "low": 0.0, "high": pytest.approx(14.2857, abs=1e-4),
    }  # fmt: skip
    text = sentences(said)
    assert "table, 60 records, 3 features, 2 classes" in text[0]
    assert "b in 2 categories (blue, red)" in text[1] and "0 (30), 1 (30)" in text[2]
