"""Laws that every defense keeps, over whatever stands in `raymia/defenses/`: a file dropped in
there is tested here.
"""

import inspect
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part, Range
from raymia.study import sweep
from raymia.training import recipe as recipes
from raymia.training.defense import Defense, Lesson, Owned, Predictor, Traits
from raymia.training.fit import fit
from raymia.training.model import Model, predict
from raymia.training.network import Network
from raymia.training.recipe import Recipe

NAMES = catalog.names("defenses")
TRAINING = Training(epochs=2, batch_size=8, precision="float64")
# what makes an expensive defense cheap enough to be tested with every other; nothing else
# differs from the defaults
QUICK: dict[str, dict[str, Any]] = {
    "memguard": {"steps": 10, "iterations": 5},
    "selena": {"sub_models": 3, "left_out": 1},
    "stacking": {"trees": 3},
    "dpsgd": {"accountant": "rdp"},
}
FORMS: list[
    tuple[str, dict[str, Any]]
] = [  # forms that take another way through the code than the default
    ("relaxloss", {"variant": "official_cifar"}),
    ("srcm", {"design": "a"}),
    ("srcm", {"design": "c"}),
    ("mmd", {"form": "paper"}),
    ("dropout", {"where": "convs"}),
    ("distillation", {"form": "squared"}),
    ("dmp", {"source": "synthetic", "pictures": 12, "gan_epochs": 1, "gan_width": 2}),
    ("crl", {"tau_rce": 0.0, "tau_rcl": 0.0}),
]
EVERY = [(name, QUICK.get(name, {})) for name in NAMES] + FORMS
ids = [
    name + ("-" + "-".join(map(str, knobs.values())) if (name, knobs) in FORMS else "")
    for name, knobs in EVERY
]
every = pytest.mark.parametrize(("name", "knobs"), EVERY, ids=ids)


def arm(*parts: tuple[str, dict[str, Any]]) -> Recipe:
    return recipes.recipe([Part(name, knobs) for name, knobs in parts])


