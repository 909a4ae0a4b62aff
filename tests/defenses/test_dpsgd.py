"""DP-SGD, and four ways to get it wrong: each check catches one of them."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from raymia.defenses.dpsgd import Dpsgd
from raymia.errors import SweepError
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.training import modules
from raymia.training.defense import Defense, Private
from raymia.training.fit import fit
from raymia.training.model import predict
from raymia.training.network import Network, classifier
from raymia.training.privacy import epsilon, steps
from raymia.training.recipe import Recipe, recipe

TRAINING = Training(
    epochs=2, batch_size=6, lr=0.1, momentum=0.0, weight_decay=0.0, precision="float64"
)


def build() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (
            classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()), 8, 3)
            .double()
            .train()
        )


def private(defense: Dpsgd, net: Network, members: int = 20) -> Private:
    return defense.privatise(
        net, list(net.parameters()), members, TRAINING, np.random.default_rng(0)
    )


def losses(net: Network, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: nn.functional.cross_entropy(
        net(x).logits, torch.arange(len(x)) % 3, reduction="none"
    )


# ---- the checks: a class goes in, what is wrong comes out


def clips(cls: type[Dpsgd]) -> bool:
    """At sigma 0 the gradient is the sum of clipped single gradients over the expected batch,
    to 1e-9.
    """
    x = torch.randn((7, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net, bound = build(), 0.5
    expected = [torch.zeros_like(p) for p in net.parameters()]
    for one in losses(net, x)():
        grads = torch.autograd.grad(one, list(net.parameters()), retain_graph=True)
        norm = torch.sqrt(sum((g.square().sum() for g in grads), torch.zeros(())))
        assert norm > bound  # or nothing is clipped
        for total, grad in zip(expected, grads, strict=True):
            total += grad * min(1.0, bound / float(norm)) / TRAINING.batch_size
    run = private(cls(sigma=0.0, max_grad_norm=bound), net)
    found = run.gradients(losses(net, x), len(x))
    return all(
        torch.allclose(f, e, atol=1e-9, rtol=0) for f, e in zip(found, expected, strict=True)
    )


def noise(cls: type[Dpsgd]) -> bool:
    """Over 1,000 draws the noise on the mean has the standard deviation sigma max_grad_norm /
    B, to 3%, and is fresh.
    """
    run = private(cls(sigma=2.0, max_grad_norm=1.5), build())
    drawn = torch.stack([run.gradients(lambda: torch.zeros(0), 0)[1].clone() for _ in range(1000)])
    sd = float(drawn.std(0).mean())
    return (
        abs(sd / (2.0 * 1.5 / TRAINING.batch_size) - 1) < 0.03 and abs(float(drawn.mean())) < 0.02
    )


def poisson(cls: type[Dpsgd]) -> bool:
    """Every record is in a batch independently with probability q: 10,000 draws, single and
    pairwise counts, and the size.
    """
    run, rng, n, q = private(cls(), build()), np.random.default_rng(3), 20, 0.3
    drawn = np.stack([run.sample(n, rng) for _ in range(10_000)]).astype(float)
    together = (drawn.T @ drawn / len(drawn))[~np.eye(n, dtype=bool)]
    single = abs(drawn.mean(0) - q).max() < 5 * np.sqrt(q * (1 - q) / 1e4)
    pairs = abs(together - q**2).max() < 5 * np.sqrt(q**2 * (1 - q**2) / 1e4)
    return bool(single and pairs and abs(drawn.sum(1).var() / (n * q * (1 - q)) - 1) < 0.1)


CHECKS = (clips, noise, poisson)


class NoiseOverBatch(Dpsgd):
    def privatise(self, *args):  # type: ignore[no-untyped-def]
        return replace(self, sigma=self.sigma / TRAINING.batch_size)._own(*args)

    def _own(self, *args):  # type: ignore[no-untyped-def]
        return Dpsgd.privatise(self, *args)


class NoClipping(Dpsgd):
    def privatise(self, *args):  # type: ignore[no-untyped-def]
        wide = Dpsgd(self.sigma * self.max_grad_norm / 1e6, 1e6)  # the same noise
        return wide.privatise(*args)


class FixedNoise(Dpsgd):
    def privatise(self, network, parameters, members, training, rng):  # type: ignore[no-untyped-def]
        def gradients(losses, size):  # type: ignore[no-untyped-def]
            run = Dpsgd.privatise(
                self, network, parameters, members, training, np.random.default_rng(7)
            )
            try:
                return run.gradients(losses, size)
            finally:
                run.close()

        return Private(
            Dpsgd.privatise(
                self, build(), list(build().parameters()), members, training, rng
            ).sample,
            gradients,
            int,
        )


class PlainShuffling(Dpsgd):
    def privatise(self, *args):  # type: ignore[no-untyped-def]
        return (
            super()
            .privatise(*args)
            ._replace(sample=lambda n, rng: rng.permutation(n) < TRAINING.batch_size)
        )


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_dpsgd_is_right(check: Callable[[type[Dpsgd]], bool]) -> None:
    assert check(Dpsgd)


@pytest.mark.parametrize(
    ("mutant", "caught"),
    [(NoiseOverBatch, noise), (NoClipping, clips), (FixedNoise, noise), (PlainShuffling, poisson)],
)
def test_every_planted_fault_is_caught(
    mutant: type[Dpsgd], caught: Callable[[type[Dpsgd]], bool]
) -> None:
    assert [check for check in CHECKS if not check(mutant)] == [caught]


# ---- what is spent


def test_epsilon_equals_the_golden_values() -> None:
    assert epsilon(1.5, 0.04, 2250, 1e-5, "rdp") == pytest.approx(7.3291, abs=1e-3)
    assert epsilon(1.5, 0.04, 2249, 1e-5, "pld") == pytest.approx(6.777395712, abs=2e-2)


@pytest.mark.parametrize(
    ("sigma", "rate", "steps", "spent"),
    [
        (1.0, 0.25, 240, 31.21),
        (0.5, 0.05, 800, 52.01),
        (0.1, 0.1, 100, 1200.6),
        (1.0, 0.01, 1000, 1.828),
    ],
)
def test_epsilon_by_the_losses_distribution_at_any_noise(
    sigma: float, rate: float, steps: int, spent: float
) -> None:
    """Reference values of dp_accounting at a finer grid."""
    assert epsilon(sigma, rate, steps, 1e-5, "pld") == pytest.approx(spent, rel=1e-3)


def test_epsilon_bounds_the_exact_one_of_a_gaussian() -> None:
    """One step on all records: delta = Phi(1/2s - es) - e^e Phi(-1/2s - es), solved for e."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    for sigma in (0.3, 1.0, 4.0):

        def excess(e: float, s: float = sigma) -> float:
            return float(
                norm.cdf(1 / (2 * s) - e * s) - np.exp(e) * norm.cdf(-1 / (2 * s) - e * s) - 1e-5
            )

        exact = brentq(excess, 1e-6, 100)
        found = epsilon(sigma, 1.0, 1, 1e-5, "pld")
        assert found is not None and exact <= found <= exact * 1.001 + 1e-3


