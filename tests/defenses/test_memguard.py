import numpy as np
import pytest
import torch

from raymia.defenses.memguard import Memguard
from raymia.training.crossing import crossed
from raymia.training.defense import Owned
from raymia.training.losses import probabilities


def suspicious(p: torch.Tensor) -> torch.Tensor:
    """A defense net that says member where the largest probability is above 0.7."""
    return 5 * (p[..., -1] - 0.7)


def owned(records: int = 60) -> Owned:
    """Members (the first half) have logits three times those of the others."""
    rng = np.random.default_rng(0)
    logits = (
        rng.standard_normal((records, 3))
        * np.where(np.arange(records) < records // 2, 6.0, 1.5)[:, None]
    )
    half = np.arange(records // 2)
    return Owned(logits.astype(np.float32), half, half + records // 2, np.random.default_rng(1))


def test_phase_one_crosses_and_keeps_the_label() -> None:
    logits = np.log(
        np.array([[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0.34, 0.33, 0.33]])
    )
    noisy = crossed(logits, suspicious, 300)
    assert (noisy.argmax(1) == logits.argmax(1)).all()
    # each on the other side of the boundary now
    assert (noisy.max(1) > 0.7).tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert np.abs(noisy.max(1) - 0.7).max() < 0.05  # and hardly past it: steps are 0.1 long
    assert noisy.sum(1) == pytest.approx(1)


def test_where_no_noise_helps_none_is_added() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4]]))
    assert crossed(logits, lambda p: 1.0 + 0 * p[..., -1], 20) == pytest.approx(np.exp(logits))
    # h is at 0.5 already
    assert crossed(logits, lambda p: 0 * p[..., -1], 20) == pytest.approx(np.exp(logits))


def test_two_steps_worked_by_hand() -> None:
    """Two classes, h's log-odds 5 (p_max - 0.7): down c1 |odds| and up c3 |p - s|_1, along (1,
    -1) / sqrt 2, 0.1 a step.
    """
    z = np.array([[1.2, 0.0]])  # p = 0.7685; d = z_0 - z_1 falls by 0.1 sqrt 2 a step
    noisy = crossed(z, suspicious, 300)
    gap = [1.2 - 0.1 * 2**0.5 * k for k in range(5)]
    p = [1 / (1 + np.exp(-g)) for g in gap]
    first = next(v for v in p if v < 0.7)
    assert noisy[0, 0] == pytest.approx(first)


def test_phase_two_draws_once_a_query_with_the_right_chance() -> None:
    mine = owned(120)
    at = {e: Memguard(epsilon=e, steps=300, iterations=40, lr=0.05) for e in (0.0, 0.2, 1.0)}
    released = {e: probabilities(m.release(owned(120))(mine.logits)) for e, m in at.items()}
    s, noisy = released[0.0], released[1.0]
    assert s == pytest.approx(probabilities(mine.logits))
    length = abs(noisy - s).sum(1)
    assert (length > 0.2).sum() > 15  # h was learned, and noise found
    sure = (length > 1e-9) & (length <= 1)
    changed = abs(released[0.2] - s).sum(1) > 1e-9
    expected = np.minimum(0.2 / length[sure], 1)
    sd = np.sqrt((expected * (1 - expected)).sum())
    assert abs(changed[sure].sum() - expected.sum()) < 4 * sd
    assert (noisy.argmax(1) == s.argmax(1)).all()
    once = at[0.2].release(owned(120))
    assert np.array_equal(once(mine.logits), once(mine.logits))
    # the draw is the query's, whoever stands beside it
    assert np.allclose(once(mine.logits)[7:9], once(mine.logits[7:9]))


def test_the_defense_net_is_fitted_on_this_models_members_and_reference() -> None:
    h = Memguard(steps=400, lr=0.05)._classifier(owned(200))
    odds = h(torch.as_tensor(np.sort(probabilities(owned(200).logits), -1))).numpy()
    assert odds[:100].mean() > 0.5 > -0.5 > odds[100:].mean()
