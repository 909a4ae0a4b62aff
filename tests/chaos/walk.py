"""A whole run without Ray and without training (search, rows, signals, tables, confirmations),
broken at every single thing that it asks of the disk, then begun again.

python tests/chaos/walk.py [--sample N] [--kills N] [--json FILE]

The walk: at each operation (open, write, fsync, link, rename, unlink, mkdir) the disk is full, the
quota is used up, the device fails, half is written and the process dies, or it dies before or
after. Then: whatever stands in the folder is a file that an unbroken run writes too, whole (the old
state or the new, never a third); the exit code is of the contract; and the same command again ends
with the same bytes, nothing left over and no row made twice. `--sample`: so many of these, drawn
with a fixed seed. `--kills`: then so many more runs, killed at one random operation after the
other until one ends. Exits 1 where anything of that is not so.
"""

import argparse
import builtins
import contextlib
import errno
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from raymia.cluster.queue import Agenda
from raymia.errors import RaymiaError
from raymia.point.point import Point
from raymia.records import data as datasets
from raymia.results import local
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.results.store import Store
from raymia.study import sweep
from raymia.trial import run as trial

SWEEP = sweep.parse("""
name: walked
dataset: {digits: {records: 120}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [relaxloss: {alpha: {low: 0.0, high: 2.0}}], [label_smoothing]]
attacks: [baseline, loss]
training: {epochs: 2}
search: {trials: 6, sampler: random, seed: 0}
""")
DATA = datasets.load(SWEEP.dataset, 0)
KILLED, DONE, REFUSED, BROKEN = 9, 0, 3, 99
ERRORS = {"full": errno.ENOSPC, "quota": errno.EDQUOT, "device": errno.EIO}
KINDS = (*ERRORS, "torn", "dead before", "dead after")
CALLS = ("open", "link", "replace", "unlink", "mkdir", "fsync", "ftruncate", "pwrite", "rmdir")


def row(point: Point, index: int) -> Row:
    """Numbers that are a hash of the point."""
    digest = hashlib.sha256(point.digest().encode()).digest()
    numbers: dict[str, float | None] = {
        "test_accuracy": digest[0] / 255,
        "max_attack_auc": 0.5 + digest[1] / 510,
    }
    empty = trial.failed(point, ValueError(""))
    return replace(empty, trial=index, state="done", reason="", numbers=numbers)


def work(path: Path, made: Callable[[int], None]) -> None:
    """What a driver does in a results folder; `made` is told of each row before it is written."""
    folder = Folder(path)
    with folder.lock():
        agenda = Agenda(SWEEP, folder, DATA)
        agenda.begin()
        while agenda.pending:
            index = agenda.next()
            assert index is not None
            point = agenda.point(index)
            store = Store(Local(path / "signals"), point.digest()[:12])
            store.put("model-0.npz", point.digest().encode() * 9, point.digest())
            made(index)
            agenda.finish(row(point, index))
        agenda.derive()
        if not folder.confirmed():
            folder.confirm(row(agenda.point(0) if 0 in agenda._points else _first(folder), 0))
        agenda.derive()
        folder.put("report.html", b"<html>" + (path / "trials.csv").read_bytes())


def _first(folder: Folder) -> Point:
    return Point.from_json(folder.rows()[0].point)


