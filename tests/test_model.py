"""What a trained network says: the same however many records it is asked about, and from a file."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from raymia.point import catalog
from raymia.point.space import Part
from raymia.training.model import FEW, Model, predict, restored, saved
from raymia.training.modules import Normalise
from raymia.training.network import Network, classifier
from raymia.training.recipe import Recipe


def cnn() -> Network:
    torch.manual_seed(0)
    net: Network = catalog.made("networks", Part("cnn", {"width": 4})).build((1, 8, 8), 10)
    return net.eval()


def test_prediction_is_in_chunks_of_the_same_bits() -> None:
    model, x = Model(classifier(nn.Identity(), 6, 3), torch.float32), torch.rand(2500, 6)
    assert np.array_equal(predict(model, x)[:1024], predict(model, x[:1024]))


def test_bytes_and_fractions_are_the_same_picture() -> None:
    net = classifier(nn.Flatten(), 16, 3)
    net.normalise = Normalise((0.5,), (0.25,), (1, 4, 4))
    x = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    assert np.allclose(
        predict(Model(net, torch.float32), x),
        predict(Model(net, torch.float32), x / 255),
        atol=1e-6,
    )


def test_convolutions_say_of_few_what_they_say_of_all() -> None:
    """And so do the gradients of what was asked."""
    net = cnn().double()
    plain, model = copy.deepcopy(net), Model(net, torch.float64)
    n = 2 * FEW + 3
    x, label = torch.rand(n, 1, 8, 8, dtype=torch.float64), torch.arange(n) % 10
    found = []
    for said in (model, lambda z: plain(z).logits):
        at = x.clone().requires_grad_()
        logits = said(at)
        loss = F.cross_entropy(logits, label, reduction="sum")
        found.append((logits.detach(), *torch.autograd.grad(loss, at)))
    for few, whole in zip(*found, strict=True):
        assert few.shape == whole.shape and torch.allclose(few, whole, atol=1e-12)
    assert model(x[:0]).shape == (0, 10)


def test_convolutions_are_asked_about_few_at_once() -> None:
    """And weights lie in the order in which they take the least time, before and after a file."""
    sizes = list[int]()
    model = Model(cnn(), torch.float32)
    model.network.register_forward_hook(lambda net, given, said: sizes.append(len(given[0])))
    x = torch.rand(FEW + 1, 1, 8, 8)
    before = predict(model, x)
    assert sizes == [FEW, 1]
    again = restored(saved(model), Recipe(()), cnn, "float32")
    assert np.array_equal(predict(again, x), before)
    for net in (model.network, again.network):
        weights = [p for p in net.parameters() if p.ndim == 4]
        assert weights and all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
