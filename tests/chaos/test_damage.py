"""What a disk, a copy or an editor does to the files of a results folder is found by whoever reads
them: a true answer, or one line that names the file and says what to do; never another number.
"""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tiny_folder import make, refused

from raymia import cli
from raymia.cluster import execution, tasks
from raymia.errors import EnvironmentFault
from raymia.report import model_card
from raymia.signals import observe

FLIPS, CUTS = 500, 200  # of all readings, nightly
SOME = 18  # of them, before every change
# what the commands that read a folder are called with, and which files they leave
READERS: dict[str, list[str]] = {
    "report": ["report", "{}"],
    "pareto": ["pareto", "{}", "--all", "--csv"],
    "gate": ["gate", "{}", "--max-auc", "1"],
    "compare": ["compare", "{}", "--csv"],
    "scores": ["scores", "{}", "--trial", "1"],
    "signals": ["scores", "{}", "--trial", "0", "--signals", "--norms"],
    "confirm": ["confirm", "{}", "--seeds", "2"],
    "parquet": ["export", "{}", "--to", "parquet", "--out", "{}-out"],
    "model": ["export", "{}", "--to", "model", "--trial", "0", "--out", "{}-out"],
    "run": ["run", "{}/sweep.yaml", "--out", "{}"],
}
KINDS = {
    "trials": "trials/*.json",
    "confirm": "confirm/*.json",
    "signals": "signals/*/model-*",
    "split": "signals/*/split.npz",
    "index": "signals/*/index.json",
    "tables": "*.csv",
    "sweep": "sweep.yaml",
    "account": "account.json",
    "checksums": "checksums.json",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("damage") / "tiny")


class Trained(Exception):
    """Something was about to be trained."""


@contextmanager
def _everywhere(*_: Any, **__: Any) -> Iterator[Callable[..., Any]]:
    def nothing(function: object, items: list[object]) -> Any:
        if items:
            raise Trained
        return iter(())

    yield nothing


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*_: Any, **__: Any) -> None:
        raise Trained

    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr(tasks, "everywhere", _everywhere)


def read(folder: Path, reader: str) -> tuple[Result, str]:
    """What a command says of a folder, and the sum of what it leaves there and beside it."""
    beside = Path(f"{folder}-out")
    shutil.rmtree(beside, ignore_errors=True)
    observe.loaded.cache_clear()  # a command is a process of its own
    result = CliRunner().invoke(cli.main, [a.format(folder) for a in READERS[reader]])
    tables = sorted(folder.glob("*.csv")) if reader in ("report", "confirm", "run") else []
    if reader == "model" and beside.exists():
        model_card.load(beside)
    left = b"".join(p.read_bytes() for p in [*tables, *sorted(beside.glob("*"))])
    return result, hashlib.sha256(left).hexdigest()


@pytest.fixture(scope="module")
def truth(whole: Path) -> dict[str, tuple[int, str, str]]:
    patch = pytest.MonkeyPatch()
    patch.setattr(tasks, "everywhere", _everywhere)
    found = {}
    for reader in READERS:
        result, left = read(whole, reader)
        assert result.exit_code == 0, (reader, result.output, result.exc_info)
        found[reader] = (result.exit_code, result.stdout, left)
    patch.undo()
    return found


def damages(kind: str, whole: Path, count: int, seed: str) -> Iterator[tuple[Path, bytes, str]]:
    """(file, other content, what was done): bits that are flipped, and for two sevenths cuts."""
    files = sorted(whole.glob(KINDS[kind]))
    draw = random.Random(f"{seed} {kind}")
    for i in range(count):
        file = draw.choice(files)
        content = bytearray(file.read_bytes())
        at = draw.randrange(len(content))
        if i % 7 in (3, 6):
            yield file, bytes(content[:at]), f"{file.name} cut at {at}"
        else:
            content[at] ^= 1 << draw.randrange(8)
            yield file, bytes(content), f"{file.name} byte {at}"


def check(kind: str, whole: Path, truth: dict[str, Any], count: int, seed: str) -> str:
    """What came of so many damages: how often the true number was read, and how often none."""
    seen = Counter[str]()
    kept = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    for file, content, what in damages(kind, whole, count, seed):
        for reader in READERS:
            file.write_bytes(content)
            result, left = read(whole, reader)
            told = (what, reader, result.output[-600:], result.exc_info)
            if isinstance(result.exception, Trained):
                pytest.fail(f"trains again: {told}")
            if result.exit_code in (0, 1):
                assert (result.exit_code, result.stdout, left) == truth[reader], told
                seen["true"] += 1
            else:
                said = refused(result, 3 if result.exit_code == 3 else 2)
                assert file.name in said or str(file.parent) in said or str(whole) in said, told
                seen["refused"] += 1
            for path, before in kept.items():
                if not path.exists() or path.read_bytes() != before:
                    path.write_bytes(before)
    return f"{kind}: {count} damages, {seen['true']} readings true, {seen['refused']} refused"


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found(kind: str, whole: Path, truth: dict[str, Any]) -> None:
    check(kind, whole, truth, -(-SOME // len(KINDS)), "some")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_all_damage_is_found(kind: str, whole: Path, truth: dict[str, Any]) -> None:
    print(check(kind, whole, truth, -(-(FLIPS + CUTS) // len(KINDS)), "all"))  # docs/reliability.md


def test_a_damaged_card_or_model_is_not_loaded(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    asked = ["export", str(whole), "--to", "model", "--trial", "0", "--out", str(out)]
    assert CliRunner().invoke(cli.main, asked).exit_code == 0
    draw = random.Random(0)
    for name in ("card.json", "model.safetensors"):
        before = (out / name).read_bytes()
        for _ in range(30):
            content = bytearray(before)
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            (out / name).write_bytes(content)
            with pytest.raises(EnvironmentFault, match=name):
                model_card.load(out)
        (out / name).write_bytes(before)
    model_card.load(out)
