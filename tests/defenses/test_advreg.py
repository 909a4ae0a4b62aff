from math import log

import numpy as np
import pytest
import torch
from torch import nn

from raymia.defenses.advreg import JOINED, LABEL, LOGITS, Advreg, _suspicion
from raymia.errors import SweepError
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.records.split import assemble
from raymia.training.defense import Reference
from raymia.training.fit import fit
from raymia.training.network import Outputs, classifier
from raymia.training.recipe import Recipe

Z = Outputs(torch.tensor([[2.0, 0.0, 1.0]]).double(), torch.zeros(1, 1))


def weights(bias: float) -> dict[str, torch.Tensor]:
    """An inner attack that always answers with the log-odds `bias`."""
    start = Advreg().extra(classifier(nn.Identity(), 2, 3), np.random.default_rng(0))
    still = {name: torch.zeros_like(w) for name, w in start.items()}
    return still | {"h0.b": torch.tensor([bias]).double()}


def test_the_networks_loss_is_the_attacks_confidence_above_a_half(labelled, at):  # type: ignore[no-untyped-def]
    found = Advreg(alpha=2.0).penalty(Z, None, labelled([0], 3), weights(log(3)), at(0))
    assert float(found) == pytest.approx(2 * (0.75 - 0.5))


def test_the_attacks_loss_is_binary_cross_entropy(labelled, at):  # type: ignore[no-untyped-def]
    (further,) = Advreg().passes(at(0))
    batch = labelled([0], 3)
    loss, acted = further.loss(Z, batch, Reference(Z, batch), weights(log(3)), at(0))
    assert float(acted["gained"]) == 0, "it suspects both alike"
    assert float(loss) == pytest.approx(-(log(0.75) + log(0.25)) / 2)
    assert (further.moves, further.reference, further.evaluation) == ("extra", "uniform", True)


def test_the_inner_network_is_the_codes() -> None:
    """C-100-1024-512-64 on ascending logits, C-100-512-64 on the label as -1 and +1, joined
    128-1, ReLU.
    """
    extra = Advreg().extra(classifier(nn.Identity(), 2, 3), np.random.default_rng(0))

    def column(name: str, widths: tuple[int, ...]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip((3, *widths), widths, strict=False)):
            layer = nn.Linear(a, b).double()
            layer.load_state_dict({"weight": extra[f"{name}{i}.w"], "bias": extra[f"{name}{i}.b"]})
            layers += [layer, nn.ReLU()]
        return nn.Sequential(*layers)

    z, y = column("z", LOGITS), column("y", LABEL)
    joined = torch.cat(
        [
            z(torch.tensor([[0.0, 1.0, 2.0]]).double()),
            y(torch.tensor([[-1.0, 1.0, -1.0]]).double()),
        ],
        -1,
    )
    expected = joined @ extra["h0.w"].T + extra["h0.b"]
    assert JOINED == (128, 1)
    assert torch.allclose(_suspicion(Z.logits, torch.tensor([1]), extra), expected[:, 0])


def test_only_the_pass_moves_the_attack_and_only_the_step_the_network(lesson, monkeypatch):  # type: ignore[no-untyped-def]
    seen: list[torch.Tensor] = []

    class Spy(Advreg):
        def penalty(self, outputs, reference, batch, extra, clock):  # type: ignore[no-untyped-def]
            seen.append(extra["h0.w"].detach().clone())
            return super().penalty(outputs, reference, batch, extra, clock)

    net = make("networks", "mlp", {"width": 8})
    training = Training(epochs=3, batch_size=10, precision="float64")
    fit(Recipe((Spy(),)), lambda: net.build((1, 8, 8), 3), lesson(), training, (0,), [0])
    same = [torch.equal(a, b) for a, b in zip(seen, seen[1:], strict=False)]
    assert same == [True, False, True, False, True]  # two steps an epoch, one pass after each


@pytest.mark.parametrize(("share", "given"), [(0.04, 0), (1.0, 20)])
def test_a_share_that_leaves_no_reference_or_no_members_is_refused(
    share: float, given: int
) -> None:
    ones, role = np.ones((2, 40), bool), np.zeros(40, np.int8)
    member = np.arange(40) < 20
    split = assemble(
        np.stack([member, ~member]), ones, ones, role, np.arange(2), ~np.eye(2, dtype=bool), 0, 0
    )
    with pytest.raises(
        SweepError, match=rf"20 members of model 0 is {given} of them, .* from 1/20 to 19/20"
    ):
        split.carve(share, 0, 0)
    assert len(split.carve(0.05, 0, 0).reference(1)) == len(split.carve(0.95, 0, 0).members(1)) == 1


def test_the_reference_is_taken_from_the_members() -> None:
    member = np.zeros((2, 40), bool)
    member[0, :20] = member[1, 20:] = True
    ones, role = np.ones((2, 40), bool), np.zeros(40, np.int8)
    split = assemble(member, ones, ones, role, np.arange(2), ~np.eye(2, dtype=bool), 0, 0).carve(
        Advreg(share=0.5).traits().share, 0, 0
    )
    assert len(split.members(0)) == len(split.reference(0)) == 10
    assert set(split.members(0)) | set(split.reference(0)) == set(range(20))
    assert (
        not split.judged[0, split.reference(0)].any() and not split.fit[0, split.reference(0)].any()
    )
