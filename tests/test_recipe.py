"""A recipe is a defense: of one part it equals the part, and nesting changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.streams import Stream, stream
from raymia.training.clashes import CLASHES
from raymia.training.defense import Batch, Clock, Defense, Owned, Reference, Traits
from raymia.training.network import Outputs, classifier
from raymia.training.recipe import Recipe, check

CLOCK, TRAINING = Clock(1, 4, 7), Training(epochs=4)
NAMES = [name for name in catalog.names("defenses") if name != "stacking"]
PART = {
    name: catalog.made("defenses", Part(name, {"steps": 20} if name == "memguard" else {}))
    for name in NAMES
}


def batch(models: int = 2) -> Batch:
    draw = np.random.default_rng(0)
    label = torch.as_tensor(draw.integers(0, 3, (models, 6)))
    x = torch.as_tensor(draw.random((models, 6, 1, 8, 8)))
    return Batch(x, torch.eye(3, dtype=torch.float64)[label], label)


def one(of: Batch) -> tuple[Outputs, Batch]:
    draw = np.random.default_rng(1)
    outputs = Outputs(
        torch.as_tensor(draw.normal(size=(6, 3))), torch.as_tensor(draw.normal(size=(6, 4)))
    )
    return outputs, Batch(*(t[0] for t in of))


def streams() -> list[Stream]:
    return [Stream(("test",), model) for model in range(2)]


def seams(part: Defense) -> dict[str, Any]:
    """What a part makes of fixed inputs at every seam that it owns, and its traits."""
    made = batch()
    outputs, own = one(made)
    network = classifier(torch.nn.Flatten(), 4, 3)
    extra = part.extra(network, Stream(("extra",), 0))
    reference = Reference(outputs._replace(logits=outputs.logits.flip(0)), own)
    found: dict[str, Any] = {
        "traits": part.traits(),
        "training": part.training(TRAINING),
        "batch": part.batch(made, streams(), CLOCK),
        "losses": part.losses(outputs, reference, own, extra, CLOCK),
        "penalty": part.penalty(outputs, reference, own, extra, CLOCK),
        "extra": extra,
        "extra_training": part.extra_training() if extra else None,
        "passes": [
            (p.moves, p.order, p.owner, *_lost(p.loss(outputs, own, reference, extra, CLOCK)))
            for p in part.passes(CLOCK)
        ],
        "facts": part.facts(60, TRAINING),
        "owns": [
            part.owns(seam) for seam in ("batch", "teach", "privatise", "release", "criterion")
        ],
    }
    if part.owns("release"):
        logits = np.random.default_rng(2).normal(size=(40, 3))
        noise = np.random.default_rng(3).normal(size=(1000, 3))
        owned = Owned(
            logits, np.arange(10), np.arange(20, 32), stream("release"), lambda n: noise[:n]
        )
        p = np.exp(part.release(owned)(logits))
        found["release"] = p / p.sum(-1, keepdims=True)
    return found


def _lost(found: tuple[torch.Tensor, Mapping[str, torch.Tensor]]) -> tuple[Any, ...]:
    """A pass's loss, and what it did by names without that of the part."""
    loss, acted = found
    return loss, {name.rpartition(".")[2]: value for name, value in acted.items()}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return bool(np.allclose(a, b, rtol=0, atol=1e-12))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_of_one_part_equals_the_part(name: str) -> None:
    alone, wrapped = seams(PART[name]), seams(Recipe((PART[name],)))
    assert alone.keys() == wrapped.keys()
    assert [seam for seam in alone if not same(alone[seam], wrapped[seam])] == []


@pytest.mark.parametrize("second", ["mixup", "gaussian_noise", "crl", "temperature"])
@pytest.mark.parametrize(
    "first", ["label_smoothing", "confidence_penalty", "advreg", "random_crop", "rounding"]
)
def test_nesting_changes_nothing(first: str, second: str) -> None:
    parts = PART[first], PART[second], PART["early_stopping"]
    flat = Recipe(parts)
    for nested in (
        Recipe((Recipe(parts[:2]), parts[2])),
        Recipe((parts[0], Recipe(parts[1:]))),
        Recipe((flat,)),
    ):
        assert nested == flat
        found, expected = seams(nested), seams(flat)
        assert [seam for seam in expected if not same(found[seam], expected[seam])] == []


def test_every_part_changes_the_batch_from_its_own_stream() -> None:
    """Two parts that draw: each sees what it would see alone at its place, and neither the
    other's draws.
    """
    noise, mix = PART["gaussian_noise"], PART["mixup"]
    made = batch()
    both = Recipe((noise, mix)).batch(made, streams(), CLOCK)
    own = streams()
    by_hand = mix.batch(noise.batch(made, own, CLOCK), [s.part(1) for s in own], CLOCK)
    assert same(both, by_hand) and not torch.equal(both.x, made.x)
    other = [Stream(("test",), model, (1,)) for model in range(2)]
    assert same(by_hand, mix.batch(noise.batch(made, streams(), CLOCK), other, CLOCK))
    with pytest.raises(TypeError, match="need a streams.Stream"):
        Recipe((noise, mix)).batch(made, [np.random.default_rng(0)] * 2, CLOCK)


