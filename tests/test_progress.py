"""What a run says: the picture on a terminal of our own, objects, the quiet and the loud form; and
where a trial stands, from the training to the line.
"""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raymia import pace
from raymia.cluster import progress as progresses
from raymia.cluster.progress import Progress
from raymia.pace import PACE, Stand
from raymia.records import data
from raymia.study import sweep
from raymia.trial import run as trial

ROOT = Path(__file__).parents[1]
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(3[0-79]|38|4[0-79]|48|9[0-7]|10[0-7])\b[0-9;]*m")
TINY = """
name: tiny
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [distillation]]
attacks: [baseline, loss]
training: {epochs: 3, lanes: 2}
search: {trials: 2}
"""
# what a driver does, without Ray: two trials, one of which fails, and one that stands half way
DRIVEN = """
import json, sys
from dataclasses import replace
from raymia.cluster.progress import Progress
from raymia.pace import Stand
from raymia.point.point import Point
from raymia.results.row import Row

row = Row.from_json(json.loads(sys.argv[1]))
progress = Progress(**json.loads(sys.argv[2]))
progress.say("starting Ray")
progress.look = lambda: {1: Stand("models", 3, 8, 12, 60, 2)}
progress.start(3, {})
for index in (0, 1, 2):
    progress.running(index, Point.from_json(row.point))
progress.finished(replace(row, trial=0))
progress.finished(replace(row, trial=2, state="failed", reason="broke", numbers={}))
progress.stop()
progress.warn("stopped")
progress.end(1)
"""


@pytest.fixture(scope="module")
def made() -> tuple[Any, Any]:
    """A row, and the stands that were told while it was made."""
    asked = sweep.parse(TINY)
    records, told = data.load(asked.dataset, 0), list[Stand]()
    before, pace._EVERY = pace._EVERY, 0.0
    try:
        with PACE.heard(told.append):
            row = trial.run(asked.point(1, asked.default(1), 0, records), records)
    finally:
        pace._EVERY = before
    return replace(row, trial=0), told


def driven(row: Any, **how: Any) -> list[str]:
    return [sys.executable, "-c", DRIVEN, json.dumps(row.to_json()), json.dumps(how)]


