"""The arithmetic of benchmarks/job.py, on a machine whose seconds are known."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def bench() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "job.py"
    spec = importlib.util.spec_from_file_location("job", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["job"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


JOB = bench()


def test_a_slice_says_what_the_whole_takes() -> None:
    job = JOB.Job("cnn", records=3000, models=10, epochs=7, batch=100, targets=3, slice=0.1)
    found = JOB.measure(job, JOB.Fake(before=2.0, step=0.01, record=0.001, target=0.5), 4, 3)
    assert job.steps == 15 * 7 and found["slice"]["steps"] == [3 * 10, 105]
    assert found["ms_a_step_and_model"] == pytest.approx(10)
    assert found["seconds"] == pytest.approx(
        {
            "start": 2.0 + 4 * 2 * 0.01,
            "train": 3 * (2.0 + 4 * 105 * 0.01),  # groups of 4, 4 and 2: the last costs as much
            "ask": 10 * (2.0 + 3000 * 0.001),
            "keep": 10 * 0.1,
            "score lira": 2.0 + 3 * 0.5,
            "score rmia": 2.0 + 3 * 0.5,
        }
    )
    assert found["of_peak"]["bf16"] == pytest.approx(
        job.flops * 1500 * 7 * 10 / found["seconds"]["train"] / 8e14
    )


def test_flops_are_those_of_the_products() -> None:
    job = JOB.Job("mlp")
    linear = [m for m in job.build().modules() if hasattr(m, "in_features")]
    size = [2 * m.in_features * m.out_features for m in linear]
    # forward, by weight and by input; the input of the first layer needs no derivative
    assert job.flops == 3 * sum(size) - size[0]


def test_noise_is_refused() -> None:
    with pytest.raises(SystemExit, match="larger --slice"):
        JOB.by_two(lambda many: 1.0, 5, 3)


def test_more_targets_than_there_can_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        JOB.main(["--device", "fake", "--models", "16"])
    assert "targets: got 16; at most models / 2 = 8" in capsys.readouterr().err


def test_it_runs_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    JOB.main(["--device", "fake"])
    said = capsys.readouterr().out
    assert "measured: 588 of 19,600 steps, 1 of 256 models" in said
    assert "| train | 10,163.2 |" in said
