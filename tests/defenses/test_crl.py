from math import exp, log

import numpy as np
import pytest
import torch

from raymia.defenses.crl import Crl
from raymia.errors import SweepError
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.training.defense import Lesson, Step
from raymia.training.group import Group
from raymia.training.network import Outputs, classifier

# logits and features (3, 4), norm 5; at tau 1 both shrink to (3, 4) / 6 = (0.5, 2/3)
SAID = Outputs(torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[3.0, 4.0]]).double())
CE = log(1 + exp(1 / 6))  # of the shrunk logits, label 0
P0 = 1 / (1 + exp(1))  # of the logits as they are


def crl(**knobs: float | str) -> Crl:
    start = {"lam": 1.0, "tau_rce": 1.0, "tau_rcl": 1.0, "alpha_rcl": 1.0, "centre": "absolute"}
    return Crl(**{**start, **knobs})  # type: ignore[arg-type]


def test_relaxed_cross_entropy_of_normalised_logits(labelled, at):  # type: ignore[no-untyped-def]
    batch = labelled([0], 2)
    assert float(crl(alpha_rce=1.0).criterion(SAID, batch, at(1))) == pytest.approx(
        1 - CE, abs=1e-6
    )
    assert float(crl(alpha_rce=0.5).criterion(SAID, batch, at(0))) == pytest.approx(CE, abs=1e-6)
    # target from the logits as they are, logarithms of the normalised ones
    soft = P0 * CE + (1 - P0) * (CE - 1 / 6)
    assert float(crl(alpha_rce=1.0).criterion(SAID, batch, at(0))) == pytest.approx(soft, abs=1e-6)


def test_relaxed_centre_loss(labelled, at):  # type: ignore[no-untyped-def]
    batch, centres = labelled([0], 2), {"centres": torch.tensor([[6.0, 8.0], [9.0, 9.0]]).double()}
    apart = (6 / 11 - 1 / 2) ** 2 + (
        8 / 11 - 2 / 3
    ) ** 2  # centre 0, norm 10, shrinks to (6, 8) / 11
    square = 1 / 4 + 4 / 9

    def loss(epoch: int, **knobs: float) -> float:
        return float(crl(**knobs).penalty(SAID, None, batch, centres, at(epoch)))

    assert loss(1) == pytest.approx(1 - apart / 2, abs=1e-6)
    assert loss(0, alpha_rcl=0.0) == pytest.approx(apart / 2, abs=1e-6)
    assert loss(0) == pytest.approx((P0 * apart + (1 - P0) * square) / 2, abs=1e-6)
    assert loss(0, upper_rcl=0.1) == pytest.approx((0.1 * apart + 0.9 * square) / 2, abs=1e-6)
    assert loss(0, lam=0.5) == pytest.approx((P0 * apart + (1 - P0) * square) / 4, abs=1e-6)


def test_without_normalisation_it_is_relaxloss_and_the_plain_centre_loss(labelled, at):  # type: ignore[no-untyped-def]
    bare = crl(tau_rce=0.0, tau_rcl=0.0, alpha_rce=9.0, alpha_rcl=0.0)
    assert float(bare.criterion(SAID, labelled([0], 2), at(1))) == pytest.approx(
        9 - log(1 + exp(1))
    )
    centres = {"centres": torch.tensor([[6.0, 8.0], [9.0, 9.0]]).double()}
    assert float(bare.penalty(SAID, None, labelled([0], 2), centres, at(1))) == pytest.approx(
        25 / 2
    )


def test_a_threshold_that_the_loss_never_reaches_is_refused(labelled, at):  # type: ignore[no-untyped-def]
    # the farthest that features and centre can be apart: 1/2 (1/tau + 1/tau)^2 = 2 / tau^2, and
    # a little less
    far = Outputs(SAID.logits, 1e9 * SAID.features)
    most = crl(alpha_rcl=0.0).penalty(
        far, None, labelled([0], 2), {"centres": -1e9 * SAID.features.expand(2, 2)}, at(0)
    )
    assert 1.999 < float(most) < 2
    with pytest.raises(SweepError, match="alpha_rcl: got 2.0; less than 2 / tau_rcl"):
        make("defenses", "crl", {"tau_rcl": 1.0, "alpha_rcl": 2.0, "centre": "absolute"})


