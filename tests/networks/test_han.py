"""The hierarchical attention network by its equations, and words in front of it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raymia.networks.han import Han
from raymia.networks.mlp import Mlp
from raymia.training.documents import Attention, Gru, Vectors
from raymia.training.model import Model, builder, restored, saved
from raymia.training.network import Network
from raymia.training.recipe import Recipe

SHAPE = (10, 40, 50)


def documents(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def han(shape: tuple[int, ...] = SHAPE, classes: int = 10, width: int = 50) -> Network:
    torch.manual_seed(0)
    return Han(width=width).build(shape, classes).double()


def torchs(layer: Gru) -> nn.GRU:
    """torch's own layer with the same weights: [3 units, features], a suffix for the way back."""
    features, units = layer.input.shape[1], layer.state.shape[1]
    other = nn.GRU(features, units, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for i, end in enumerate(("", "_reverse")):
            getattr(other, f"weight_ih_l0{end}").copy_(layer.input[i].T)
            getattr(other, f"weight_hh_l0{end}").copy_(layer.state[i].T)
            getattr(other, f"bias_ih_l0{end}").copy_(layer.input_bias[i, 0])
            getattr(other, f"bias_hh_l0{end}").copy_(layer.state_bias[i, 0])
    return other


def test_the_recurrent_layer_is_torchs() -> None:
    torch.manual_seed(1)
    layer = Gru(5, 3).double()
    x = documents(4, 7, 5)
    torch.testing.assert_close(layer(x), torchs(layer)(x)[0])
    nested = documents(2, 6, 7, 5)
    wanted = torch.stack([torchs(layer)(one)[0] for one in nested])
    torch.testing.assert_close(layer(nested), wanted)
    assert layer(nested).shape == (2, 6, 7, 6)


def test_its_first_step_on_paper() -> None:
    """From a state of 0: z n + 0, less the state's part: h = (1 - z) tanh(W x + b + r c)."""
    layer = Gru(1, 1).double()
    with torch.no_grad():
        layer.input[0] = torch.tensor([[0.3, -0.7, 1.1]])
        layer.input_bias[0] = torch.tensor([[0.1, 0.2, -0.4]])
        layer.state_bias[0] = torch.tensor([[0.5, -0.3, 0.6]])
    x = 2.0

    def sigmoid(a: float) -> float:
        return float(1 / (1 + np.exp(-a)))

    r, z = sigmoid(0.3 * x + 0.1 + 0.5), sigmoid(-0.7 * x + 0.2 - 0.3)
    wanted = (1 - z) * np.tanh(1.1 * x - 0.4 + r * 0.6)
    said = layer(torch.full((1, 1, 1), x, dtype=torch.float64))
    assert float(said[0, 0, 0].detach()) == pytest.approx(wanted, rel=1e-6)


def test_it_is_drawn_as_torchs_is() -> None:
    torch.manual_seed(0)
    for parameter in Gru(50, 25).parameters():
        assert 0.9 * 0.2 < float(parameter.detach().abs().max()) <= 0.2  # 1 / sqrt(25)


def test_attention_on_paper() -> None:
    """Weights softmax over the words of u . tanh(W h + b), and the words' mean by them."""
    layer = Attention(4, 0.25).double()
    h = documents(3, 2, 5, 4)
    inner, context = layer.inner, layer.context.weight[0]
    for i in range(3):
        for j in range(2):
            score = [context @ torch.tanh(inner.weight @ h[i, j, t] + inner.bias) for t in range(5)]
            e = torch.stack(score).exp()
            wanted = sum(e[t] / e.sum() * h[i, j, t] for t in range(5))
            torch.testing.assert_close(layer(h)[i, j], wanted)
    assert layer(h).shape == (3, 2, 4)


def test_the_whole_network_sentence_by_sentence() -> None:
    """As in the published code: every sentence by itself through the words' part, then the
    sentences.
    """
    net = han((3, 6, 5), 4, width=8)
    words, word_attention, sentences, sentence_attention = net.backbone
    x = documents(2, 3, 6, 5)
    each = [word_attention(torchs(words)(x[:, i])[0]) for i in range(3)]
    state, _ = torchs(sentences)(torch.stack(each, 1))
    features = sentence_attention(state)
    said = net(x)
    torch.testing.assert_close(said.features, features)
    torch.testing.assert_close(said.logits, F.linear(features, net.head.weight, net.head.bias))


def test_its_sizes_are_the_published_ones() -> None:
    """A bidirectional layer of 50 units on d numbers: 6 x 50 x (d + 50 + 2) weights; attention: 100
    x 100 + 100 and 100.
    """
    net = han()
    layers = 300 * (50 + 50 + 2) + 300 * (100 + 50 + 2)
    assert sum(p.numel() for p in net.parameters()) == layers + 2 * (10_100 + 100) + 1010
    assert net.features == 100 == net(documents(2, *SHAPE)).features.shape[1]
    spreads = [
        float(m.context.weight.detach().abs().max()) for m in (net.backbone[1], net.backbone[3])
    ]
    assert 0.22 < spreads[0] <= 0.25 and 0.09 < spreads[1] <= 0.1


# ---- words -------------------------------------------------------------------------------------

TABLE = np.vstack([np.zeros((1, 5)), np.random.default_rng(0).normal(size=(8, 5))]).astype("f")


def test_words_are_their_vectors() -> None:
    x = torch.tensor([[[3.0, 0.0], [8.0, 1.0]]])
    said = Vectors(torch.tensor(TABLE))(x)
    assert said.shape == (1, 2, 2, 5)
    assert (said[0, 0, 0].numpy() == TABLE[3]).all() and (said[0, 1, 0].numpy() == TABLE[8]).all()
    assert not said[0, 0, 1].any()


@pytest.mark.parametrize("architecture", [Han(width=8), Mlp(width=8)], ids=["han", "mlp"])
def test_a_network_of_words_has_them_in_front_and_saves_them(architecture: Any) -> None:
    build = builder(architecture, (3, 4), 2, (0.0,), (1.0,), TABLE)
    torch.manual_seed(0)
    net = build()
    x = torch.randint(0, 9, (6, 3, 4)).float()
    vectors = torch.tensor(TABLE[x.int().numpy()])
    torch.testing.assert_close(net(x).logits, net.head(net.backbone(vectors)))
    assert not any("table" in name for name, _ in net.named_parameters()), "it would be trained"
    empty = builder(architecture, (3, 4), 2, (0.0,), (1.0,), np.zeros_like(TABLE))
    back = restored(saved(Model(net, torch.float32)), Recipe(()), empty, "float32")
    torch.testing.assert_close(back(x), net(x).logits)


def test_larger_numbers_of_words_than_half_precision_holds_are_told_apart() -> None:
    table = torch.arange(400_001.0)[:, None]
    x = torch.tensor([[399_999.0, 400_000.0]])
    assert Vectors(table)(x).flatten().tolist() == [399_999.0, 400_000.0]
    net = builder(Mlp(width=8), (2,), 2, (0.0,), (1.0,), table.numpy())()
    seen: list[Tensor] = []
    net.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    net.rounded = True
    net(x)
    assert seen[0].flatten().tolist() == [399_999.0, 400_000.0]
