from math import log

import numpy as np
import pytest
import torch
from torch import nn

from raymia.defenses.advreg import Advreg
from raymia.errors import SweepError
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.records.split import assemble
from raymia.training.defense import Batch, Clock, Lesson, Reference
from raymia.training.fit import fit
from raymia.training.group import Group
from raymia.training.inner_attack import suspicion
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

    z, y = column("z", (100, 1024, 512, 64)), column("y", (100, 512, 64))
    joined = torch.cat(
        [
            z(torch.tensor([[0.0, 1.0, 2.0]]).double()),
            y(torch.tensor([[-1.0, 1.0, -1.0]]).double()),
        ],
        -1,
    )
    expected = joined @ extra["h0.w"].T + extra["h0.b"]
    assert extra["h0.w"].shape == (1, 128)
    assert torch.allclose(suspicion(Z.logits, torch.tensor([1]), extra), expected[:, 0])


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


PUBLISHED = {
    # the outputs' branch, the label's, the joined layers, each with its inputs, and whether the
    # label's branch ends in a ReLU
    "relaxloss": ((3, 512, 64), (3, 64), (128, 64, 1), False),
    "selena": ((3, 1024, 512, 64), (3, 128, 64), (128, 512, 256, 128, 64, 1), True),
}


@pytest.mark.parametrize("inner", PUBLISHED)
@pytest.mark.parametrize("labels", ["signed", "one_hot"])
@pytest.mark.parametrize("inputs", ["sorted_logits", "logits", "posteriors"])
def test_the_inner_networks_of_relaxloss_and_selena(inner, labels, inputs):  # type: ignore[no-untyped-def]
    part = Advreg(inner=inner, labels=labels, inputs=inputs)
    extra = part.extra(classifier(nn.Identity(), 2, 3), np.random.default_rng(0))
    *widths, relu = PUBLISHED[inner]

    def through(v: np.ndarray, name: str, widths: tuple[int, ...], ends: bool) -> np.ndarray:
        for i, shape in enumerate(zip(widths[1:], widths, strict=False)):
            weight, bias = (extra[f"{name}{i}.{of}"].numpy() for of in "wb")
            assert weight.shape == shape
            v = weight @ v + bias
            v = np.maximum(v, 0) if ends or i < len(widths) - 2 else v
        assert f"{name}{len(widths) - 1}.w" not in extra
        return v

    e = np.exp([2.0, 0.0, 1.0])
    said = {"sorted_logits": [0.0, 1.0, 2.0], "logits": [2.0, 0.0, 1.0], "posteriors": e / e.sum()}
    hot = [-1.0, 1.0, -1.0] if labels == "signed" else [0.0, 1.0, 0.0]
    sides = (
        through(np.array(said[inputs]), "z", widths[0], True),
        through(np.array(hot), "y", widths[1], relu),
    )
    h = 1 / (1 + np.exp(-through(np.concatenate(sides), "h", widths[2], False)[0]))
    batch = Batch(torch.zeros(1, 1), torch.eye(3)[[1]].double(), torch.tensor([1]))
    found = part.penalty(Z, None, batch, extra, Clock(0, 10, 0))
    assert float(found) == pytest.approx(h - 0.5, abs=1e-12)


def test_a_normal_start_has_standard_deviation_001_and_no_biases() -> None:
    extra = Advreg(inner="selena", start="normal").extra(
        classifier(nn.Identity(), 2, 10), np.random.default_rng(0)
    )
    drawn = np.concatenate([w.numpy().ravel() for name, w in extra.items() if name[-1] == "w"])
    assert drawn.std() == pytest.approx(0.01, rel=0.01) and abs(drawn.mean()) < 1e-4
    assert np.mean(abs(drawn) < 0.01) == pytest.approx(0.6827, abs=0.01), "normal, not uniform"
    assert not any(w.any() for name, w in extra.items() if name[-1] == "b")


