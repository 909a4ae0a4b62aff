"""A defense is one file: dropped into the folder it is found, listed, law-tested and usable in
a sweep, with no other edit.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FILE = '''
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Mapping

from raymia.training.defense import Defense
from raymia.point.schedule import Training
from raymia.point.space import Range


@dataclass(frozen=True)
class SlowStart(Defense):
    """Divides the learning rate.

    Source: this test.

    Neutral: by 1.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"by": 1.0}

    by: Annotated[float, Range(1.0, 8.0, least=1.0)] = 2.0

    def training(self, training: Training) -> Training:
        return replace(training, lr=training.lr / self.by)
'''
RUN = """
import json
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.records.data import load
file = sweep.parse('''
name: dropped-in
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 1}}
defenses: [[slow_start: {by: 4}], [slow_start, label_smoothing: {epsilon: 0.1}]]
attacks: [loss]
training: {epochs: 2}
''')
data = load(file.dataset, 0)
row = trial.run(file.point(0, {}, 0, data), data)
print(json.dumps([len(file.space(1)), row.defense]))
"""


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which raymia is a copy with one more file."""
    root = tmp_path_factory.mktemp("plugin")
    shutil.copytree(
        REPOSITORY / "raymia", root / "raymia", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / "raymia/defenses/slow_start.py").write_text(FILE)
    # not the folder that it is called from
    return {
        **os.environ,
        "PYTHONPATH": str(root),
        "PYTHONSAFEPATH": "1",
    }


def call(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_it_is_listed(dropped: dict[str, str]) -> None:
    listed = json.loads(call(dropped, "-m", "raymia.cli", "list", "defenses", "--json"))
    (mine,) = [d for d in listed if d["name"] == "slow_start"]
    assert mine["source"] == "this test." and mine["knobs"][0]["high"] == 8.0


def test_it_trains_in_a_sweep_alone_and_beside_others(dropped: dict[str, str]) -> None:
    assert json.loads(call(dropped, "-c", RUN)) == [1, "slow_start"]


def test_the_laws_hold_for_it(dropped: dict[str, str]) -> None:
    out = call(
        dropped,
        "-m",
        "pytest",
        "tests/laws/test_defenses.py",
        "-k",
        "slow_start and not source and not equations",
        "-p",
        "no:cacheprovider",
    )
    assert int(out.split(" passed")[0].split()[-1]) >= 20
