"""Finished models of somebody else, asked what attacks want to know."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raymia.errors import SweepError
from raymia.records.split import Ints
from raymia.signals.queries import QUERIES, Subject
from raymia.training.architecture import FLOOR
from raymia.training.defense import Predictor
from raymia.training.losses import logarithm

Array = np.ndarray[Any, Any]


def ask(
    model: Any,
    x: Array,
    y: Ints,
    classes: Array,
    needs: Iterable[str],
    rng: np.random.Generator,
    members: Ints,
) -> dict[str, Array]:
    """Answers of a model on records x [S, ...] with labels y [S], places in `classes` [C].

    It is a module of torch, the path of one in TorchScript or another function of records that
    says logits [S, C], or has `predict_proba`. Raises SweepError where it says something else.
    """
    said = predictor(model, classes)
    subject = Subject(said, _as_is, torch.as_tensor(x), torch.as_tensor(y), rng, members)
    return {name: a for need in needs for name, a in QUERIES[need](subject).items()}


def torchscript(path: Path) -> nn.Module:
    """The module of a TorchScript file, which holds operations of torch and no Python. Raises
    SweepError where it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is old, and says so
            load: Callable[..., nn.Module] = torch.jit.load
            return load(path, map_location="cpu")
    except (RuntimeError, ValueError, OSError):
        raise SweepError(
            f"{path} is no TorchScript file; give a function of your own that loads the model"
        ) from None


def _as_is(logits: Array) -> Array:
    return logits


def predictor(model: Any, classes: Array) -> Predictor:
    """The model as a function of records that says finite logits."""
    said = _said_by(model, classes)

    def checked(x: Tensor) -> Tensor:
        try:
            logits = said(x)
        except Exception as error:  # whatever somebody else's model does
            why = f"{type(error).__name__}: {error}"
            raise SweepError(f"the model cannot be asked about its records: {why}") from error
        if tuple(logits.shape) != (len(x), len(classes)) or not bool(logits.isfinite().all()):
            raise SweepError(
                f"the model says {tuple(logits.shape)} of {len(x)} records; finite logits "
                f"{(len(x), len(classes))} are needed, one for each of {len(classes)} classes"
            )
        return logits

    return checked


def _said_by(model: Any, classes: Array) -> Predictor:
    if isinstance(model, Path):
        model = torchscript(model)
    if isinstance(model, nn.Module):
        one: Any = next(model.eval().parameters(), None)

        def of_module(x: Tensor) -> Tensor:
            with torch.no_grad():
                said: Tensor = model(x.float() if one is None else x.to(one.device, one.dtype))
            return said.cpu()

        return of_module
    if hasattr(model, "predict_proba"):
        place, floor = _places(model, classes), floor_of(model, len(classes))

        def of_probabilities(x: Tensor) -> Tensor:
            p = np.zeros((len(x), len(classes)))
            p[:, place] = model.predict_proba(x.numpy())
            return torch.as_tensor(logarithm(np.maximum(p, floor)))

        return of_probabilities
    if callable(model):
        return lambda x: torch.as_tensor(np.asarray(model(x.numpy())))
    raise SweepError(
        f"the model is a {type(model).__name__}; a module of torch, the Path of a TorchScript "
        "file, an estimator with predict_proba, or a function of records that says logits is needed"
    )


def _places(model: Any, classes: Array) -> Ints:
    own = np.asarray(model.classes_)
    strange = np.setdiff1d(own, classes)
    if len(strange):
        raise SweepError(f"the model knows the class {strange[0]!r}, which no record has")
    return np.searchsorted(classes, own)


def floor_of(model: Any, classes: int) -> float:
    """The least probability that is told apart: half a vote where trees vote, else 1e-7."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    if hasattr(model, "steps"):  # a pipeline
        return floor_of(model.steps[-1][1], classes)
    votes = isinstance(model, RandomForestClassifier | ExtraTreesClassifier)
    return 0.5 / max(len(model.estimators_), classes) if votes else min(FLOOR, 0.5 / classes)
