import numpy as np
import pytest

from raymia.defenses.temperature import Temperature
from raymia.training.defense import Owned
from raymia.training.losses import probabilities
from raymia.training.recipe import Recipe

OWNED = Owned(
    np.zeros((1, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64), np.random.default_rng(0)
)


def test_the_softmax_is_softened() -> None:
    logits = np.log([[0.9, 0.1]])  # odds 9; at temperature 2 their root, 3
    assert probabilities(Temperature(t=2.0).release(OWNED)(logits))[0] == pytest.approx(
        [0.75, 0.25]
    )


def test_what_is_released_is_log_probabilities_decided_once() -> None:
    released = Recipe((Temperature(t=2.0),)).release(OWNED)(np.log([[0.9, 0.1]]) + 5)
    assert np.exp(released)[0] == pytest.approx([0.75, 0.25])
