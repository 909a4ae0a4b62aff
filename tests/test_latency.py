"""The stopwatch of benchmarks/latency.py, on a clock that the answers themselves move."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def bench() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "latency.py"
    spec = importlib.util.spec_from_file_location("latency", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LATENCY = bench()


def test_rounds_take_turns_and_count_milliseconds_a_call() -> None:
    now, order = [0.0], []
    slow = {"none": iter([9.0, *[0.002] * 4]), "srcm": iter([9.0, 0.003, 0.005, 0.004, 0.004])}

    def answer(name: str) -> None:
        order.append(name)
        now[0] += next(slow[name])

    asked = {name: lambda name=name: answer(name) for name in slow}
    taken = LATENCY.rounds(asked, times=2, calls=2, clock=lambda: now[0])
    assert order == ["none", "srcm", *["none", "none", "srcm", "srcm"] * 2]
    assert taken["none"] == pytest.approx([2.0, 2.0]) and taken["srcm"] == pytest.approx([4, 4])


def test_the_ratio_is_taken_within_each_round() -> None:
    """A machine that slows down ten times in the last rounds: twice as slow all the same."""
    taken = {"none": [1.0, 1.0, 2.0, 10.0, 10.0], "srcm": [2.0, 2.0, 4.0, 20.0, 20.0]}
    assert LATENCY.lines(taken)[2:] == [
        "| none | 2.00 | 1.00 to 10.00 | 1.000 |",
        "| srcm | 4.00 | 2.00 to 20.00 | 2.000 |",
    ]


def test_an_answer_is_the_networks_as_the_defense_releases_it() -> None:
    size = ("mlp", 8, (5,), 4, "cpu")
    plain = np.asarray(LATENCY.answers("none", *size)())
    coarse = np.exp(np.asarray(LATENCY.answers("rounding", *size)()))
    own = np.exp(plain) / np.exp(plain).sum(-1, keepdims=True)
    assert plain.shape == coarse.shape == (8, 4)
    rounded = np.round(own, 2)
    assert coarse == pytest.approx(rounded / rounded.sum(-1, keepdims=True), abs=2e-5)
    clipped = np.asarray(LATENCY.answers("srcm", *size)())
    assert np.abs(clipped - plain).max() > 1e-3