class Disk:
    """Counts what is asked of the disk, and breaks at one of it."""

    def __init__(self, at: int = -1, kind: str = "") -> None:
        self.at, self.kind, self.count = at, kind, 0

    def does(self, call: Callable[[], Any], tear: Callable[[], Any] | None = None) -> Any:
        here, self.count = self.count, self.count + 1
        if here != self.at:
            return call()
        if self.kind in ERRORS:
            raise OSError(ERRORS[self.kind], os.strerror(ERRORS[self.kind]))
        if self.kind == "torn" and tear is not None:
            tear()
        if self.kind == "dead after":
            call()
        os._exit(KILLED)

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """While it is open, this process has that disk."""
        before = {name: getattr(os, name) for name in CALLS}
        for name, own in before.items():
            setattr(os, name, lambda *a, own=own, **k: self.does(lambda: own(*a, **k)))
        local.open = self._open  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for name, own in before.items():
                setattr(os, name, own)
            del local.open  # type: ignore[attr-defined]

    def _open(self, *asked: Any, **more: Any) -> Any:
        file = self.does(lambda: builtins.open(*asked, **more))
        write = file.write

        class Written:
            """The file, whose `write` may be torn."""

            def __enter__(self) -> "Written":
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def write(_, data: bytes) -> Any:
                def tear() -> None:
                    write(data[: len(data) // 2])
                    file.flush()

                return self.does(lambda: write(data), tear)

        return Written()


def forked(path: Path, disk: Disk, rows: Path) -> int:
    """`work` in a process of its own: its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = BROKEN
    log = os.open(rows, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    write = os.write
    try:
        with disk.broken():
            work(path, lambda index: write(log, f"{index}\n".encode()) and None)
        code = DONE
    except RaymiaError as error:
        code = error.exit_code
    except BaseException as error:
        write(2, f"{disk.kind} at {disk.at}: {error!r}\n".encode())
    finally:
        os._exit(code)


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def told(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not Path(name).name.startswith(".")}


class Walk:
    """The unbroken run, and what broken ones are held against."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.tries = scratch, 0
        self.known: dict[str, set[bytes]] = {}
        disk, path = Disk(), scratch / "whole"
        replaced, created = Local.replace, Local.create

        def remember(store: Local, name: str, data: bytes) -> None:
            place = str((store.root / name).relative_to(path))
            self.known.setdefault(place, set()).add(data)

        def replace_(store: Local, name: str, data: bytes) -> None:
            remember(store, name, data)
            replaced(store, name, data)

        def create_(store: Local, name: str, data: bytes) -> bool:
            remember(store, name, data)
            return created(store, name, data)

        Local.replace, Local.create = replace_, create_  # type: ignore[method-assign]
        try:
            with disk.broken():
                work(path, lambda index: None)
        finally:
            Local.replace, Local.create = replaced, created  # type: ignore[method-assign]
        self.operations, self.end = disk.count, tree(path)
        assert told(self.end) == self.end

    def held(self, path: Path) -> str:
        """What in a folder an unbroken run never writes; empty where there is nothing."""
        for name, data in told(tree(path)).items():
            if data not in self.known.get(name, set()) and data:
                return f"{name} holds {data[:60]!r}..."
        return ""

    def one(self, *breaks: tuple[int, str]) -> tuple[str, int]:
        """A run that is broken at these operations, begun again after each, and in the end not
        broken: what is wrong, and how often it was broken.
        """
        self.tries += 1
        path, log = self.scratch / f"run{self.tries}", self.scratch / f"log{self.tries}"
        broken = 0
        for at, kind in breaks:
            code = forked(path, Disk(at, kind), log)
            broken += code != DONE
            if code not in (DONE, REFUSED, KILLED):
                return f"exit code {code}", broken
            if code == DONE:
                break  # it was over before, or took no harm
            if wrong := self.held(path):
                return wrong, broken
        if code := forked(path, Disk(), log):
            return f"again, and exit code {code}", broken
        end = tree(path)
        if end != self.end:
            odd = sorted(n for n in end.keys() | self.end.keys() if end.get(n) != self.end.get(n))
            return f"in the end other bytes: {odd}", broken
        made = Counter(log.read_text().split())
        lost = sum(made.values()) - len(made)
        if lost > broken:  # each break may cost the one row that was being made
            return f"{lost} rows were made twice in {broken} breaks", broken
        return "", broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    begin, wrong = time.monotonic(), []
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        walk, rng = Walk(Path(scratch)), random.Random(0)
        every = [(at, kind) for at in range(walk.operations) for kind in KINDS]
        for at, kind in rng.sample(every, min(asked.sample or len(every), len(every))):
            said, broken = walk.one((at, kind))
            tried[kind] += broken
            wrong += [f"{kind} at {at}: {said}"] * bool(said)
        kills = 0
        while kills < asked.kills:
            places = [rng.randrange(walk.operations) for _ in range(rng.randint(1, 5))]
            said, broken = walk.one(*((at, rng.choice(KINDS[3:])) for at in places))
            kills += broken
            wrong += [f"dead at {places}: {said}"] * bool(said)
    tried["killed at random"] = kills
    for line in wrong:
        print(line)
    found = {
        "operations": walk.operations,
        "tried": dict(tried),
        "wrong": len(wrong),
        "seconds": round(time.monotonic() - begin, 1),
    }
    print(json.dumps(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