def test_a_fraction_is_of_the_loss_of_centres_as_they_start(labelled, at):  # type: ignore[no-untyped-def]
    """Of D features that are 0 and centres N(0, I): |c| is near sqrt(D), shrunk by tau."""
    drawn = np.random.default_rng(0).standard_normal((2000, 400))
    for tau in (0.0, 0.05):
        norms = np.linalg.norm(drawn, axis=1)
        start = ((norms / (1 + tau * norms)) ** 2).mean() / 2
        assert Crl(tau_rcl=tau, alpha_rcl=1.0)._threshold(400) == pytest.approx(start, rel=0.01)
        half = Crl(tau_rcl=tau, alpha_rcl=0.5)._threshold(400)
        assert half == pytest.approx(start / 2, rel=0.01)


def test_it_says_which_losses_were_relaxed(labelled, at):  # type: ignore[no-untyped-def]
    centres = {"centres": torch.tensor([[6.0, 8.0], [9.0, 9.0]]).double()}
    step = Step(SAID, None, labelled([0], 2), centres, at(0))
    apart = ((6 / 11 - 1 / 2) ** 2 + (8 / 11 - 2 / 3) ** 2) / 2
    for rce, rcl in ((CE - 0.01, apart - 1e-4), (CE + 0.01, apart - 1e-4), (0.0, apart + 1e-4)):
        done = crl(alpha_rce=rce, alpha_rcl=rcl).acted(step)
        assert float(done["relaxed_rce"]) == (rce > CE)
        assert float(done["relaxed_rcl"]) == (rcl > apart)


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize("lam", [0.25, 2.0])
def test_the_centres_move_as_the_form_says(form, lam):  # type: ignore[no-untyped-def]
    """Without normalisation and threshold, and a network that stands still, n records of class k
    in a batch of B move c_k by -lr (n c_k - sum q) / B: of the paper by 0.001, with nothing else;
    of the code by 0.001 lam, with weight decay 5e-4 and momentum 0.9.
    """
    x, steps = torch.rand((6, 3), generator=torch.Generator().manual_seed(1)).double(), 3
    y = torch.tensor([0, 0, 0, 1, 1, 0])  # none of class 2
    whole = Lesson(x, y, (np.arange(6),), (np.arange(0),), 3)
    still = Training(epochs=steps, batch_size=6, lr=0.0, weight_decay=0.0, precision="float64")
    part = Crl(lam=lam, tau_rcl=0.0, alpha_rcl=0.0, centre="absolute", form=form)
    net = classifier(torch.nn.Identity(), 3, 3).double()
    group = Group(part, [net], whole, still, ("x",), [0])
    centres = group.extra["centres"][0].detach().numpy().copy()
    start, pace = centres.copy(), np.zeros_like(centres)
    group.train()
    counts, sums = np.array([4, 2, 0]), np.stack([x[y == k].numpy().sum(0) for k in range(3)])
    for _ in range(steps):
        grad = (counts[:, None] * centres - sums) / 6
        pace = grad if form == "paper" else 0.9 * pace + lam * grad + 5e-4 * centres
        centres = centres - 1e-3 * pace
    found = group.extra["centres"][0].detach().numpy()
    assert np.allclose(found, centres, atol=1e-13, rtol=0)
    assert abs(found[:2] - start[:2]).min() > 1e-6
    assert np.array_equal(found[2], start[2]) == (form == "paper")


def test_the_paper_does_not_divide_by_a_lam_of_0() -> None:
    assert np.isfinite(Crl(lam=0.0, form="paper").extra_training()[""].lr)
