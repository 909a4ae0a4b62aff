import numpy as np
import pytest
import torch

from raymia.defenses.hamp import DONORS, Hamp, confidence
from raymia.laws.defenses import noise
from raymia.records.data import load
from raymia.signals import world
from raymia.study import sweep
from raymia.training.defense import Array, Batch, Clock, Owned, Step, cross_entropy
from raymia.training.losses import probabilities
from raymia.training.network import Outputs
from raymia.training.recipe import Recipe
from raymia.trial import run as trial

CLOCK = Clock(0, 1, 0)
LOGITS = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32) * 4


def owned(seed: int = 1) -> Owned:
    return Owned(LOGITS, np.arange(100), np.arange(100, 200), np.random.default_rng(seed), noise)


@pytest.mark.parametrize(("gamma", "classes"), [(0.05, 2), (0.5, 10), (0.95, 10), (0.8, 100)])
def test_targets_have_the_entropy_that_was_asked_for(gamma: float, classes: int) -> None:
    hot = torch.eye(classes, dtype=torch.float64)[None]
    batch = Batch(torch.zeros(1, classes, 1), hot, torch.arange(classes)[None])
    target = Hamp(gamma=gamma).batch(batch, (), CLOCK).target[0].numpy()
    entropy = -(target * np.log(target)).sum(-1)
    np.testing.assert_allclose(entropy, gamma * np.log(classes), rtol=1e-6)
    np.testing.assert_allclose(target.sum(-1), 1)
    assert (target.argmax(-1) == np.arange(classes)).all()
    rest = target[~np.eye(classes, dtype=bool)]
    assert np.ptp(rest) < 1e-12 and rest[0] < target[0, 0]
    # the code lowers p by 0.01 until the entropy is there
    p = confidence(gamma, classes)
    lowered = next(
        q
        for q in 1 - 0.01 * np.arange(1, 100)
        if -q * np.log(q) - (1 - q) * np.log((1 - q) / (classes - 1)) >= gamma * np.log(classes)
    )
    assert p - 0.01 - 1e-9 <= lowered <= p + 1e-9


def test_the_loss_is_the_divergence_less_alpha_times_the_entropy() -> None:
    part = Hamp(gamma=0.6, alpha=0.3)
    z = torch.tensor(LOGITS[:8], dtype=torch.float64, requires_grad=True)
    hot = torch.eye(3, dtype=torch.float64)[torch.arange(8) % 3]
    batch = Batch(torch.zeros(1, 8, 1), hot[None], torch.arange(8)[None] % 3)
    target = part.batch(batch, (), CLOCK).target[0]
    single = Batch(batch.x[0], target, batch.label[0])
    outputs = Outputs(z, z)
    losses = cross_entropy(z, target) + part.penalty(outputs, None, single, {}, CLOCK)
    log_p = z.log_softmax(-1)
    divergence = (target * (target.log() - log_p)).sum(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    (found,) = torch.autograd.grad(losses.sum(), z, retain_graph=True)
    (expected,) = torch.autograd.grad((divergence - 0.3 * entropy).sum(), z)
    torch.testing.assert_close(found, expected)
    said = part.acted(Step(outputs, None, single, {}, CLOCK))["penalised"]
    assert float(said.detach()) == pytest.approx(float(1 - entropy.mean().detach() / np.log(3)))


def test_a_release_keeps_the_order_of_the_classes_and_nothing_else() -> None:
    released = probabilities(Hamp().release(owned())(LOGITS))
    donors = {tuple(np.sort(p).round(6)) for p in probabilities(noise(DONORS))}
    assert (np.argsort(released, -1) == np.argsort(LOGITS, -1)).all()
    assert {tuple(np.sort(p).round(6)) for p in released} <= donors
    # sharper logits in the same order say no more
    largest = released.max(-1)
    assert abs(np.corrcoef(largest, LOGITS.max(-1))[0, 1]) < 0.2


def test_asking_again_averages_nothing_out() -> None:
    release = Hamp().release(owned())
    first = release(LOGITS)
    np.testing.assert_array_equal(first, release(LOGITS))
    np.testing.assert_array_equal(first[5:9], release(LOGITS[5:9]))
    assert not np.allclose(first, Hamp().release(owned(2))(LOGITS))
    moved = release(LOGITS + np.float32(1e-3))
    assert (abs(moved - first).max(-1) > 1e-3).mean() > 0.9
    # in another batch, or on another processor
    nudged = release(LOGITS + np.float32(1e-6))
    assert (abs(nudged - first).max(-1) == 0).mean() > 0.9


def test_ties_keep_the_label() -> None:
    tied = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]], np.float32)
    assert (Hamp().release(owned())(tied).argmax(-1) == tied.argmax(-1)).all()


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-6, 1e-5])
def test_donors_that_are_all_but_tied_keep_the_label(spread: float) -> None:
    """Signals are kept in float32, where two probabilities of a flat answer are one number."""

    def flat(n: int) -> Array:
        return noise(n) * np.float32(spread)

    own = Owned(LOGITS, np.arange(100), np.arange(100, 200), np.random.default_rng(1), flat)
    released = Hamp().release(own)(LOGITS)
    assert (released.astype(np.float32).argmax(-1) == LOGITS.argmax(-1)).all()
    # nothing is added beyond that
    even = np.sort(probabilities(flat(DONORS)), -1)
    assert np.ptp(probabilities(released), -1).max() <= np.ptp(even, -1).max() + 1e-5


def test_without_randomise_and_beside_another_release() -> None:
    plain = Hamp(randomise=False).release(owned())(LOGITS)
    np.testing.assert_array_equal(plain, LOGITS)
    from raymia.defenses.temperature import Temperature

    both = Recipe((Temperature(t=3.0), Hamp())).release(owned())(LOGITS)
    colder = probabilities(noise(DONORS) / 3)
    donors = {tuple(np.sort(p).round(5)) for p in colder}
    assert {tuple(np.sort(p).round(5)) for p in probabilities(both)} <= donors


def test_noise_is_asked_of_the_network_itself() -> None:
    with pytest.raises(TypeError, match="no network"):
        Hamp().release(Owned(LOGITS, np.arange(3), np.arange(3), np.random.default_rng(0)))


TINY = """
name: hamp
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2}}
defenses:
  - [hamp: {gamma: 0.9, alpha: 0.01}]
  - []
  - [hamp: {gamma: 0.9, alpha: 0.01, randomise: false}]
attacks: [baseline, loss]
training: {epochs: 30, lanes: 4}
"""


def test_a_trial_trains_by_it_and_releases_by_it() -> None:
    """Models are kept before their release: the soft targets must be in them already."""
    file = sweep.parse(TINY)
    data = load(file.dataset, 0)
    rows = [trial.run(file.point(arm, {}, 0, data), data).numbers for arm in range(3)]
    both, plain, trained = rows
    assert both["acted.hamp.changed"] == trained["acted.hamp.changed"] == 1.0
    assert 0 < (both["acted.hamp.penalised"] or 0) < 1 and both["acted.hamp.moved"] == 1.0
    assert both["train_accuracy"] == trained["train_accuracy"]  # labels are released as they are
    assert trained["auc.loss"] != plain["auc.loss"] != both["auc.loss"]
    assert world.of(file.point(0, {}, 0, data), len(data)).base.point == (
        file.point(2, {}, 0, data)
    )
