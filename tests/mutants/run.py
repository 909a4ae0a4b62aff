"""Plants every mutant of the lists beside this file, one at a time, and says which test notices.

    python tests/mutants/run.py [NAME ...] [--processes 2]

A mutant is one wrong line in a copy of the tree. The tests that its list names run first, then
all that need no Ray, up to the first failure. Golden numbers do not count: they notice that
something changed, not that it is wrong; nor do the rules of the house, which read the source.
Exit code 1 where one survives.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NOT_ASKED = ("test_golden.py", "test_architecture.py", "mutants")
SECONDS = 900  # after which a run counts as noticed: it hangs


class Mutant(NamedTuple):
    """In `file`, under raymia/, `old` stands once and becomes `new`; `tests` are asked first."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


class Fate(NamedTuple):
    """What noticed a mutant; empty where nothing did."""

    mutant: Mutant
    killer: str
    seconds: float


def mutants() -> Iterator[Mutant]:
    """Those of all lists, `<file>: {tests: ..., <name>: [old, new], ...}` each."""
    for path in sorted(HERE.glob("*.yaml")):
        for file, entry in yaml.safe_load(path.read_text()).items():
            tests = tuple(entry.pop("tests").split())
            for name, (old, new) in entry.items():
                yield Mutant(name, file, old, new, tests)


def planted(mutant: Mutant, text: str) -> str:
    """The text of its file with the mutant in it. Raises ValueError where it has no one place."""
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: stands {text.count(mutant.old)} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def copy(to: Path) -> Path:
    """What git knows of the tree, as it stands now."""
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, known.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    subprocess.run(["git", "init", "-q"], cwd=to, check=True)  # tests of the pages ask git for them
    return to


def failed(tree: Path, tests: tuple[str, ...]) -> str:
    """The first test that fails in a tree; empty where all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-rfE"]
    command += ["-p", "no:cacheprovider", "-m", "not cluster and not nightly"]
    command += [f"--ignore=tests/{name}" for name in NOT_ASKED]
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, *(f"tests/{name}" for name in tests or ("",))],
            cwd=tree,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"nothing came back in {SECONDS} s"
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or found is None:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return found.group(1).removeprefix("tests/")


def fate(mutant: Mutant, tree: Path) -> Fate:
    file, began = tree / "raymia" / mutant.file, time.monotonic()
    healthy = file.read_text()
    file.write_text(planted(mutant, healthy))
    try:
        killer = failed(tree, mutant.tests) or failed(tree, ())
    finally:
        file.write_text(healthy)
    return Fate(mutant, killer, time.monotonic() - began)


def fates(asked: list[Mutant], processes: int) -> Iterator[Fate]:
    """Of each as it is known, in order; so many are tried at once."""
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for i in range(processes):
            trees.put(copy(Path(folder) / str(i)))

        def one(mutant: Mutant) -> Fate:
            tree = trees.get()
            try:
                return fate(mutant, tree)
            finally:
                trees.put(tree)

        if killer := failed(copy(Path(folder) / "healthy"), ()):
            raise RuntimeError(f"{killer} fails without any mutant")
        with ThreadPoolExecutor(processes) as pool:
            yield from pool.map(one, asked)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="of mutants; all of them where none is given")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    asked = [m for m in mutants() if not given.names or m.name in given.names]
    survivors = []
    print("| mutant | in | noticed by | s |\n|---|---|---|---|", flush=True)
    for mutant, killer, seconds in fates(asked, given.processes):
        said = f"`{killer}`" if killer else "**nothing**"
        print(f"| {mutant.name} | {mutant.file} | {said} | {seconds:.0f} |", flush=True)
        survivors += [] if killer else [mutant.name]
    print(f"\n{len(asked)} planted, {len(survivors)} survive: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
