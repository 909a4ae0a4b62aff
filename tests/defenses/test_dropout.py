import pytest
import torch
from torch import nn

from raymia.defenses.dropout import Dropout
from raymia.errors import SweepError
from raymia.point.catalog import make
from raymia.training.modules import Dropout as Layer
from raymia.training.network import Network


def build(network: str = "cnn") -> Network:
    net: Network = make("networks", network, {"width": 8}).build((1, 8, 8), 3)
    return net


def test_one_layer_before_the_head() -> None:
    net = Dropout(p=0.4).network(build("mlp"))
    assert [type(m) for m in net.head] == [Layer, nn.Linear] and net.head[0].p == 0.4
    assert not any(isinstance(m, Layer) for m in net.backbone.modules())


def test_one_layer_after_every_convolution() -> None:
    net = Dropout(p=0.4, where="convs").network(build())
    pairs = [
        m
        for m in net.backbone.modules()
        if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d)
    ]
    assert [[type(m) for m in pair] for pair in pairs[-2:]] == [[nn.Conv2d, Layer]] * 2
    assert sum(isinstance(m, Layer) for m in net.modules()) == 2 and isinstance(net.head, nn.Linear)


def test_what_is_kept_is_scaled_and_queries_are_clean() -> None:
    layer = Layer(0.5)
    layer.mask = torch.tensor([[0.0, 2.0]])
    assert layer.train()(torch.tensor([[3.0, 3.0]])).tolist() == [[0.0, 6.0]]
    assert layer.eval()(torch.tensor([[3.0, 3.0]])).tolist() == [[3.0, 3.0]]


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(SweepError, match="no convolution"):
        Dropout(where="convs").network(build("mlp"))
