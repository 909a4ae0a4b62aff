"""Archives that lead out of themselves, pickles that run what they hold, names that a terminal
obeys, texts that a spreadsheet calculates: none does.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_folder import TEXT, call, refused

from raymia.readers import archives, published
from raymia.report import terminal
from raymia.results.folder import Folder
from raymia.results.row import Row

TABLE = "a,b,y\n" + "".join(f"{i}.5,{i % 7}.25,{'pq'[i % 2]}\n" for i in range(40))
BITS = "".join(
    f"{i % 2 + 1},{','.join('01'[(i * j) % 3 > 0] for j in range(600))}\n" for i in range(9)
)


def points(dataset: dict[str, Any], at: Path) -> Any:
    file = at / "x.yaml"
    spelled = json.dumps(dataset)
    file.write_text(TEXT.replace("{digits: {records: 120}}", spelled))
    return call("points", str(file))


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes | str], kind: bytes = tarfile.SYMTYPE) -> bytes:
    """Files, and where a text stands for the content a link to it (or what else `kind` is)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = kind, content
                archive.addfile(info)
    return buffer.getvalue()


def lying(size: int) -> bytes:
    """A tar whose member says that it has that size."""
    info = tarfile.TarInfo("dataset_purchase")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def _huge() -> bytes:
    """An npz whose x says that it has 2^50 numbers."""
    head = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**10)}
    np.lib.format.write_array_header_1_0(head, shape)
    return zipped(("x.npy", head.getvalue()), ("y.npy", b""))


def _encrypted() -> bytes:
    content = bytearray(zipped(("t.csv", TABLE.encode())))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


ZEROS, T, P = b"0" * 2**22, TABLE.encode(), BITS.encode()
X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
ROOT = "dataset_purchase"
# (the file, its bytes, the data set that reads it)
ARCHIVES: list[tuple[str, Callable[[], bytes], str]] = [
    ("../t.csv in a zip", lambda: zipped(("../t.csv", T)), "table"),
    ("/t.csv in a zip", lambda: zipped(("/etc/t.csv", T)), "table"),
    ("..\\t.csv in a zip", lambda: zipped(("..\\t.csv", T)), "table"),
    ("a name twice in a zip", lambda: zipped(("t.csv", T), ("T.csv", T)), "table"),
    ("a zip of nothing", lambda: zipped(), "table"),
    ("a zip in a zip", lambda: zipped(("t.csv", zipped(("t.csv", T)))), "table"),
    ("an encrypted zip", _encrypted, "table"),
    ("a bomb in a zip", lambda: zipped(("t.csv", ZEROS)), "table"),
    ("a bomb in gzip", lambda: gzip.compress(ZEROS), "table"),
    ("a bomb in bzip2", lambda: bz2.compress(ZEROS), "table"),
    ("a bomb in xz", lambda: lzma.compress(ZEROS), "table"),
    ("gzip that is cut off", lambda: gzip.compress(T)[:-9], "table"),
    ("gzip with another sum", lambda: gzip.compress(T)[:-8] + b"\0" * 8, "table"),
    ("a bomb in npz", lambda: zipped(("x.npy", ZEROS), ("y.npy", b"")), "arrays"),
    ("a header of 2^50 numbers", _huge, "arrays"),
    ("a name twice in npz", lambda: npz(x=X, y=Y) + b"", "twice"),
    ("npz that is cut off", lambda: npz(x=X, y=Y)[:-40], "arrays"),
    ("../ in a tar", lambda: tarred((f"../{ROOT}", P)), "purchase100"),
    ("/ in a tar", lambda: tarred((f"/{ROOT}", P)), "purchase100"),
    ("a link in a tar", lambda: tarred((ROOT, "/etc/passwd")), "purchase100"),
    ("a hard link in a tar", lambda: tarred((ROOT, "x"), kind=tarfile.LNKTYPE), "purchase100"),
    ("a device in a tar", lambda: tarred((ROOT, ""), kind=tarfile.CHRTYPE), "purchase100"),
    ("a pipe in a tar", lambda: tarred((ROOT, ""), kind=tarfile.FIFOTYPE), "purchase100"),
    ("a tar of 2^40 bytes", lambda: lying(2**40), "purchase100"),
    ("a tar that is cut off", lambda: tarred((ROOT, P))[:-200], "purchase100"),
    ("a picture", lambda: b"\x89PNG\r\n\x1a\n" + P[:99], "purchase100"),
    ("../ in a zip of tiles", lambda: zipped(("../01_TUMOR/a.tif", b"II*\0")), "ch_mnist"),
]


