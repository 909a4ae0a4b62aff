"""One undefended model, before a sweep: does it learn, how does it compare, and how long will
the whole take?
"""

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia.point import catalog
from raymia.point.objectives import ACCURACY
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.signals import world
from raymia.study.sweep import Sweep
from raymia.verdict import learning
from raymia.verdict.maximum import accuracy_interval

Array = npt.NDArray[Any]
MOST_CELLS = 20_000_000  # of records times features that a baseline is fitted on
MOST_CLASSES = 30  # for boosted trees, of which each class has its own


def wanted(sweep: Sweep) -> bool:
    """Whether `run` begins with one: where nobody has seen the data before."""
    return not catalog.find("datasets", sweep.dataset.name).known


def of(sweep: Sweep, data: Data) -> Point:
    """The undefended point of a sweep, with nothing attacked."""
    point = sweep.point(0, sweep.default(0), 0, data)
    return replace(point, recipe=(), attacks=(), canaries={}, lanes=1)


def fly(point: Point, data: Data) -> dict[str, Any]:
    """Trains the first target and says how it does on the records that a sweep judges, beside
    the most frequent class and scikit-learn's baselines on the same members. JSON-able.

    Units: seconds of training a model; accuracies in [0, 1]. Raises Diverged.
    """
    from raymia.signals.ask import Bench  # torch

    one = world.of(point, data.units)
    target = int(one.split.targets[0])
    bench = Bench(one, data, [target])
    start = time.monotonic()
    model = bench.train()[target]
    seconds = time.monotonic() - start
    logits = bench.ask(model, target, ["logits"], bench.recipe)["logits"]
    right = (logits.argmax(-1) == data.y)[None]
    member, judged = one.split.member[[target]], one.split.judged[:1]
    rates = {
        name: accuracy_interval(right, judged & side).rate.value
        for name, side in ((learning.TRAIN, member), (ACCURACY.column, ~member))
    }
    return {
        "digest": point.digest(),
        "network": point.network.name,
        "seconds_a_model": seconds,
        "members": int(member.sum()),
        "judged": int((judged & ~member).sum()),
        **rates,
        **learning.numbers(data.y, right, member, judged),
        "baselines": _baselines(data, one.split.members(target), (judged & ~member)[0]),
    }


def _baselines(data: Data, members: Array, judged: Array) -> dict[str, float]:
    """Test accuracy of what anybody would try first, on the same records."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if data.vectors is not None:
        return {}
    x = data.x.reshape(len(data), -1)
    if len(members) * x.shape[1] > MOST_CELLS or len(np.unique(data.y[members])) < 2:
        return {}
    tried = {
        "scaled logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000)
        )
    }
    if not data.image and data.classes <= MOST_CLASSES:
        tried["gradient boosting"] = HistGradientBoostingClassifier(
            min_samples_leaf=5, random_state=0
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could have converged further
        return {
            name: float(
                (model.fit(x[members], data.y[members]).predict(x[judged]) == data.y[judged]).mean()
            )
            for name, model in tried.items()
        }


def sentences(found: Mapping[str, Any], sweep: Sweep, at_once: int) -> list[str]:
    """One line each: how the model does, and how long the training of the sweep will take where
    so many trials run at a time.
    """
    others = [f"most frequent class {found[learning.MAJORITY]:.3f}"]
    others += [f"{name} {accuracy:.3f}" for name, accuracy in found["baselines"].items()]
    models, each = sweep.shape[0], found["seconds_a_model"]
    whole = sweep.search.trials * models * each / max(1, min(at_once, sweep.search.lag))
    return [
        f"pilot:     one undefended {found['network']} on {found['members']} members: test "
        f"accuracy {found[ACCURACY.column]:.3f} on {found['judged']} others (train "
        f"{found[learning.TRAIN]:.3f}); {', '.join(others)}",
        f"time:      {each:.2g} s a model; {sweep.search.trials} trials x {models} models, "
        f"{at_once} at once: about {_duration(whole)} of training, defenses and attacks not "
        "counted",
    ]


def warning(found: Mapping[str, Any]) -> str:
    """What must be said where the model did not learn; else empty."""
    return learning.warning([{**found, "state": "done", "defense": "none"}])


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} seconds"
