"""The lists of mutants fit the source; `make nightly` plants them."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
spec = importlib.util.spec_from_file_location("mutants_run", RUN)
assert spec is not None and spec.loader is not None
run = sys.modules["mutants_run"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)
LIST = list(run.mutants())


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(LIST) >= 80
    assert len({mutant.name for mutant in LIST}) == len(LIST)


@pytest.mark.parametrize("mutant", LIST, ids=lambda mutant: mutant.name)
def test_a_mutant_has_one_place_and_is_still_python(mutant: run.Mutant) -> None:
    text = (run.ROOT / "raymia" / mutant.file).read_text()
    changed = run.planted(mutant, text)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
    assert mutant.tests and all((RUN.parents[1] / name).exists() for name in mutant.tests)


@pytest.mark.nightly
def test_no_mutant_survives() -> None:
    done = subprocess.run([sys.executable, str(RUN)], capture_output=True, text=True, timeout=20000)
    assert done.returncode == 0, done.stdout + done.stderr
