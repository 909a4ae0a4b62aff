from math import log

import pytest
import torch

from raymia.defenses.relaxloss import Relaxloss
from raymia.training.defense import Batch
from raymia.training.network import Outputs

# cross-entropy ln 2 = 0.693147; softened at upper 0.3: 0.3 ln 2 + 0.7 ln 4 = 1.178350
P = [[0.5, 0.25, 0.25]]
# clock epochs, from 0, that count as even
EVEN = {
    "paper": 1,
    "jek": 1,
    "official_nonimage": 0,
    "official_cifar": 0,
}


@pytest.mark.parametrize("variant", EVEN)
def test_the_three_branches(variant, said, labelled, at):  # type: ignore[no-untyped-def]
    even = EVEN[variant]
    outputs, batch = said(P), labelled([0], 3)

    def loss(alpha: float, epoch: int) -> float:
        return float(
            Relaxloss(alpha=alpha, upper=0.3, variant=variant).criterion(outputs, batch, at(epoch))
        )

    assert loss(1.0, even) == pytest.approx(1 - log(2))  # ascent: |L - alpha|
    assert loss(0.5, even) == pytest.approx(log(2) - 0.5)
    assert loss(0.5, even + 1) == pytest.approx(log(2))  # above the threshold: L
    # the record is right: (1 - 1) soft - CE
    flat = -log(2) if variant == "official_cifar" else 1.1783502
    assert loss(1.0, even + 1) == pytest.approx(flat)


def test_official_cifar_on_a_wrong_record(said, labelled, at):  # type: ignore[no-untyped-def]
    # label 1: p_y = 0.25 < upper, t = (0.375, 0.25, 0.375); soft = 0.375 ln 2 + 0.625 ln 4;
    # minus ln 4
    loss = Relaxloss(alpha=9.0, variant="official_cifar").criterion(
        said(P), labelled([1], 3), at(1)
    )
    assert float(loss) == pytest.approx(0.375 * log(2) + 0.625 * log(4) - log(4))


def test_the_decision_is_the_batchs_and_not_the_records(said, labelled, at):  # type: ignore[no-untyped-def]
    # mean of ln 2 and ln 4 is 1.0397: above 1, although the first record is below
    loss = Relaxloss(alpha=1.0).criterion(said([P[0], P[0]]), labelled([0, 1], 3), at(0))
    assert float(loss) == pytest.approx(1.5 * log(2))


@pytest.mark.parametrize(("variant", "extra"), [("paper", 0.0), ("jek", -0.25 * log(2))])
def test_only_the_paper_stops_the_gradient_at_the_target(variant, extra, labelled, at):  # type: ignore[no-untyped-def]
    """With upper 1 the true logit's gradient is 0 if the target is held; else -(dp_y/dz_y)(log
    p_y - mean of the others).
    """
    z = torch.tensor(P, dtype=torch.float64).log().requires_grad_()
    batch: Batch = labelled([0], 3)
    Relaxloss(alpha=9.0, variant=variant).criterion(
        Outputs(z, z), batch, at(EVEN[variant] + 1)
    ).backward()
    assert float(z.grad[0, 0]) == pytest.approx(extra, abs=1e-12)
