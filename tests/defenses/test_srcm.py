import pytest
import torch
from torch import nn

from raymia.defenses.srcm import Srcm
from raymia.point import catalog
from raymia.training.modules import LinearNorm, SphereClip
from raymia.training.network import classifier


def build() -> nn.Module:
    return classifier(nn.Identity(), 2, 2)


def test_the_shell() -> None:
    clip = SphereClip(1.0, 1.0)
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.9, 1.2]])
    # radius 2, 1, and 1.5 as it is
    assert torch.allclose(clip(x), torch.tensor([[1.2, 1.6], [0.6, 0.8], [0.9, 1.2]]))


def test_no_gradient_along_the_radius_outside_the_shell() -> None:
    x = torch.tensor([3.0, 4.0], requires_grad=True)
    out = SphereClip(1.0, 1.0)(x)
    (grad,) = torch.autograd.grad(out, x, grad_outputs=torch.tensor([0.6, 0.8]))
    assert torch.allclose(grad, torch.zeros(2), atol=1e-6)


def test_the_frobenius_norm_is_the_matrixs_and_spares_the_bias() -> None:
    layer = LinearNorm(2, 2, all_on=True)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        layer.bias.copy_(torch.tensor([1.0, 0.0]))
    assert torch.allclose(layer(torch.ones(1, 2)), torch.tensor([[1.6, 0.8]]))


@pytest.mark.parametrize(
    ("design", "all_on", "in_training", "in_use"),
    [("b", True, 1, 1), ("b", False, 1, 0), ("c", True, 1, 0)],
)
def test_design_b_caps_the_logits_and_c_only_in_training(
    design, all_on, in_training, in_use
) -> None:  # type: ignore[no-untyped-def]
    net = Srcm(r1=2.0, d=1.0, design=design, all_on=all_on).network(build())
    with torch.no_grad():
        net.head[-1].weight.mul_(100)
    for mode, capped in ((True, in_training), (False, in_use)):
        spread = net.train(mode)(100 * torch.randn(50, 2)).logits - net.head[-1].bias
        assert bool(spread.norm(dim=1).max() <= 3.0 + 1e-4) == bool(capped)


def test_design_a_puts_the_logits_on_the_shell() -> None:
    net = Srcm(r1=2.0, d=0.0, design="a").network(build())
    assert torch.allclose(net(torch.randn(9, 2)).logits.norm(dim=1), torch.full((9,), 2.0))


def test_features_stay_the_backbones() -> None:
    net = Srcm().network(build())
    assert torch.equal(net(torch.ones(1, 2)).features, torch.ones(1, 2)) and [
        type(m) for m in net.head
    ][1:] == [
        nn.Linear,
        SphereClip,
        LinearNorm,
    ]


@pytest.mark.parametrize(
    "name",
    [n for n in catalog.names("networks") if "steps" not in catalog.find("networks", n).lacks],
)
@pytest.mark.parametrize("design", ["a", "b", "c"])
def test_on_a_real_network_it_reads_the_heads_input(name: str, design: str) -> None:
    widths = {"mobilenetv3_large": 0.25}
    knobs = catalog.knobs(catalog.find("networks", name))
    small = {"width": widths.get(name, 8)} if "width" in knobs else {}
    plain = catalog.make("networks", name, small).build((1, 32, 32), 3)
    net = Srcm(r1=2.0, d=1.0, design=design).network(plain).eval()
    x = 5 * torch.rand((6, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    given: list[torch.Tensor] = []
    plain.eval().head.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    said, before = net(x), plain(x)
    assert torch.equal(said.features, given[0]) and torch.equal(before.features, given[0])
    assert (
        given[0].shape == (6, net.features)
        and [m for m in net.head.modules() if isinstance(m, nn.Linear)][0].in_features
        == net.features
    )
    assert not any(module is plain.head for module in net.modules()) or design == "a"
    if design != "a":
        in_front, first, clip, last = net.head
        onto = first(in_front(given[0]))
        radius = onto.norm(dim=1, keepdim=True)
        weight = last.weight / last.weight.norm() if design == "b" else last.weight
        assert torch.allclose(
            said.logits, onto * radius.clamp(2.0, 3.0) / radius @ weight.T + last.bias, atol=1e-5
        )
    else:
        radius = before.logits.norm(dim=1, keepdim=True)
        assert torch.allclose(
            said.logits, before.logits * radius.clamp(2.0, 3.0) / radius, atol=1e-5
        )