def test_there_are_twenty_archives() -> None:
    assert len(ARCHIVES) >= 20


@pytest.mark.parametrize(("what", "made", "dataset"), ARCHIVES, ids=[a[0] for a in ARCHIVES])
def test_an_evil_archive_is_refused(
    what: str,
    made: Callable[[], bytes],
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "SMALL", 2**20)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    content = made()
    if dataset == "twice":
        content, dataset = _twice(content), "arrays"
    file = inside / {"arrays": "x.npz", "table": "t.csv", "purchase100": "p.tgz"}.get(
        dataset, "t.zip"
    )
    file.write_bytes(content)
    knobs = {"path": str(file)} | ({"label": "y"} if dataset == "table" else {})
    said = refused(points({dataset: knobs}, inside))
    assert dataset in said
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(
        [file.name, "x.yaml"]
    )


def _twice(content: bytes) -> bytes:
    buffer = io.BytesIO(content)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("x.npy", b"\x93NUMPY")
    return buffer.getvalue()


def test_the_same_in_good_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALL", 2**20)
    monkeypatch.setattr(published, "expected", lambda *_: None)
    (tmp_path / "p.tgz").write_bytes(tarred((f"some/{ROOT}", P)))
    (tmp_path / "x.npz").write_bytes(npz(x=X, y=Y))
    for name, content in (("t.zip", zipped(("t.csv", T))), ("t.gz", gzip.compress(T))):
        (tmp_path / name).write_bytes(content)
        assert (
            points({"table": {"path": str(tmp_path / name), "label": "y"}}, tmp_path).exit_code == 0
        )
    assert points({"arrays": {"path": str(tmp_path / "x.npz")}}, tmp_path).exit_code == 0
    x, y = published.bits("purchase100", str(tmp_path / "p.tgz"), (ROOT,), 600, "")
    assert x.shape == (9, 600) and set(y.tolist()) == {0, 1}


# ---- pickles -----------------------------------------------------------------------------------


class Evil:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _evil(mark: Path) -> np.ndarray[Any, Any]:
    held = np.empty(40, object)
    held[:] = [Evil(mark)] * 40
    return held