def on_a_terminal(command: list[str], **environment: str) -> str:
    """All that a command writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    where = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=kept | where | environment
    )
    os.close(theirs)
    said = b"".join(_read(ours))
    os.close(ours)
    assert process.wait(30) == 0, said
    return said.decode()


def _read(end: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(end, 65536)
        except OSError:  # the other end is closed
            return


def objects(row: Any, **how: Any) -> list[dict[str, Any]]:
    done = subprocess.run(driven(row, form="json", **how), capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_trial_tells_its_stages_whole_and_in_order(made: tuple[Any, list[Stand]]) -> None:
    """4 models in groups of 2, each after a teacher; 2 attacks on 2 targets each."""
    _, told = made
    stages = list(dict.fromkeys(stand.stage for stand in told))
    assert stages == ["models", "attacks"]
    models = [stand for stand in told if stand.stage == "models"]
    assert [s.done for s in models if not s.epochs] == [0, 2, 4]
    assert [s.done for s in told if s.stage == "attacks"] == [0, 1, 2, 3, 4]
    assert {s.total for s in told} == {4}
    own = [(s.done, s.epoch) for s in models if s.epochs and not s.teacher]
    assert own == [(done, epoch) for done in (0, 2) for epoch in (1, 2, 3)]
    taught = [(s.done, s.epoch) for s in models if s.teacher]
    assert taught == own and {s.at_once for s in models if s.epochs} == {2}


def test_within_a_second_there_is_one_word_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told, own = [100.0], list[Stand](), pace.Pace()
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    own.begin("models", 8)  # nobody listens
    with own.heard(told.append):
        own.begin("models", 8)
        for epoch in range(1, 31):
            clock[0] += 0.1
            own.epoch(epoch, 30, 4)
        own.begin("attacks", 9)
    own.done()
    assert [(s.stage, s.epoch) for s in told[:1] + told[-1:]] == [("models", 0), ("attacks", 0)]
    assert 3 <= len(told) - 1 <= 4  # 3 s of epochs, then the next stage at once


def test_the_share_of_a_stage() -> None:
    assert Stand("models", 3, 8).share == 3 / 8
    assert Stand("models", 2, 8, 15, 60, 4).share == pytest.approx((2 + 4 * 15 / 60) / 8)
    assert Stand("models", 2, 8, 15, 60, 4, teacher=True).share == 2 / 8
    assert Stand("models", 8, 8, 60, 60, 4).share == 1.0 and Stand("attacks", 0, 0).share == 0.0


def test_the_picture_has_bars_where_each_trial_stands_and_failures_as_lines(
    made: tuple[Any, Any],
) -> None:
    said = on_a_terminal(driven(made[0]))
    assert said.startswith("starting Ray\r\n")
    assert "models 3/8, epoch 12/60" in said and "\u2501" in said and "trials 1/3" in said
    assert "trial 2 failed: distillation" in said and "broke" in said
    assert "trial 0 done" not in said  # it stands in the table
    assert COLOUR.search(said)
    loud = on_a_terminal(driven(made[0], verbose=True))
    assert "trial 1: models 3/8" in loud and "trial 0 done" in loud and "trial 1 begins" in loud


def test_no_color_is_obeyed_and_colours_are_of_terminals(made: tuple[Any, Any]) -> None:
    assert not COLOUR.search(on_a_terminal(driven(made[0]), NO_COLOR="1"))
    dumb = on_a_terminal(driven(made[0]), TERM="dumb")
    assert "\x1b" not in dumb and "trial 0 done" in dumb
    forced = {**os.environ, "FORCE_COLOR": "1"}
    piped = subprocess.run(driven(made[0]), capture_output=True, text=True, env=forced)
    assert "\x1b" not in piped.stderr and piped.stderr.count("\n") == 4


def test_a_warning_of_a_table_obeys_no_color() -> None:
    code = "from raymia.report.terminal import warn; warn('must be seen')"
    command = [sys.executable, "-c", code]
    assert on_a_terminal(command).startswith("\x1b[31m")
    assert on_a_terminal(command, NO_COLOR="1") == "must be seen\r\n"


def test_quiet_says_failures_and_the_end(made: tuple[Any, Any]) -> None:
    said = on_a_terminal(driven(made[0], quiet=True), NO_COLOR="1").splitlines()
    assert len(said) == 2 and "trial 2 failed" in said[0] and "stopped" in said[1]


def test_every_object_is_a_line_and_is_documented(made: tuple[Any, Any]) -> None:
    found = objects(made[0], verbose=True)
    assert [one["event"] for one in found] == [
        *("note", "begin", "running", "running", "running", "finished", "stands"),
        *("finished", "warning", "end"),
    ]
    done, failed = (one for one in found if one["event"] == "finished")
    assert done["numbers"]["test_accuracy"] == made[0].numbers["test_accuracy"]
    assert (done["done"], done["total"], done["failed"]) == (1, 3, 0)
    assert (failed["trial"], failed["state"], failed["reason"]) == (2, "failed", "broke")
    assert failed["numbers"]["test_accuracy"] is None and failed["failed"] == 1
    stands = next(one for one in found if one["event"] == "stands")
    assert stands["trial"] == 1 and stands["done"] == 3 and stands["epochs"] == 60
    assert found[-1]["exit_code"] == 1
    told = (ROOT / "docs" / "results.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", told.split("## What a run says")[1], re.M)
    documented = {event: set(re.findall(r"`(\w+)`", keys)) for event, keys in table}
    for one in found:
        assert set(one) - {"time", "event"} == documented[one["event"]], one
    quiet = [one["event"] for one in objects(made[0], quiet=True)]
    assert quiet == ["finished", "warning", "end"]
    assert [one for one in objects(made[0]) if one["event"] == "stands"] == []


def test_what_is_refused_is_an_object_too(tmp_path: Path) -> None:
    for form, count in (("json", 2), ("text", 1)):
        command = ["run", str(tmp_path / "none.yaml"), "--log", form]
        done = subprocess.run(
            [sys.executable, "-m", "raymia.cli", *command], capture_output=True, text=True
        )
        lines = done.stderr.splitlines()
        assert done.returncode == 2 and len(lines) == count, done.stderr
    error, end = objects_of("run", str(tmp_path / "none.yaml"))
    assert error["event"] == "error" and "none.yaml" in error["text"]
    assert (end["event"], end["exit_code"]) == ("end", 2)


def objects_of(*command: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "raymia.cli", *command, "--log", "json"],
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_draws_are_counted_and_no_best_of_them_is_shown(
    made: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(progresses, "picture", lambda *what: shown.append(what))
    one, point = Progress(), sweep.parse(TINY).point
    one.start(3, {}, "draw")
    for place in range(3):
        one.running(place, point(0, {}, place, data.load(sweep.parse(TINY).dataset, 0)))
    one.finished(made[0])
    one._picture({2: Stand("attacks", 1, 4)})
    head, done, total, running, stands, front = shown[-1]
    assert head.startswith("draws 1/3") and (done, total, front) == (1, 3, [])
    assert list(running) == [2] and stands[2].done == 1  # the others wait for their turn
