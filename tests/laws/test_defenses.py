"""Every defense keeps the laws."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raymia.errors import SweepError
from raymia.laws import defenses
from raymia.laws.defenses import TRAINING, arm, lesson, released, said, train
from raymia.point import catalog
from raymia.study import sweep
from raymia.training.defense import Defense, Traits
from raymia.training.fit import fit
from raymia.training.network import Network
from raymia.training.recipe import Recipe

NAMES = catalog.names("defenses")
# what makes an expensive defense cheap enough to be tested with every other; nothing else
# differs from the defaults
QUICK: dict[str, dict[str, Any]] = {
    "memguard": {"steps": 100, "lr": 0.1, "iterations": 5},
    "dmp": {"pictures": 12, "gan_epochs": 1, "gan_width": 2},
    "selena": {"sub_models": 3, "left_out": 1},
    "stacking": {"trees": 3},
    "dpsgd": {"accountant": "rdp"},
    "mmd": {"gate": 0.0},  # so few records leave it closed
}
FORMS: list[
    tuple[str, dict[str, Any]]
] = [  # forms that take another way through the code than the default
    ("relaxloss", {"variant": "official_cifar"}),
    ("srcm", {"design": "a"}),
    ("srcm", {"design": "c"}),
    ("mmd", {"form": "paper"}),
    ("mmd", {"form": "paper", "batches": "one_class"}),
    ("dropout", {"where": "convs"}),
    ("distillation", {"form": "squared"}),
    ("dmp", {"source": "synthetic", "pictures": 12, "gan_epochs": 1, "gan_width": 2}),
    ("crl", {"tau_rce": 0.0, "tau_rcl": 0.0}),
    ("crl", {"form": "paper"}),
    ("advreg", {"inner": "selena", "warm_up": 1, "inner_batches": 2, "inner_loss": "mse"}),
]
EVERY = [(name, QUICK.get(name, {})) for name in NAMES]
ALONE = (
    defenses.it_composes_or_is_refused_naming_both,
    defenses.every_knob_does_something,
    defenses.it_acts_at_its_defaults,
)
OF_FORMS = (
    defenses.it_trains_and_is_finite,
    defenses.a_model_of_an_ensemble_equals_the_same_alone,
)
CASES = [(law, *one) for law in defenses.LAWS if law not in ALONE for one in EVERY]
CASES += [(law, *one) for law in OF_FORMS for one in FORMS]

KNOBS = [
    pytest.param(name, knob, id=f"{name}.{knob}")
    for name in NAMES
    for knob in catalog.knobs(catalog.find("defenses", name))
]


@pytest.mark.parametrize(
    ("law", "name", "knobs"),
    CASES,
    ids=[
        f"{law.__name__}-{name}-{'-'.join(map(str, knobs.values()))}" for law, name, knobs in CASES
    ],
)
def test_law(law: Callable[..., None], name: str, knobs: dict[str, Any]) -> None:
    law(name, knobs)


@pytest.mark.parametrize(("name", "knob"), KNOBS)
def test_every_knob_does_something(name: str, knob: str) -> None:
    quick: dict[str, dict[str, Any]] = {
        "advreg.warm_up_passes": {"warm_up": 1},
        "advreg.outer_batches": {"inner_batches": 1},
    }
    # the first of its two networks has no norm to change
    quick["dpsgd.groups"] = {"accountant": "rdp", "sampling": "uniform", "groups": 2}
    if catalog.find("defenses", name).neutral == {}:
        pytest.skip(
            "its knobs are texts and left out by default: tests/defenses has their equations"
        )
    assert defenses.acts(name, knob, quick.get(f"{name}.{knob}", QUICK.get(name, {})))


@pytest.mark.parametrize("name", NAMES)
def test_it_acts_at_its_defaults(name: str) -> None:
    defenses.it_acts_at_its_defaults(name, {})


@pytest.mark.parametrize("pair", list(combinations(NAMES, 2)), ids="+".join)
def test_any_two_compose_or_are_refused_naming_both(pair: tuple[str, str]) -> None:
    one, other = ((name, QUICK.get(name, {})) for name in pair)
    defenses.it_composes_or_is_refused_naming_both(*one, [other])


@pytest.mark.parametrize("name", NAMES)
def test_every_defense_has_equations_and_a_sweep(name: str) -> None:
    root = Path(__file__).parents[2]
    assert (root / "tests" / "defenses" / f"test_{name}.py").exists()
    sweeps = [sweep.load(path) for path in (root / "sweeps").rglob("*.yaml")]
    used = {part.name for each in sweeps for parts in each.arms for part in parts}
    assert name in used, "no sweep uses it"


class Louder(Defense):
    """Releases another label."""

    def release(self, owned: Any) -> Any:
        return lambda logits: -logits


class Idle(Defense):
    """Neutral: rate 0."""

    neutral = {"rate": 0.0}


@pytest.mark.parametrize(
    ("broken", "law", "seen"),
    [
        (Louder(), defenses.the_label_is_released_as_it_is, "of 48 labels"),
        (Idle(), defenses.it_names_its_source_and_ranges, "no summary, or no Source"),
    ],
)
def test_a_law_can_fail(
    broken: Defense, law: Callable[..., None], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defenses, "arm", lambda *parts: Recipe((broken,)))
    monkeypatch.setattr(catalog, "find", lambda kind, name: type(broken))
    with pytest.raises(AssertionError, match=seen):
        law("label_smoothing", {})


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
        - {"stacking", "early_stopping", "weight_decay", "training", "memguard"}
        - {"rounding", "temperature", "top_k"}
    ),
}


def test_what_is_refused_is_this_and_no_more() -> None:
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
