"""One trained model for use elsewhere, and what no export takes."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from exported import run

from raymia import cli
from raymia.errors import EnvironmentFault
from raymia.point.point import Point
from raymia.records import data
from raymia.report import model_card
from raymia.report.export import tools as export
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.store import Store
from raymia.signals import world

# ---- model -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "model"), [(0, None), (1, 2), (2, 3), (3, 0)])
def test_the_model_that_is_loaded_gives_the_stored_logits(
    folder: Path, tmp_path: Path, number: int, model: int | None
) -> None:
    import torch

    more = [] if model is None else ["--model", str(model)]
    done = run(folder, "model", tmp_path / "out", "--trial", str(number), *more)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out'}\n")
    row, told = (
        Folder(folder).rows()[number],
        json.loads((tmp_path / "out" / "card.json").read_text()),
    )
    point, m = Point.from_json(row.point), model or 0
    place = world.of(point, 0).base.key
    stored = Store(Local(folder / "signals"), place).get(f"model-{m}.npz", told["key"])
    assert stored is not None
    records = data.load(point.dataset, point.seed)
    loaded = model_card.load(tmp_path / "out")
    with torch.no_grad():
        logits = loaded(torch.as_tensor(records.x)).numpy()
    np.testing.assert_allclose(
        logits,
        np.load(folder / "signals" / place / f"model-{m}.npz")["logits"],
        rtol=1e-5,
        atol=1e-6,
    )
    assert told["numbers"]["test_accuracy"] == row.numbers["test_accuracy"]
    assert (told["digest"], told["model"], told["role"]) == (
        row.digest,
        m,
        "target" if m % 2 == 0 else "shadow",
    )
    assert told["released_through"] == (["rounding"] if number == 3 else [])


def test_the_card_tells_no_members_and_loads_as_it_says(folder: Path, tmp_path: Path) -> None:
    run(folder, "model", tmp_path / "out", "--trial", "2")
    told = json.loads((tmp_path / "out" / "card.json").read_text())
    assert not {"seed", "replicate", "protocol", "member", "members"} & (
        set(told) | set(told["point"])
    )
    code = told["load"].replace("FOLDER", str(tmp_path / "out"))
    code = "import torch; x = torch.zeros(3, *{shape})\n{code}\nprint(*logits.shape)".format(
        code=code, **told["input"]
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "3 10\n"
    )


def test_a_model_that_was_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, "model", tmp_path / "out", "--trial", "0")
    weights = tmp_path / "out" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(EnvironmentFault, match="export it again"):
        model_card.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [("bytes", 3, "damaged"), ("index", 2, "keep_signals: all"), ("file", 2, "keep_signals: all")],
)
def test_a_model_that_is_not_whole_is_not_copied(
    folder: Path, tmp_path: Path, spoil: str, code: int, said: str
) -> None:
    import shutil

    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    row = Folder(folder).rows()[0]
    file = (
        copied
        / "signals"
        / row.signals
        / ("index.json" if spoil == "index" else "model-0.safetensors")
    )
    file.unlink() if spoil != "bytes" else file.write_bytes(file.read_bytes() + b" ")
    done = run(copied, "model", tmp_path / "out", "--trial", "0")
    assert done.exit_code == code and said in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---- what is refused ---------------------------------------------------------------------------

REFUSED = [
    ("model", (), "--trial: got None"),
    ("model", ("--trial", "99"), "--trial: got 99"),
    ("model", ("--trial", "4"), "stacking"),
    ("model", ("--trial", "5"), "trial 5 is failed"),
    ("model", ("--trial", "0", "--model", "4"), "0 to 3 is allowed"),
    ("model", ("--trial", "0", "--model", "-1"), "0 to 3 is allowed"),
    ("parquet", ("--trial", "0"), "--to model"),
]


@pytest.mark.parametrize(("tool", "more", "said"), REFUSED)
def test_bad_arguments_are_refused_and_leave_nothing(
    folder: Path, tmp_path: Path, tool: str, more: tuple[str, ...], said: str
) -> None:
    done = run(folder, tool, tmp_path / "out", *more)
    assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_records_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = data.load
    monkeypatch.setattr(data, "load", lambda part, seed: right(part, seed + 1))
    done = run(folder, "model", tmp_path / "out", "--trial", "0")
    assert done.exit_code == 2 and "are not those of the sweep" in done.output


@pytest.mark.parametrize("tool", [*export.TOOLS, "model"])
def test_nothing_is_overwritten(folder: Path, tmp_path: Path, tool: str) -> None:
    (tmp_path / "mine").write_text("here")
    done = (
        run(folder, tool, tmp_path, "--trial", "0")
        if tool == "model"
        else run(folder, tool, tmp_path)
    )
    assert (
        done.exit_code == 2 and "is there already" in done.output and done.output.count("\n") == 1
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_places_that_are_no_place_are_refused(folder: Path, tmp_path: Path) -> None:
    inside, remote = (
        run(folder, "parquet", folder / "export" / "x"),
        run(folder, "parquet", Path("s3://bucket/x")),
    )
    empty = run(tmp_path / "nothing", "parquet", tmp_path / "out")
    for done, said in (
        (inside, "outside the results folder"),
        (remote, "on this machine"),
        (empty, "is it a results folder"),
    ):
        assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    (tmp_path / "file").write_text("")
    done = run(folder, "parquet", tmp_path / "file" / "x")
    assert done.exit_code == 3 and done.output.count("\n") == 1


def test_what_failed_halfway_is_removed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(place: Folder, rows: Any, out: Path) -> None:
        (out / "half").write_text("x")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export.TOOLS, "parquet", full)
    done = run(folder, "parquet", tmp_path / "out")
    assert (
        done.exit_code == 3 and "No space left" in done.output and not (tmp_path / "out").exists()
    )


def test_the_default_place_and_a_uri(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(folder, "parquet", None).stdout == "export-away-parquet\n"
    assert run(f"file://{folder}", "optuna", None).stdout == "export-away-optuna\n"
    assert run(f"file://{folder}", "model", None, "--trial", "1").stdout == "export-away-model\n"
    assert (tmp_path / "export-away-model" / "model.safetensors").is_file()


def test_every_tool_of_the_command_is_written() -> None:
    option = next(
        p
        for p in cli.main.get_command(click.Context(cli.main), "export").params
        if p.name == "tool"
    )
    assert set(option.type.choices) == {*export.TOOLS, "model"}  # type: ignore[attr-defined]
    assert importlib.util.find_spec("raymia.report.model_card")