@cache
def lesson(models: tuple[int, ...] = (0, 1), share: float = 0.0) -> Lesson:
    """48 images of 3 classes; each model has 20 members (less what it gives up) and 8 or more
    reference records.
    """
    x = torch.rand((48, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = [np.random.default_rng(m).permutation(40)[:20] for m in models]
    kept = round((1 - share) * 20)
    reference = tuple(np.sort(m[kept:]) if share else np.arange(40, 48) for m in drawn)
    return Lesson(x, torch.arange(48) % 3, tuple(np.sort(m[:kept]) for m in drawn), reference, 3)


def build() -> Network:
    net: Network = catalog.make("networks", "cnn", {"width": 4}).build((1, 8, 8), 3)
    return net


def train(
    recipe: Recipe, models: tuple[int, ...] = (0, 1), training: Training = TRAINING
) -> list[Predictor]:
    return fit(recipe, build, lesson(models, recipe.traits().share), training, (0, 0), models)


def released(recipe: Recipe, model: Predictor) -> np.ndarray[Any, Any]:
    own = lesson((0,), recipe.traits().share)
    logits = predict(model, own.x)
    return recipe.release(
        Owned(logits, own.members[0], own.reference[0], np.random.default_rng(0))
    )(logits)


def said(models: Sequence[Predictor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([model(lesson().x) for model in models])


@every
def test_l1_trains_and_is_finite(name: str, knobs: dict[str, Any]) -> None:
    recipe = arm((name, knobs))
    models = train(recipe)
    assert np.isfinite(released(recipe, models[0])).all() and said(models).isfinite().all()
    assert not torch.equal(*said(models))


@every
def test_l2_a_model_of_an_ensemble_equals_the_same_model_alone(
    name: str, knobs: dict[str, Any]
) -> None:
    recipe = arm((name, knobs))
    together, alone = said(train(recipe)), said(train(recipe, (1,)))
    assert torch.allclose(together[1], alone[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_l3_a_neutral_knob_is_no_defense(name: str) -> None:
    cls: type[Defense] = catalog.find("defenses", name)
    said_so = (inspect.getdoc(cls) or "").split("Neutral:")[1].split("\n\n")[0]
    if cls.neutral is None:  # it says why, and which law takes the place of this one
        assert "none exists" in said_so and "law L3" in " ".join(said_so.split())
        return
    assert "none exists" not in said_so
    recipe = arm((name, {**QUICK.get(name, {}), **cls.neutral}))
    plain, (model,) = train(Recipe(), (0,)), train(recipe, (0,))
    assert isinstance(model, Model) and isinstance(plain[0], Model)
    for a, b in zip(plain[0].network.parameters(), model.network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-12, rtol=0)
    before, after = (
        np.asarray(np.exp(z - z.max(1, keepdims=True)))
        for z in (predict(plain[0], lesson().x), released(recipe, model))
    )
    assert before / before.sum(1, keepdims=True) == pytest.approx(
        after / after.sum(1, keepdims=True), abs=1e-6
    )


@pytest.mark.parametrize("pair", list(combinations(NAMES, 2)), ids="+".join)
def test_l4_any_two_compose_or_are_refused_naming_both(pair: tuple[str, str]) -> None:
    short = Training(epochs=1, batch_size=10, precision="float64")
    arms = []
    for names in (pair, pair[::-1]):  # the written order is free
        try:
            arms.append(arm(*((n, QUICK.get(n, {})) for n in names)))
        except SweepError as error:
            assert all(n in str(error) for n in pair), error
    assert len(arms) in (0, 2)
    for recipe in arms:
        models = train(recipe, (0,), short)
        assert np.isfinite(released(recipe, models[0])).all()


REFUSED = {
    # two owners of one seam
    *combinations(("crl", "dmp", "relaxloss"), 2),
    *combinations(("distillation", "dmp", "selena"), 2),
    # a batch that is coupled has no single gradients to clip
    *(("dpsgd", n) for n in ("mmd", "relaxloss")),
    *(("advreg", "dpsgd"), ("crl", "dpsgd")),
    # no records are left to hold out
    *(("advreg", "dmp"), ("dmp", "memguard"), ("dmp", "mmd")),
    # no network that training could change
    *(
        tuple(sorted(("stacking", n)))
        for n in set(NAMES)
        - {"stacking", "early_stopping", "weight_decay", "memguard"}
        - {"rounding", "temperature", "top_k"}
    ),
}


def test_l4_what_is_refused_is_this_and_no_more() -> None:
    def refused(pair: tuple[str, str]) -> bool:
        try:
            arm(*((n, QUICK.get(n, {})) for n in pair))
        except SweepError:
            return True
        return False

    assert {pair for pair in combinations(NAMES, 2) if refused(pair)} == REFUSED


def narrow() -> Network:
    net: Network = catalog.make("networks", "resnet18", {"width": 4}).build((1, 8, 8), 3)
    return net


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (("mmd", {"gate": 0.0}),),
        (("mmd", {"gate": 0.0, "bn_mode": "train"}),),
        (("dpsgd", {"accountant": "rdp"}),),
    ],
    ids=["none", "mmd", "mmd-train", "dpsgd"],
)
def test_l1_and_l2_hold_where_a_network_has_batchnorm(
    parts: tuple[tuple[str, dict[str, Any]], ...],
) -> None:
    recipe = arm(*parts)
    together = said(fit(recipe, narrow, lesson(), TRAINING, (0, 0), (0, 1)))
    alone = said(fit(recipe, narrow, lesson((1,)), TRAINING, (0, 0), (1,)))
    assert together.isfinite().all() and torch.allclose(together[1], alone[0], atol=1e-9, rtol=0)


class Likewise(Defense):
    def traits(self) -> Traits:
        return Traits(beside="by_class")


class Anyhow(Defense):
    def traits(self) -> Traits:
        return Traits(beside="uniform")


def test_two_ways_to_draw_a_reference_are_refused() -> None:
    assert Recipe((Defense(), Likewise(), Likewise())).traits().beside == "by_class"
    with pytest.raises(SweepError, match="anyhow wants uniform, likewise by_class"):
        Recipe((Likewise(), Anyhow()))


def test_a_recipe_in_a_recipe_is_its_parts() -> None:
    mixup, crop = arm(("mixup", {})), arm(("random_crop", {"c": 1}))
    nested = Recipe((Recipe((mixup,)), crop))
    assert (
        nested == Recipe((*mixup.parts, *crop.parts))
        and nested.names == ("mixup", "random_crop")
        and nested.owns("batch")
    )
    assert torch.equal(*(said(train(recipe, (0,)))[0] for recipe in (Recipe((mixup,)), mixup)))
    assert not torch.equal(
        *(said(train(recipe, (0,)))[0] for recipe in (Recipe((mixup,)), Recipe()))
    )
    with pytest.raises(SweepError, match="crl and relaxloss both replace the criterion"):
        Recipe((arm(("crl", {})), arm(("relaxloss", {}))))


KAYA = [
    "dropout",
    "spatial_dropout",
    "weight_decay",
    "gaussian_noise",
    "random_crop",
    "early_stopping",
    "label_smoothing",
]
PAPERS = [
    ("srcm", "relaxloss"),
    ("srcm", "confidence_penalty"),
    ("mmd", "mixup"),
    ("dpsgd", "mixup"),
    *(("distillation", other) for other in [*KAYA, "dpsgd"]),
    *(("random_crop", other) for other in [*KAYA, "dpsgd"] if other != "random_crop"),
]


@pytest.mark.parametrize("pair", PAPERS, ids="+".join)
def test_l2_holds_for_the_combinations_of_the_papers(pair: tuple[str, str]) -> None:
    recipe = arm(*((n, QUICK.get(n, {})) for n in pair))
    models = train(recipe)
    assert np.isfinite(released(recipe, models[0])).all()
    assert torch.allclose(said(models)[1], said(train(recipe, (1,)))[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_l5_file_to_object_to_file_is_the_identity(name: str) -> None:
    text = (
        "name: x\ndataset: {digits: {records: 100}}\nnetwork: cnn\nprotocol: {coin: {models: 4, "
        "targets: 2}}\nattacks: [loss]\n"
        f"defenses: [[{name}: {{%s}}]]\n"
    )
    knobs = catalog.knobs(catalog.find("defenses", name))
    written = {k: v.default for k, v in knobs.items()}
    spelled = ", ".join(
        f"{k}: {str(v).lower() if isinstance(v, bool) else 'null' if v is None else v}"
        for k, v in written.items()
    )
    first = sweep.parse(text % spelled)
    assert sweep.parse(sweep.dump(first.resolved())) == first
    (part,) = first.arms[0]
    made = catalog.make("defenses", name, part.knobs)
    assert {k: getattr(made, k) for k in knobs} == dict(part.knobs) == written
    free = sweep.parse(text % "")  # knobs that are left out take the declared range
    assert sweep.parse(sweep.dump(free.resolved())) == free
    assert {k for k, v in free.arms[0][0].knobs.items() if isinstance(v, Range)} == {
        k for k, v in knobs.items() if isinstance(v.domain, Range)
    }


@pytest.mark.parametrize("name", NAMES)
def test_l6_source_range_test_and_sweep(name: str) -> None:
    cls = catalog.find("defenses", name)
    described = catalog.describe("defenses", name)
    assert (
        described["source"]
        and described["summary"]
        and cls.cite.startswith("@")
        and cls.revision >= 1
    )
    hints = get_type_hints(cls, include_extras=True)
    for knob in catalog.knobs(cls).values():
        why = [e for e in get_args(hints[knob.name])[1:] if isinstance(e, str)]
        assert knob.domain or any(e.startswith("no range: ") for e in why), (
            f"{knob.name}: no range, and nothing says why"
        )
    ranges = [knob for knob in catalog.knobs(cls).values() if isinstance(knob.domain, Range)]
    assert ranges, "nothing to search"
    for knob in ranges:
        assert knob.default is None or knob.domain.low <= knob.default <= knob.domain.high, (
            f"{knob.name}: default out of range"
        )
        assert knob.domain.least is not None, (
            f"{knob.name}: the least value that is allowed is not said"
        )
    root = Path(__file__).parent
    assert (root / "defenses" / f"test_{name}.py").exists()
    sweeps = [sweep.load(path) for path in (root.parent / "sweeps").glob("*.yaml")]
    assert any(part.name == name for each in sweeps for parts in each.arms for part in parts), (
        "no sweep uses it"
    )


RELEASES = [n for n in NAMES if arm((n, QUICK.get(n, {}))).owns("release")]


@pytest.mark.parametrize("name", RELEASES)
def test_what_is_released_keeps_the_label(name: str) -> None:
    """So attacks that see labels alone are left as they are."""
    logits = np.random.default_rng(0).standard_normal((48, 3)).astype(np.float32) * np.linspace(
        0.01, 60, 48
    )[:, None].astype(np.float32)
    own = Owned(logits, np.arange(20), np.arange(20, 40), np.random.default_rng(0))
    assert (
        arm((name, QUICK.get(name, {}))).release(own)(logits).astype(np.float32).argmax(1)
        == logits.argmax(1)
    ).all()


SWEEP = """name: x
dataset: {table: {path: none.csv, label: y}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: %s}}
attacks: [loss]
defenses: [[%s]]
"""


@pytest.mark.parametrize(
    ("part", "reserve", "why"),
    [
        ("random_crop", 0.2, "random_crop needs records that are images"),
        ("spatial_dropout", 0.2, "spatial_dropout needs a network with convolutions"),
        ("dropout: {where: convs}", 0.2, "dropout needs a network with convolutions"),
        ("dmp: {source: synthetic}", 0.2, "dmp needs records that are images"),
        ("mmd", 0, "mmd needs the defender's reference; a protocol with reserve > 0 is allowed"),
        ("memguard", 0, "memguard needs the defender's reference"),
        ("advreg: {share: 0}", 0, "advreg needs the defender's reference"),
        (
            "dmp: {source: synthetic}, mmd: {}",
            0.2,
            "mmd compares members with a reference, dmp trains on made-up records",
        ),
        (
            "advreg: {}, dmp: {source: synthetic}",
            0.2,
            "advreg compares members with a reference, dmp trains on made-up",
        ),
        (
            "distillation: {form: squared}, mixup: {}",
            0.2,
            "mixup changes a batch's targets, distillation reads its labels",
        ),
        (
            "label_smoothing, distillation: {form: squared}",
            0.2,
            "label_smoothing changes a batch's targets, distillation reads",
        ),
        ("dpsgd, mmd", 0.2, "mmd couples the records of a batch, which dpsgd cannot clip"),
    ],
)
def test_what_cannot_work_is_refused_when_the_file_loads(
    part: str, reserve: float, why: str
) -> None:
    with pytest.raises(SweepError, match=why):
        sweep.parse(SWEEP % (reserve, part))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("memguard: {steps: 0}", "steps=0, .*steps of at least 1"),
        ("memguard: {iterations: -1}", "iterations=-1, .*iterations of at least 0"),
        ("memguard: {lr: 0}", r"lr=0.0\); .*lr more than 0"),
        ("mmd: {sigma: 0}", "got sigma 0.0, gate 0.03; sigma more than 0"),
        ("mmd: {gate: -0.1}", "gate -0.1; .*gate 0 or more"),
        ("crl: {upper_rce: 0}", "upper_rce: got 0.0; more than 0 and at most 1"),
        ("crl: {upper_rcl: 1.2}", "upper_rcl: got 1.2; more than 0 and at most 1"),
        ("temperature: {t: 1001}", "at least 0.01 and at most 1000 is allowed"),
        ("label_smoothing: {epsilon: 1.1}", "at most 1 is allowed"),
    ],
)
def test_a_knob_that_cannot_work_is_refused_on_one_line(part: str, why: str) -> None:
    with pytest.raises(SweepError, match=why) as refused:
        sweep.parse(SWEEP % (0.2, part))
    assert "\n" not in str(refused.value) and part.split(":")[0] in str(refused.value)


@pytest.mark.parametrize("part", ["advreg", "dmp", "dropout", "mmd: {}, advreg: {}"])
def test_a_reference_that_is_carved_needs_no_reserve(part: str) -> None:
    sweep.parse(SWEEP % (0, part))