def test_extra_parameters_of_two_parts_stand_apart() -> None:
    recipe = Recipe((PART["confidence_penalty"], PART["crl"], PART["advreg"]))
    network = classifier(torch.nn.Flatten(), 4, 3)
    extra = recipe.extra(network, Stream(("extra",), 0))
    assert "1/centres" in extra and "2/h0.w" in extra and not any("/" not in name for name in extra)
    alone = PART["crl"].extra(network, Stream(("extra",), 0, (1,)))
    assert torch.equal(extra["1/centres"], alone["centres"])
    (inner,) = recipe.passes(CLOCK)
    assert (inner.owner, inner.moves) == ("2/", "extra")
    trained = recipe.extra_training()
    assert (trained["1/"].optimizer, trained["2/"].optimizer) == ("sgd", "adam")
    outputs, own = one(batch())
    terms = recipe.losses(outputs, None, own, extra, CLOCK)
    added = recipe.penalty(outputs, None, own, extra, CLOCK)
    assert (
        len(terms) == 4
        and added is not None
        and torch.allclose(added, terms[1] + terms[2] + terms[3])
    )


class Some(Defense):
    def traits(self) -> Traits:
        return Traits(True, {"images"}, "uniform", 0.25, "much", *[True] * 5, "some reason")


def test_a_recipe_folds_every_trait() -> None:
    plain, folded = Traits(), Recipe((Defense(), Some())).traits()
    assert folded == Some().traits() and folded.wants == {"images", "reference"}
    assert all(
        getattr(folded, field.name) != getattr(plain, field.name) for field in fields(Traits)
    )
    voids = [PART["mixup"], PART["memguard"]]
    assert Recipe((*voids,)).traits().voids_epsilon == "; ".join(
        v.traits().voids_epsilon for v in voids
    )


def test_sub_streams_of_sub_streams_are_their_own() -> None:
    def draws(*path: int) -> list[int]:
        one = Stream(("test",), 0)
        for i in path:
            one = one.part(i)
        return one.integers(0, 1 << 60, 3).tolist()

    assert draws() == draws(0) and draws(1) == draws(1, 0)
    told = [draws(), draws(1), draws(2), draws(1, 1), draws(1, 2), draws(2, 1)]
    assert len({tuple(one) for one in told}) == len(told)


@dataclass(frozen=True)
class Epochs(Defense):
    """Multiplies the epochs, then adds to them."""

    by: int = 1
    plus: int = 0

    def training(self, training: Training) -> Training:
        return replace(training, epochs=self.by * training.epochs + self.plus)


def test_schedules_change_in_the_written_order() -> None:
    times, plus = Epochs(by=3), Epochs(plus=2)
    assert Recipe((times, plus)).training(TRAINING).epochs == 3 * 4 + 2
    assert Recipe((plus, times)).training(TRAINING).epochs == 3 * (4 + 2)


@dataclass(frozen=True)
class Tagged(Defense):
    """Adds a tag to a network that is a text, and to logits; keeps the logits it is fitted on."""

    tag: int
    fitted: list[Any]

    def network(self, network: Any) -> Any:
        return f"{network}{self.tag}"

    def release(self, owned: Owned) -> Any:
        self.fitted.append(owned.logits)
        return lambda logits: logits * self.tag


def test_networks_change_in_the_written_order() -> None:
    assert Recipe((Tagged(1, []), Tagged(2, []))).network("x") == "x12"  # type: ignore[arg-type]


def test_a_release_is_fitted_on_what_the_parts_before_it_release() -> None:
    first, second = Tagged(3, []), Tagged(5, [])
    raw, none = np.array([[1.0, -1.0]]), np.zeros(0, np.int64)
    release = Recipe((first, second)).release(Owned(raw, none, none, Stream(("x",), 0)))
    assert first.fitted[0] is raw and (second.fitted[0] == 3 * raw).all()
    odds = release(raw)
    assert odds[0, 0] - odds[0, 1] == pytest.approx(2 * 3 * 5)


def test_a_share_of_the_members_stands_for_a_reference_and_for_nothing_else() -> None:
    own, images = Part("advreg", {"share": 0.3}), Part("spatial_dropout", {})
    steps = frozenset({"steps"})
    check([own], steps)
    with pytest.raises(SweepError, match="spatial_dropout needs"):
        check([own, images], steps)
    with pytest.raises(SweepError, match="mmd needs the defender's reference"):
        check([Part("mmd", {})], steps)
    with pytest.raises(SweepError, match="advreg needs a network that learns step by step"):
        check([own], frozenset())


def test_the_rate_of_members_is_unknown_where_others_are_learned() -> None:
    """Amplification holds of the records that are drawn, and a student draws others."""
    private = catalog.made("defenses", Part("dpsgd", {"accountant": "rdp"}))
    alone = Recipe((private,)).facts(100, TRAINING)
    taught = Recipe((private, PART["dmp"])).facts(100, TRAINING)
    assert alone["sample_rate"] is not None and alone["epsilon"] is not None
    assert taught["sample_rate"] is None


@pytest.mark.parametrize("i", range(len(CLASHES)))
def test_every_line_of_the_table_of_clashes_refuses_some_pair_naming_both(i: int) -> None:
    pairs = [
        ("dpsgd", PART["dpsgd"], "crl", PART["crl"]),
        ("stacking", catalog.made("defenses", Part("stacking", {})), "srcm", PART["srcm"]),
        ("dmp", PART["dmp"], "mmd", PART["mmd"]),
        ("dmp", replace(PART["dmp"], source="synthetic"), "advreg", PART["advreg"]),
        ("distillation", replace(PART["distillation"], form="squared"), "mixup", PART["mixup"]),
        ("mmd", replace(PART["mmd"], form="paper"), "some", Some()),
    ]
    a, one, b, other = pairs[i]
    assert CLASHES[i].has(one) and CLASHES[i].meets(one, other)
    for parts, names in (((one, other), (a, b)), ((other, one), (b, a))):
        with pytest.raises(SweepError, match=rf"(?s)(?=.*\b{a}\b)(?=.*\b{b}\b)"):
            Recipe(parts, names)
