from math import exp, log

import numpy as np
import pytest
import torch

from raymia.defenses.crl import Crl
from raymia.errors import SweepError
from raymia.point.catalog import make
from raymia.training.defense import Step
from raymia.training.network import Outputs

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