def _saved(save: Callable[[io.BytesIO], Any]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


PICKLES: list[tuple[str, Callable[[Path], bytes], str]] = [
    ("x.npz", lambda mark: npz(x=_evil(mark), y=Y), "arrays"),
    ("y.npz", lambda mark: npz(x=X, y=_evil(mark)), "arrays"),
    ("renamed.npz", lambda mark: pickle.dumps(Evil(mark)), "arrays"),
    ("torch.npz", lambda mark: _saved(lambda b: torch.save({"x": Evil(mark)}, b)), "arrays"),
    ("one.npz", lambda mark: _saved(lambda b: np.save(b, _evil(mark))), "arrays"),
    ("t.csv", lambda mark: pickle.dumps(Evil(mark)), "table"),
    ("t.pkl", lambda mark: pickle.dumps(Evil(mark), protocol=0), "table"),
    ("t.pt", lambda mark: _saved(lambda b: torch.save(Evil(mark), b)), "table"),
    ("t.csv.gz", lambda mark: gzip.compress(pickle.dumps(Evil(mark))), "table"),
    ("p.npz", lambda mark: npz(features=_evil(mark), labels=Y), "purchase100"),
    ("p.pkl", lambda mark: pickle.dumps(Evil(mark)), "purchase100"),
    ("p.zip", lambda mark: zipped((ROOT, pickle.dumps(Evil(mark)))), "purchase100"),
    ("a.tif", lambda mark: pickle.dumps(Evil(mark)), "image_folder"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "made", "dataset"), PICKLES, ids=[p[0] for p in PICKLES])
def test_nothing_is_unpickled(
    name: str,
    made: Callable[[Path], bytes],
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark, root = tmp_path / "mark", tmp_path / "data"
    for one in ("p", "q") if dataset == "image_folder" else (".",):
        (root / one).mkdir(parents=True)
        (root / one / name).write_bytes(made(mark))
    path = root if dataset == "image_folder" else root / name
    knobs = {"path": str(path)} | ({"label": 0} if dataset == "table" else {})
    refused(points({dataset: knobs}, tmp_path))
    assert not mark.exists()
    Evil(mark).__reduce__()[0](mark)
    assert mark.exists()  # the mark works


# ---- names -------------------------------------------------------------------------------------

_MARKS = [
    "\x1b[2J",
    "\x1b]0;x\x07",
    "\u202ecba",
    "\u2066x\u2069",
    "\r",
    "\x08",
    "\x7f",
    "\x85",
    "\u2028",
]
NAMES = [f"a{mark}b" for mark in _MARKS] + ["\ufeffa", "a\tb", "a\vb", "a\fb", "\u200ea", "\x9b31m"]
NAMES += ["=1+1", "@x", "-1", "con", "nul", "a" * 300, "../x", "é" * 200, "<script>", "'", "a;b"]


def named(name: str) -> dict[str, Callable[[Path], dict[str, Any]]]:
    """Where a name may stand: what `points` is then asked to read."""

    def column(at: Path) -> dict[str, Any]:
        with open(at / "t.csv", "w", newline="") as file:
            csv.writer(file).writerows(
                [["a", name, "y"], *([i + 0.5, i % 7 + 0.25, "pq"[i % 2]] for i in range(40))]
            )
        return {"table": {"path": str(at / "t.csv"), "label": "y"}}

    def label(at: Path) -> dict[str, Any]:
        with open(at / "t.csv", "w", newline="") as file:
            csv.writer(file).writerows(
                [["a", "b", "y"], *([i + 0.5, i % 7 + 0.25, ["p", name][i % 2]] for i in range(40))]
            )
        return {"table": {"path": str(at / "t.csv"), "label": "y"}}

    def file(at: Path) -> dict[str, Any]:
        return {"arrays": {"path": f"{at}/{name}"}}

    return {"column": column, "label": label, "file": file}


@pytest.mark.parametrize("place", ["column", "label", "file"])
def test_a_name_does_nothing_to_the_terminal(place: str, tmp_path: Path) -> None:
    for name in NAMES:
        result = points(named(name)[place](tmp_path), tmp_path)
        assert result.exit_code in (0, 2) and "Traceback" not in result.output, result.exc_info
        assert all(line.isprintable() for line in result.output.split("\n")), (name, result.output)
        if result.exit_code == 2:
            refused(result)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_sweep_or_an_arm_is_one_or_refused(name: str, tmp_path: Path) -> None:
    for key in ("name", "defenses.0.0", "network", "attacks.0"):
        result = call("points", str(_good(tmp_path)), "--set", f"{key}={json.dumps(name)}")
        if not (key == "name" and name in ("con", "nul")):
            refused(result)
    assert not list(tmp_path.parent.glob("x*.html"))


def _good(at: Path) -> Path:
    (at / "x.yaml").write_text(TEXT.replace("[[], ", "[[mixup], "))
    return at / "x.yaml"


# ---- formulas ----------------------------------------------------------------------------------

_STARTS = ["=", "+", "-", "@", "\t=", "\r=", "\n=", "=\t", "+@", "-+"]
_BODIES = ["1+1", "cmd|' /C calc'!A0", 'HYPERLINK("http://h","x")']
FORMULAS = [start + body for start in _STARTS for body in _BODIES]
LIVE = ("=", "+", "-", "@", "\t", "\r", "\n")


def _cells(text: str) -> Iterator[str]:
    for line in csv.reader(io.StringIO(text)):
        yield from line


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_no_cell_that_we_write_is_a_formula(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for i, text in enumerate(FORMULAS):
        held: Any = dict.fromkeys(("reason", "dataset", "network", "defense", "worst_attack"), text)
        folder.write(
            Row(
                i, f"{i:064x}", text, "done", point={}, knobs={"a.b": text, "a.c": -0.5}, seed=0,
                models=4, targets=2, numbers={"test_accuracy": 0.5, "max_attack_auc": 0.6},
                attacks=[{"attack": text, "target": 0}], notes=[text], **held,
            )
        )  # fmt: skip
    folder.confirm(replace(folder.rows()[0], numbers={"test_accuracy": 0.5, "seeds": 2.0}))
    folder.derive()
    found = [cell for path in tmp_path.glob("*.csv") for cell in _cells(path.read_text())]
    assert len(found) > 30 * 10 and "-0.5" in found
    assert not [cell for cell in found if cell.startswith(LIVE) and not _is_number(cell)]
    printed = list(_cells(call("pareto", str(tmp_path), "--all", "--csv").stdout))
    assert set(_cells((tmp_path / "trials.csv").read_text())) <= set(printed)
    assert not [cell for cell in printed if cell.startswith(LIVE) and not _is_number(cell)]


def test_no_cell_that_we_print_is_a_formula(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_csv(["note", "n"], [[text, -0.5] for text in FORMULAS])
    found = list(_cells(capsys.readouterr().out))
    assert found.count("-0.5") == len(FORMULAS) and len(found) == 2 * len(FORMULAS) + 2
    assert not [cell for cell in found if cell.startswith(LIVE) and not _is_number(cell)]
