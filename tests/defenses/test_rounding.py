import numpy as np
import pytest

from raymia.defenses.rounding import Rounding
from raymia.training.defense import Owned
from raymia.training.losses import probabilities

OWNED = Owned(
    np.zeros((1, 4)), np.zeros(1, np.int64), np.zeros(1, np.int64), np.random.default_rng(0)
)


def rounded(p: list[float], digits: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Rounding(digits=digits).release(OWNED)(np.log([p]))[0])


def test_rounds_and_floors_zeros() -> None:
    assert np.exp(rounded([0.861, 0.137, 0.002], 2)) == pytest.approx([0.86, 0.14, 1e-30])


@pytest.mark.parametrize("p", [[0.46, 0.54], [0.249, 0.251, 0.25, 0.25], [0.3, 0.4, 0.3]])
def test_the_label_is_released_beside_the_vector(p: list[float]) -> None:
    """Where rounding ties, even at 0 for all, the predicted class stays first, by almost
    nothing.
    """
    for digits in (0, 1):
        shown = rounded(p, digits).astype(np.float32)
        assert shown.argmax() == int(np.argmax(p))
    assert probabilities(rounded(p, 0)[None])[0].max() <= 1 / len(p) + 1e-5 or max(p) > 0.5


def test_fifteen_digits_are_nothing() -> None:
    p = [0.123456789, 0.276543211, 0.6]
    assert np.exp(rounded(p, 15)) == pytest.approx(p, abs=1e-15)
