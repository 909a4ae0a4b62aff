from math import exp, sqrt

import numpy as np
import pytest
import torch

from raymia.defenses.mmd import Mmd
from raymia.errors import RaymiaError
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.training.batches import Batches
from raymia.training.defense import Batch, Clock, Gap, Lesson, Reference
from raymia.training.fit import fit
from raymia.training.network import Outputs
from raymia.training.recipe import Recipe

# members say (1, 0), the reference (0, 1): squared distance 2, kernel exp(-2 / (2 sigma^2))
SURE = torch.tensor([[60.0, 0.0]]).double()
OTHER = torch.tensor([[0.0, 60.0]]).double()


def reference(labelled) -> Reference:  # type: ignore[no-untyped-def]
    return Reference(Outputs(OTHER, OTHER), labelled([0], 2))


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_the_pass_minimises_the_square(sigma, labelled, at):  # type: ignore[no-untyped-def]
    (further,) = Mmd(weight=3.0, sigma=sigma).passes(at(0))
    loss, _ = further.loss(Outputs(SURE, SURE), labelled([0], 2), reference(labelled), {}, at(0))
    assert float(loss) == pytest.approx(3 * (2 - 2 * exp(-1 / sigma**2)))
    assert (further.order, further.reference, further.evaluation, further.moves) == (
        "by_class",
        "by_class",
        True,
        "network",
    )


def test_the_gradient_flows_through_the_members_alone(labelled, at):  # type: ignore[no-untyped-def]
    (further,) = Mmd().passes(at(0))
    soft, other = (torch.tensor([z]).double().requires_grad_() for z in ([1.0, 0.0], [0.0, 1.0]))
    beside = Reference(Outputs(other, other), labelled([0], 2))
    loss, _ = further.loss(Outputs(soft, soft), labelled([0], 2), beside, {}, at(0))
    grads = torch.autograd.grad(loss, [soft, other], allow_unused=True)
    assert grads[0].abs().sum() > 0 and grads[1] is None


def test_as_the_paper_writes_it_the_norm_is_added_to_every_step(labelled, at):  # type: ignore[no-untyped-def]
    paper = Mmd(weight=2.0, form="paper")
    loss = paper.penalty(Outputs(SURE, SURE), reference(labelled), labelled([0], 2), {}, at(0))
    assert float(loss) == pytest.approx(2 * sqrt(2 - 2 * exp(-1)))
    assert (
        paper.passes(at(0)) == []
        and paper.traits().beside == "by_class"
        and Mmd().traits().beside is None
    )


def test_the_papers_form_compares_class_by_class(labelled, at):  # type: ignore[no-untyped-def]
    """The mean over the classes that both have; the whole batch has less, or nothing at all."""
    members = torch.tensor([[60.0, 0.0], [0.0, 60.0], [0.0, 60.0]]).double()
    batch = labelled([0, 1, 1], 2)
    outputs = Outputs(members, members)
    turned = Reference(Outputs(members.flip(0), members), labelled([1, 1, 0], 2))
    for form in ("class", "whole"):
        same = Mmd(form="paper", batches=form).penalty(outputs, turned, batch, {}, at(0))
        assert float(same) < 1e-5, "each class says the same on both sides"
    crossed = Reference(Outputs(members, members), labelled([1, 0, 0], 2))
    apart = Mmd(form="paper", weight=3.0).penalty(outputs, crossed, batch, {}, at(0))
    assert float(apart) == pytest.approx(3 * sqrt(2 - 2 * exp(-1)))
    whole = Mmd(form="paper", weight=3.0, batches="whole").penalty(
        outputs, crossed, batch, {}, at(0)
    )
    assert float(whole) < 1e-5
    lone = Reference(Outputs(OTHER, OTHER), labelled([0], 2))
    one = Mmd(form="paper").penalty(outputs, lone, batch, {}, at(0))
    assert float(one) == pytest.approx(sqrt(2 - 2 * exp(-1))), "class 1 has no reference: left out"


