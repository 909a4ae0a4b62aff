import numpy as np
import pytest

from raymia.defenses.top_k import TopK
from raymia.training.defense import Owned
from raymia.training.losses import probabilities

OWNED = Owned(
    np.zeros((1, 4)), np.zeros(1, np.int64), np.zeros(1, np.int64), np.random.default_rng(0)
)


@pytest.mark.parametrize(
    ("k", "shown"),
    [(1, [0.15, 0.15, 0.55, 0.15]), (2, [0.075, 0.3, 0.55, 0.075]), (4, [0.05, 0.3, 0.55, 0.1])],
)
def test_what_is_left_out_is_shared_evenly(k: int, shown: list[float]) -> None:
    released = TopK(k=k).release(OWNED)(np.log([[0.05, 0.3, 0.55, 0.1]]) + 7)
    assert probabilities(released)[0] == pytest.approx(shown)


def test_a_certain_model_stays_finite() -> None:
    assert np.isfinite(TopK(k=1).release(OWNED)(np.array([[900.0, 0.0, 0.0]]))).all()
