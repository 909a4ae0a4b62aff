"""What says something of single records is for its owner alone, and nothing that is read runs."""

import os
import pickle
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from raymia import cli
from raymia.records.data import load as load_data
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.store import Store
from raymia.study import sweep
from raymia.trial import run as trial

TINY = """
name: private
dataset: {digits: {records: 120}}
network: {mlp: {width: 8}}
protocol: {coin: {models: 4, targets: 1}}
defenses: [[], [relaxloss]]
attacks: [loss]
training: {epochs: 1}
search: {trials: 2}
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of two trials, made under a umask that hides nothing."""
    out = tmp_path_factory.mktemp("private") / "out"
    file, folder, umask = sweep.parse(TINY), Folder(out), os.umask(0o000)
    try:
        data, rows = load_data(file.dataset, 0), []
        for i in range(2):
            point = file.point(i, file.default(i), 0, data)
            row = trial.run(point, data, out / "signals", keep=folder.storage.replace)
            folder.write(row)
            rows.append(row)
        folder.write_sweep(sweep.dump(file.resolved()))
        folder.derive()
    finally:
        os.umask(umask)
    return out


def test_signals_are_for_their_owner_alone_and_tables_may_be_shown(finished: Path) -> None:
    private = [finished / "signals", finished / "scores"]
    below = [path for one in private for path in one.rglob("*")]
    assert len(below) > 10
    folders = [*private, *(p for p in below if p.is_dir())]
    assert {mode(path) for path in folders} == {0o700}
    assert {mode(path) for path in below if path.is_file()} == {0o600}
    assert mode(finished / "trials.csv") == 0o666 and mode(finished) == 0o777


def test_signals_that_come_by_the_driver_are_no_different(tmp_path: Path) -> None:
    """As `transport` writes them: by their name in the results folder."""
    Store(Local(tmp_path), "signals/abc").put("model-0.npz", b"what it said")
    made = [tmp_path / "signals", *(tmp_path / "signals").rglob("*")]
    assert [oct(mode(path)) for path in made] == ["0o700", "0o700", *["0o600"] * 2]


def test_what_killed_writers_left_is_gone_once_the_folder_is_held(tmp_path: Path) -> None:
    names = (".a.1.tmp", "trials/.b.2.tmp", "confirm/.c.3.tmp", "signals/k/.model-0.npz.4.tmp")
    for name in (*names, "signals/k/model-0.npz", "signals/k/index.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    with Folder(tmp_path).lock():
        left = sorted(
            p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()
        )
    assert left == [".lock", "signals/k/index.json", "signals/k/model-0.npz"]


# ---- a pickle in every place -------------------------------------------------------------------


class Poison:
    """Unpickled, it makes a file: whoever loads it runs what its author wants."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self._mark), 0o700)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # with it, torch.load runs what it reads unless it is told weights_only=True
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    yield tmp_path / "it-ran"
    assert not (tmp_path / "it-ran").exists()


def called(*arguments: str) -> Result:
    """Any exit code of the contract, and never a traceback."""
    done = CliRunner().invoke(cli.main, list(arguments))
    said = f"{arguments}: {done.output}{done.exception!r}"
    assert done.exit_code in range(5) and isinstance(done.exception, SystemExit | None), said
    assert "Traceback" not in done.output, said
    return done


READERS = [
    ("pareto",),
    ("report",),
    ("gate", "--max-auc", "0.6"),
    ("compare",),
    ("scores", "--trial", "0"),
    ("export", "--to", "parquet"),
    ("export", "--to", "model", "--trial", "0"),
    ("points",),
]


def test_the_poison_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(Poison(mark)))
    mark.rmdir()


def test_a_pickle_in_any_file_of_a_results_folder_runs_nowhere(
    finished: Path, tmp_path: Path, mark: Path
) -> None:
    """Each file in turn, as it would be sent by somebody, read by every command that reads."""
    poison = pickle.dumps(Poison(mark))
    files = sorted(p.relative_to(finished) for p in finished.rglob("*") if p.is_file())
    kinds = {(p.parts[0], p.suffix): p for p in files}  # one of each kind
    assert {suffix for _, suffix in kinds} >= {".json", ".npz", ".safetensors", ".csv", ".yaml"}
    objects = tmp_path / "objects.npz"
    np.savez(objects, allow_pickle=True, logits=np.array([Poison(mark)], object))
    for kind, victim in kinds.items():
        for content in (poison, objects.read_bytes()) if kind[1] == ".npz" else (poison,):
            copy = tmp_path / "copy"
            shutil.copytree(finished, copy)
            (copy / victim).write_bytes(content)
            for reader, *more in READERS:
                place = copy / "sweep.yaml" if reader == "points" else copy
                beside = ["--out", str(tmp_path / "exported")] if reader == "export" else []
                called(reader, str(place), *more, *beside)
                shutil.rmtree(tmp_path / "exported", ignore_errors=True)
            file = sweep.parse(TINY)
            data = load_data(file.dataset, 0)
            point = file.point(0, file.default(0), 0, data)
            (row,) = Folder(finished).rows([point.digest()])
            again = trial.attempt(point, data, copy / "signals")
            assert again.numbers == row.numbers  # what does not verify is made again
            assert not mark.exists(), victim
            shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.csv", "x.parquet", "x.pt", "x.pkl"])
@pytest.mark.parametrize("kind", ["arrays", "table", "image_folder"])
def test_a_pickle_for_data_runs_nowhere(name: str, kind: str, tmp_path: Path, mark: Path) -> None:
    path = tmp_path / name
    if name in ("x.npz", "x.npy"):
        one = np.array([Poison(mark)] * 4, object)
        (np.save if name == "x.npy" else np.savez)(path, one)
    else:
        path.write_bytes(pickle.dumps(Poison(mark)))
    given = f"{{path: {path}{', label: y' if kind == 'table' else ''}}}"
    file = tmp_path / "sweep.yaml"
    file.write_text(TINY.replace("{digits: {records: 120}}", f"{{{kind}: {given}}}"))
    assert called("points", str(file)).exit_code == 2