@pytest.mark.parametrize("form", ["class", "whole"])
def test_the_papers_form_is_a_number_where_both_agree(form, at, labelled):  # type: ignore[no-untyped-def]
    """In float32 a square of 0 comes out as -6e-8 as well as 6e-8."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(200):
        logits = torch.randn(48, 10, generator=draw).requires_grad_()
        batch = labelled([i % 2 for i in range(48)], 10)
        order = torch.randperm(48, generator=draw)
        beside = Reference(
            Outputs(logits.detach()[order], logits.detach()[order]),
            Batch(batch.x[order], batch.target[order], batch.label[order]),
        )
        loss = Mmd(form="paper", batches=form).penalty(
            Outputs(logits, logits), beside, batch, {}, at(0)
        )
        (grad,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite() and grad.isfinite().all()


def test_where_the_pass_is_skipped(at):  # type: ignore[no-untyped-def]
    assert (
        Mmd().passes(Clock(9, 10, 0)) == [] and Mmd(skip_last=False).passes(Clock(9, 10, 0)) != []
    )
    assert Mmd(weight=1e-6).passes(at(0)) == []
    (further,) = Mmd().passes(at(0))
    gap = Gap(np.array([0.50, 0.50, 0.50]), np.array([0.48, 0.46, 0.54]))
    assert further.gate(gap).tolist() == [False, True, True]  # three points, either way


@pytest.mark.parametrize(("mode", "forwards"), [("eval", 1), ("train", 3)])
def test_batchnorm_learns_in_the_pass_only_if_asked(mode, forwards, lesson):  # type: ignore[no-untyped-def]
    """In the pass members and reference go through the network once each."""
    net = make("networks", "resnet18", {"width": 4})
    training = Training(epochs=2, batch_size=10, precision="float64")
    part = Mmd(gate=0.0, skip_last=False, bn_mode=mode)
    (model,) = fit(Recipe((part,)), lambda: net.build((1, 8, 8), 3), lesson(), training, (0,), [0])
    seen = {
        int(m.num_batches_tracked)
        for m in model.network.modules()
        if isinstance(m, torch.nn.BatchNorm2d)
    }
    assert seen == {2 * 2 * forwards}  # epochs, steps


def test_one_class_compares_the_halves_beside_the_batch(labelled, at):  # type: ignore[no-untyped-def]
    """Members (1, 0), (1, 0), (0, 1) and reference (0, 1), (0, 1) of class 1: with k = exp(-1)
    between unlike ones, means 5/9 + 4/9 k, 1, and 1/3 + 2/3 k across.
    """
    part = Mmd(form="paper", weight=3.0, batches="one_class")
    assert part.traits().beside == "one_class" and Mmd(batches="one_class").traits().beside is None
    said = torch.cat([SURE, SURE, OTHER, OTHER, OTHER]).requires_grad_()
    beside = Reference(Outputs(said, said), labelled([1] * 5, 2))
    batch = torch.randn(5, 2).double().requires_grad_()
    loss = part.penalty(Outputs(batch, batch), beside, labelled([0, 1, 0, 0, 1], 2), {}, at(0))
    k = exp(-1)
    assert loss.item() == pytest.approx(3 * sqrt(5 / 9 + 4 / 9 * k + 1 - 2 * (1 / 3 + 2 / 3 * k)))
    soft = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    loss = part.penalty(
        Outputs(batch, batch), Reference(Outputs(soft, soft), beside.batch), beside.batch, {}, at(0)
    )
    grads = torch.autograd.grad(loss, [soft, batch], allow_unused=True)
    assert (grads[0][:3] != 0).all() and not grads[0][3:].any() and grads[1] is None


def test_beside_a_batch_stand_members_and_reference_of_the_class_of_its_first_record() -> None:
    x = torch.arange(40.0)[:, None]
    lesson = Lesson(x, torch.arange(40) % 4, (np.arange(24),), (np.arange(24, 40),), 4)
    batches = Batches(lesson, torch.float64, [], [np.random.default_rng(0)])
    seen: set[tuple[int, ...]] = set()
    for turn in range(200):
        drawn = batches.reference(np.array([[turn % 4, 0, 1, 2, 3]]), "one_class")
        assert drawn.label.tolist() == [[turn % 4] * 5]
        row = drawn.x[0, :, 0].int().tolist()
        assert max(row[:3]) < 24 <= min(row[3:])
        seen |= {(r,) for r in row}
    assert len(seen) == 40, "every member and every reference record has its turn"
    with pytest.raises(RaymiaError, match="batches of 2 records or more"):
        batches.reference(np.array([[0]]), "one_class")


def test_of_one_class_it_trains_beside_dropout_whose_masks_are_as_long_as_the_batch(lesson):  # type: ignore[no-untyped-def]
    net, training = make("networks", "mlp", {"width": 8}), Training(epochs=2, batch_size=7)
    parts = (make("defenses", "dropout", {}), Mmd(form="paper", batches="one_class"))
    (model,) = fit(Recipe(parts), lambda: net.build((1, 8, 8), 3), lesson(), training, (0,), [0])
    assert 0 < model.acted["mmd.norm"] < sqrt(2)
