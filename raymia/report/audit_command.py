"""The command `raymia audit`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from raymia.errors import RaymiaError, SweepError, line
from raymia.report import audit as audits
from raymia.study import arguments

TORCHSCRIPT = (".pt", ".pth", ".ts")
PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".dill")


@click.command(name="audit")
@click.argument("model", metavar="MODEL")
@click.option("--train", type=arguments.FILE, required=True, help="What it was trained on.")
@click.option("--held-out", type=arguments.FILE, required=True, help="What it has not seen.")
@click.option("--label", default="y", show_default=True, help="The labels' array, or column.")
@click.option("--train-model", metavar="CODE", help="Trains a model like it: for shadows.")
@click.option("--shadows", type=int, default=16, show_default=True, metavar="N")
@click.option("--attacks", default="standard", show_default=True, help="standard, all, or a,b,c.")
@click.option("--reserve", type=float, default=0.2, show_default=True, help="Of held-out records.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N")
@click.option("--out", type=arguments.FILE, default="audit", show_default=True, metavar="FOLDER")
def command(
    model: str,
    train: Path,
    held_out: Path,
    label: str,
    train_model: str | None,
    shadows: int,
    attacks: str,
    reserve: float,
    seed: int,
    out: Path,
) -> None:
    """Attack a finished MODEL: a TorchScript file, or `module:function` or `file.py:function` of
    your own code that returns one. That code is run; nothing else is, and no pickle is read.

    --train and --held-out: .npz with x and y, or CSV of numbers with a column of labels.
    --train-model: `module:function` again, of x and y (and seed), that returns a trained model.
    """
    wanted = attacks if attacks in ("standard", "all") else attacks.split(",")
    own = _code(train_model, "--train-model") if train_model is not None else None
    data = _records(train, label, "--train"), _records(held_out, label, "--held-out")
    found = audits.audit(_model(model), *data, own, shadows, wanted, reserve, seed, out)
    for sentence in found.sentences():
        click.echo(line(sentence))
    click.echo(out / "report.html")


def _model(given: str) -> Any:
    place = Path(given)
    if place.suffix in TORCHSCRIPT:
        return place
    if place.suffix in PICKLES:
        raise SweepError(
            f"MODEL: got {given}; a pickle runs whatever it holds, and is not read: give a "
            "function of your own that loads it, module:function"
        )
    return _called(_code(given, "MODEL"), given)


def _called(function: Callable[[], Any], given: str) -> Any:
    try:
        return function()
    except RaymiaError:
        raise
    except Exception as error:
        raise SweepError(f"MODEL: {given} failed: {type(error).__name__}: {error}") from error


def _code(given: str, option: str) -> Callable[..., Any]:
    """A function of the user's own: `module:function`, as Python finds it from here, or
    `file.py:function`.
    """
    module, _, name = given.rpartition(":")
    if not module or not name:
        raise SweepError(
            f"{option}: got {given!r}; module:function, file.py:function"
            + (" or a TorchScript file (.pt) is allowed" if option == "MODEL" else " is allowed")
        )
    try:
        found = getattr(_imported(module), name)
    except Exception as error:  # whatever that module does when it is imported
        raise SweepError(
            f"{option}: {given} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise SweepError(f"{option}: {given} is no function")
    return found  # type: ignore[no-any-return]


def _imported(module: str) -> Any:
    if not module.endswith(".py"):
        if "" not in sys.path:
            sys.path.insert(0, "")
        return importlib.import_module(module)
    spec = importlib.util.spec_from_file_location(Path(module).stem, module)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def _records(path: Path, label: str, option: str) -> tuple[Any, Any]:
    """x and y of a file. Raises SweepError where it holds none."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["x"], arrays[label]
        import pandas as pd

        frame = pd.read_csv(path)
        y = frame.pop(label)
        return frame.to_numpy(np.float64), y.to_numpy()
    except OSError as error:
        raise SweepError(f"{option}: {path}: {error.strerror or error}") from None
    except KeyError as error:
        raise SweepError(f"{option}: {path} has no {error}; --label names the labels") from None
    except (ValueError, UnicodeError) as error:
        raise SweepError(
            f"{option}: {path}: {error}; an .npz of x and y, or a CSV of numbers, is needed"
        ) from None
