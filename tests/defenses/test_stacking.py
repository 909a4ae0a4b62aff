from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from raymia.defenses.stacking import Stacking
from raymia.errors import SweepError

LOGITS = torch.tensor([[1.0, 2.0, 0.5]]).double()


def test_three_disjoint_thirds_and_a_regression_on_both_vectors(lesson):  # type: ignore[no-untyped-def]
    asked = []

    def fit(recipe, lesson, name):  # type: ignore[no-untyped-def]
        asked.append(lesson.members)
        return [lambda x: LOGITS * x.flatten(1)[:, :1]]

    before = lesson()
    (predict,) = Stacking(trees=7).assemble(before, fit, [np.random.default_rng(5)])
    rng = np.random.default_rng(5)  # the same draws, by hand
    first, second, last = np.array_split(rng.permutation(before.members[0]), 3)
    assert asked == [(pytest.approx(np.sort(first)),)] and not set(first) & set(second) | set(
        second
    ) & set(last)
    x, y = before.x.flatten(1).numpy(), before.y.numpy()
    forest = RandomForestClassifier(7, random_state=int(rng.integers(2**31))).fit(
        x[second], y[second]
    )

    def both(rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        network = (LOGITS * before.x.flatten(1)[rows, :1]).softmax(-1).numpy()
        return np.hstack([network, forest.predict_proba(x[rows])])

    meta = LogisticRegression(max_iter=5000).fit(both(last), y[last])
    assert predict(before.x).exp().numpy() == pytest.approx(meta.predict_proba(both(np.arange(40))))


def test_a_third_of_one_class_is_refused(lesson):  # type: ignore[no-untyped-def]
    with pytest.raises(SweepError, match="one class only"):
        Stacking().assemble(
            replace(lesson(), y=torch.zeros(40, dtype=torch.int64)),
            lambda *_: [],
            [np.random.default_rng(0)],
        )