def test_accountants_are_ordered_and_gdp_is_refused() -> None:
    exact, pld, rdp = 4.377178, epsilon(1.0, 1.0, 1, 1e-5, "pld"), epsilon(1.0, 1.0, 1, 1e-5, "rdp")
    assert pld is not None and rdp is not None and exact <= pld <= rdp
    assert (pld, rdp) == (pytest.approx(4.37718, abs=1e-3), pytest.approx(4.72851, abs=1e-4))
    with pytest.raises(ValueError, match="gdp bounds nothing"):
        epsilon(1.0, 1.0, 1, 1e-5, "gdp")
    with pytest.raises(SweepError, match="dpsgd.accountant: got 'gdp'"):
        make("defenses", "dpsgd", {"accountant": "gdp"})


def test_the_row_holds_the_rate_of_the_sampler_and_as_many_steps_as_are_taken(lesson) -> None:  # type: ignore[no-untyped-def]
    sizes: list[int] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            sizes.append(batch.x.shape[1])
            return batch

    arm = Recipe((Dpsgd(accountant="rdp"), Spy()))
    training = replace(TRAINING, epochs=100)
    fit(arm, build, lesson(), training, (0,), [0])
    facts = arm.facts(20, training)
    assert facts["sample_rate"] == 6 / 20 and facts["delta"] == 1e-5
    assert len(sizes) == steps(20, training) == 400
    assert facts["epsilon"] == epsilon(1.0, 0.3, 400, 1e-5, "rdp")
    assert abs(np.mean(sizes) - 6) < 5 * np.sqrt(20 * 0.3 * 0.7 / 400)


@pytest.mark.parametrize("part", ["mixup", "distillation", "selena", "dmp", "memguard"])
def test_epsilon_is_empty_where_it_does_not_hold_and_the_row_says_why(part: str) -> None:
    arm = recipe([Part("dpsgd", {"accountant": "rdp"}), Part(part, {})])
    assert arm.facts(20, TRAINING)["epsilon"] is None and part in arm.traits().voids_epsilon


def test_hiding_outputs_spends_nothing() -> None:
    arm = recipe(
        [
            Part("dpsgd", {"accountant": "rdp"}),
            Part("top_k", {}),
            Part("rounding", {}),
            Part("temperature", {}),
        ]
    )
    assert arm.facts(20, TRAINING)["epsilon"] is not None and not arm.traits().voids_epsilon


# ---- the training