def test_the_mean_square_of_what_the_attack_gets_wrong(labelled, at):  # type: ignore[no-untyped-def]
    """h = 3/4 of both: ((1 - 3/4)^2 + (3/4)^2) / 2; and of h = 3/4 inside, 1/2 outside."""
    (further,) = Advreg(inner_loss="mse").passes(at(0))
    batch = labelled([0], 3)
    loss, _ = further.loss(Z, batch, Reference(Z, batch), weights(log(3)), at(0))
    assert float(loss) == pytest.approx((1 / 16 + 9 / 16) / 2)
    tells = weights(0.0)  # log(3) of logits that sum to 3, 0 of others
    for i in range(4):
        tells[f"z{i}.w"][0, 0] = 1.0
    tells["z0.w"][0, :], tells["h0.w"][0, 0] = 1.0, log(3) / 3
    zero = Outputs(torch.zeros(1, 3).double(), torch.zeros(1, 1))
    loss, acted = further.loss(Z, batch, Reference(zero, batch), tells, at(0))
    assert float(loss) == pytest.approx((1 / 16 + 1 / 4) / 2) and float(acted["gained"]) == 1


def turns(lesson: Lesson, epochs: int, **knobs: int) -> list[str]:
    """What is done in each epoch, in order: n a step of the network on the cross-entropy alone, N
    one against the attack, a a step of the attack.
    """
    done = [""] * epochs

    class Spy(Advreg):
        def penalty(self, outputs, reference, batch, extra, clock):  # type: ignore[no-untyped-def]
            assert outputs.logits.requires_grad and training(), "the network trains in its steps"
            found = super().penalty(outputs, reference, batch, extra, clock)
            done[clock.epoch] += "n" if found is None else "N"
            return found

        def _loss(self, outputs, batch, reference, extra, clock):  # type: ignore[no-untyped-def]
            assert not training(), "and stands still in the attack's"
            done[clock.epoch] += "a"
            return super()._loss(outputs, batch, reference, extra, clock)

    schedule = Training(epochs=epochs, batch_size=4, precision="float64")
    net = make("networks", "mlp", {"width": 4}).build((1, 8, 8), 3)
    group = Group(Recipe((Spy(**knobs),)), [net], lesson, schedule, (0,), [0])

    def training() -> bool:
        return bool(group.template.training)

    group.train()
    return done


def test_what_is_trained_when(lesson) -> None:  # type: ignore[no-untyped-def]
    """20 members in batches of 4: five steps an epoch, of either."""
    n, big, a = "n" * 5, "N" * 5, "a" * 5
    assert turns(lesson(), 2) == [big + a] * 2
    # after the warm-up an epoch of the attack goes before each of the network's
    assert turns(lesson(), 4, warm_up=2, warm_up_passes=3) == [
        n + 3 * a,
        n + 4 * a,
        big + a,
        big + a,
    ]
    within = turns(lesson(), 3, warm_up=1, warm_up_passes=2, inner_batches=3, outer_batches=2)
    assert within == [n + 2 * a, *["aaaNN" * 2 + "aaaN"] * 2]
    # SELENA's on CIFAR-100 warms the network up alone; and no more batches than there are
    assert turns(lesson(), 2, warm_up=1, warm_up_passes=0, inner_batches=9) == [n, "aaaaaN" * 5]


def test_batches_within_the_epoch_are_drawn_from_fresh_orders(lesson) -> None:  # type: ignore[no-untyped-def]
    seen: list[tuple[float, ...]] = []

    class Spy(Advreg):
        def _loss(self, outputs, batch, reference, extra, clock):  # type: ignore[no-untyped-def]
            seen.append(tuple(batch.x.sum((1, 2, 3)).tolist()))
            return super()._loss(outputs, batch, reference, extra, clock)

    schedule = Training(epochs=8, batch_size=4, precision="float64")
    net = make("networks", "mlp", {"width": 4}).build((1, 8, 8), 3)
    Group(Recipe((Spy(inner_batches=1),)), [net], lesson(), schedule, (0,), [0]).train()
    own = lesson().x[lesson().members[0]].sum((1, 2, 3)).tolist()
    assert len(seen) == 40 and len(set(seen)) > 35
    assert {round(x, 9) for batch in seen for x in batch} == {round(x, 9) for x in own}


@pytest.mark.parametrize(
    "knobs", [{"warm_up": -1}, {"inner_batches": -1}, {"outer_batches": 0}, {"inner_lr": -1.0}]
)
def test_a_schedule_that_cannot_be_is_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(SweepError, match=f"{next(iter(knobs))}: got"):
        make("defenses", "advreg", knobs)


def test_the_attack_has_a_learning_rate_of_its_own() -> None:
    how = Advreg(inner_lr=1e-4).extra_training()[""]
    assert (how.optimizer, how.lr, how.weight_decay) == ("adam", 1e-4, 0.0)


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