def test_an_empty_batch_adds_noise_and_the_next_one_works() -> None:
    net = build()
    run = private(Dpsgd(sigma=1.0), net)
    x = torch.rand((5, 1, 8, 8), dtype=torch.float64)
    for size in (0, 5, 0, 5):
        grads = run.gradients(losses(net, x[:size]), size)
        assert len(grads) == 4 and all(g.isfinite().all() and g.abs().sum() > 0 for g in grads)


def test_a_training_with_mostly_empty_batches_steps(lesson) -> None:  # type: ignore[no-untyped-def]
    training = replace(TRAINING, batch_size=1, epochs=1)
    (model,) = fit(Recipe((Dpsgd(),)), build, lesson(), training, (0,), [0])
    assert not torch.equal(next(model.network.parameters()), next(build().parameters()))  # type: ignore[attr-defined]


def test_one_record_moves_the_summed_gradient_by_its_clip_at_most() -> None:
    net = build()
    run = private(Dpsgd(sigma=0.0, max_grad_norm=0.3), net)
    x = 50 * torch.rand(
        (6, 1, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    every, fewer = ([g.clone() for g in run.gradients(losses(net, x[:n]), n)] for n in (6, 5))
    apart = sum((a - b).square().sum() for a, b in zip(every, fewer, strict=True))
    assert float(apart) ** 0.5 * TRAINING.batch_size <= 0.3 + 1e-9


def test_without_noise_and_clipping_it_is_the_mean_over_the_expected_batch() -> None:
    net = build()
    x = torch.randn((7, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean = torch.autograd.grad(losses(net, x)().sum() / TRAINING.batch_size, list(net.parameters()))
    found = private(Dpsgd(sigma=0.0, max_grad_norm=1e6), net).gradients(losses(net, x), 7)
    assert all(torch.allclose(f, m, atol=1e-9, rtol=1e-6) for f, m in zip(found, mean, strict=True))


BESIDE = {
    "mixup": {},
    "label_smoothing": {},
    "gaussian_noise": {},
    "random_crop": {"c": 1},
    "confidence_penalty": {},
}
BESIDE |= {"dropout": {}, "srcm": {}, "distillation": {"form": "squared"}, "dmp": {}}


@pytest.mark.parametrize("name", BESIDE)
def test_an_empty_batch_passes_through_every_other_part(name: str, lesson) -> None:  # type: ignore[no-untyped-def]
    sizes: list[int] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            assert len(batch.x[0]) == len(batch.target[0]) == len(batch.label[0])
            sizes.append(batch.x.shape[1])
            return batch

    arm = Recipe((*recipe([Part(name, BESIDE[name])]).parts, Dpsgd(), Spy()))
    (model,) = fit(arm, build, lesson(), replace(TRAINING, batch_size=1, epochs=1), (0,), [0])
    assert 0 in sizes and any(sizes) and np.isfinite(predict(model, lesson().x)).all()


@pytest.mark.parametrize("channels", [*range(1, 9), 12, 16, 20, 32, 48, 64, 96, 512])
def test_a_group_has_two_channels_wherever_there_are_two(channels: int) -> None:
    for kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        made = modules.group_norm(kind(channels))
        assert isinstance(made, nn.GroupNorm) and made.num_channels == channels
        assert channels == 1 or channels // made.num_groups >= 2
        assert channels % 64 or made.num_groups == 32


def test_as_many_groups_as_asked_or_as_channels() -> None:
    """y = (x - mean) / sd over the pixels of each channel, where each is a group of its own."""
    for channels, groups, made in ((64, 16, 16), (64, 1, 1), (24, 16, 8), (6, 0, 6), (1, 0, 1)):
        norm = modules.group_norm(nn.BatchNorm2d(channels), groups)
        assert isinstance(norm, nn.GroupNorm) and norm.num_groups == made
    plain = classifier(nn.Sequential(nn.BatchNorm2d(6), nn.Flatten()), 24, 3)
    net = Dpsgd(groups=0).network(plain).double()
    x = torch.rand((2, 6, 2, 2), generator=torch.Generator().manual_seed(0)).double()
    apart = x - x.mean((2, 3), keepdim=True)
    expected = apart / (apart.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(net(x).features, expected.flatten(1), atol=1e-12, rtol=0)
    with pytest.raises(SweepError, match="groups: got -1"):
        make("defenses", "dpsgd", {"groups": -1})


def test_uniform_batches_are_a_shuffled_order_cut_up_and_claim_no_epsilon(lesson) -> None:  # type: ignore[no-untyped-def]
    """20 members in batches of 6: 6, 6, 6 and 2, each record once an epoch, in fresh orders;
    the divisor is 6 for all.
    """
    seen: list[tuple[int, ...]] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            rows = (batch.x[0, :, None] == lesson().x[None]).flatten(2).all(-1)
            seen.append(tuple(rows.int().argmax(1).tolist()))
            return batch

    arm = Recipe((Dpsgd(sampling="uniform"), Spy()))
    fit(arm, build, lesson(), replace(TRAINING, epochs=50), (0,), [0])
    assert [len(batch) for batch in seen] == [6, 6, 6, 2] * 50
    epochs = [sum(seen[i : i + 4], ()) for i in range(0, 200, 4)]
    assert all(sorted(epoch) == sorted(lesson().members[0]) for epoch in epochs)
    assert len(set(seen[::4])) > 45 and {m for batch in seen[::4] for m in batch} == set(epochs[0])
    facts = arm.facts(20, TRAINING)
    assert facts == {"epsilon": None, "delta": 1e-5, "sample_rate": None}
    assert "Poisson" in arm.traits().voids_epsilon and not Dpsgd().traits().voids_epsilon
    net, x = build(), torch.rand((2, 1, 8, 8), dtype=torch.float64)
    mean = torch.autograd.grad(losses(net, x)().sum() / TRAINING.batch_size, list(net.parameters()))
    part = Dpsgd(sigma=0.0, max_grad_norm=1e4, sampling="uniform")
    found = private(part, net).gradients(losses(net, x), 2)
    assert all(torch.allclose(f, m, atol=1e-9, rtol=1e-6) for f, m in zip(found, mean, strict=True))


def test_a_narrow_network_tells_records_apart(lesson) -> None:  # type: ignore[no-untyped-def]
    """At one pixel, groups of one channel would be normalised to a constant, and refuse a batch
    of one record.
    """
    net = make("networks", "resnet18", {"width": 4})
    arm, schedule = (
        Recipe((Dpsgd(accountant="rdp", sigma=0.1),)),
        replace(TRAINING, batch_size=2, epochs=1),
    )
    (model,) = fit(arm, lambda: net.build((1, 8, 8), 3), lesson(), schedule, (0,), [0])
    logits = predict(model, lesson().x)
    assert (
        logits.std(0).min() > 1e-3 * abs(logits).max()
        and len(np.unique(logits.round(4), axis=0)) > 20
    )


def test_no_batchnorm_is_left() -> None:
    net = Dpsgd().network(make("networks", "resnet18", {"width": 8}).build((1, 8, 8), 3))
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())
    assert {m.num_groups for m in net.modules() if isinstance(m, nn.GroupNorm)} == {4, 8, 16, 32}


@pytest.mark.parametrize("other", ["relaxloss", "crl", "mmd", "advreg"])
def test_what_couples_a_batch_is_refused_by_name(other: str) -> None:
    with pytest.raises(
        SweepError, match=f"{other} couples the records of a batch, which dpsgd cannot clip"
    ):
        recipe([Part(other, {}), Part("dpsgd", {})])


def test_srcms_own_layers_are_clipped_too() -> None:
    """LinearNorm's single gradients come another way than those of linear layers, to the same
    numbers.
    """
    arm = recipe([Part("srcm", {"r1": 3.0}), Part("dpsgd", {"sigma": 0.0, "max_grad_norm": 0.1})])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = arm.network(build()).double().train()
    x = torch.rand((4, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [torch.zeros_like(p) for p in net.parameters()]
    for one in losses(net, x)():
        grads = torch.autograd.grad(one, list(net.parameters()), retain_graph=True)
        norm = float(torch.cat([g.flatten() for g in grads]).norm())
        for total, grad in zip(expected, grads, strict=True):
            total += grad * min(1.0, 0.1 / norm) / TRAINING.batch_size
    found = private(arm, net).gradients(losses(net, x), 4)
    assert all(
        torch.allclose(f, e, atol=1e-9, rtol=0) for f, e in zip(found, expected, strict=True)
    )


def test_unbounded_noise_leaves_chance(lesson) -> None:  # type: ignore[no-untyped-def]
    """S9: at sigma 1,000 accuracy is that of guessing, and outputs say nothing of membership."""
    from raymia.verdict.metrics import auc

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        many = lesson(12)
        models = fit(
            Recipe((Dpsgd(sigma=1000.0),)),
            build,
            many,
            replace(TRAINING, epochs=2),
            (0,),
            list(range(12)),
        )
    right, aucs = [], []
    for model, members in zip(models, many.members, strict=True):
        z = predict(model, many.x[:32])
        y, inside = many.y[:32].numpy(), np.isin(np.arange(32), members)
        right.append((z.argmax(1) == y).mean())
        aucs.append(auc(z[np.arange(32), y].astype(float), inside))
    assert np.mean(right) < 1 / 3 + 3 * np.sqrt(2 / 9 / (12 * 32))
    assert abs(np.mean(aucs) - 0.5) < 3 * np.std(aucs) / np.sqrt(12) + 0.05
