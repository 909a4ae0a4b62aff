"""Laws that every defense keeps, whoever wrote it.

def test_mine() -> None:
    defenses.check("mine")

They are checked on small networks over 48 images of three classes, and on the released outputs.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from raymia.errors import SweepError
from raymia.laws.law import check_all, holds
from raymia.point import catalog
from raymia.point.catalog import Knob
from raymia.point.schedule import Training
from raymia.point.space import Choice, Part, Range
from raymia.records.data import load
from raymia.signals import world
from raymia.signals.ask import Bench
from raymia.signals.view import log_softmax
from raymia.study import sweep
from raymia.training.defense import Defense, Facts, Lesson, Owned, Predictor
from raymia.training.fit import fit
from raymia.training.losses import probabilities
from raymia.training.model import Model, predict
from raymia.training.network import Network
from raymia.training.recipe import Recipe, recipe

TRAINING = Training(epochs=2, batch_size=8, precision="float64")
LONGER = Training(epochs=4, batch_size=8)
Knobs = Mapping[str, Any]
Parts = Sequence[tuple[str, Knobs]]
Array = np.ndarray[Any, Any]


def arm(*parts: tuple[str, Knobs]) -> Recipe:
    return recipe([Part(name, knobs) for name, knobs in parts])


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
    network: Network = catalog.made("networks", Part("cnn", {"width": 4})).build((1, 8, 8), 3)
    return network


def train(
    defense: Defense, models: tuple[int, ...] = (0, 1), training: Training = TRAINING
) -> list[Predictor]:
    return fit(defense, build, lesson(models, defense.traits().share), training, (0, 0), models)


def noise(n: int) -> Array:
    """What a network says of inputs that mean nothing."""
    said: Array = np.random.default_rng(5).standard_normal((n, 3)).astype(np.float32)
    return said


def released(defense: Defense, model: Predictor | None) -> Array:
    """Logits [48, 3] as released, by model 0; None: by one that is surer of its members than a few
    steps make it.
    """
    own = lesson((0,), defense.traits().share)
    surer = np.where(np.isin(np.arange(48), own.members[0]), 3, 1)[:, None].astype(np.float32)
    logits = noise(48) * surer if model is None else predict(model, own.x)
    owned = Owned(logits, own.members[0], own.reference[0], np.random.default_rng(0), noise)
    return defense.release(owned)(logits)


def said(models: Sequence[Predictor]) -> Tensor:
    """Logits [K, 48, 3] before any release."""
    with torch.no_grad():
        return torch.stack([model(lesson().x) for model in models])


@cache
def _pair(part: Part) -> tuple[Recipe, list[Predictor]]:
    """Models 0 and 1, trained once for all laws."""
    made = recipe([part])
    return made, train(made)


@cache
def _undefended() -> list[Predictor]:
    return train(Recipe(), (0,))


def it_trains_and_is_finite(name: str, knobs: Knobs) -> None:
    """L1: two models train, differ, and what they release is finite."""
    made, models = _pair(Part(name, knobs))
    holds(np.isfinite(released(made, models[0])).all(), "what is released is not finite")
    logits = said(models)
    holds(logits.isfinite().all(), "logits are not finite")
    holds(not torch.equal(*logits), "two models of other members and seeds are the same")


def a_model_of_an_ensemble_equals_the_same_alone(name: str, knobs: Knobs) -> None:
    """L2: trained beside another it says what it says alone, to 1e-9 in float64."""
    made, models = _pair(Part(name, knobs))
    apart = float((said(models)[1] - said(train(made, (1,)))[0]).abs().max())
    holds(apart <= 1e-9, f"they differ by {apart:g}")


def a_neutral_knob_is_no_defense(name: str, knobs: Knobs) -> None:
    """L3: at its neutral knobs it trains the weights of no defense and releases its outputs; where
    there are none, its docstring says why and names the law that takes the place of this one.
    """
    cls: type[Defense] = catalog.find("defenses", name)
    stated = (inspect.getdoc(cls) or "").partition("Neutral:")[2].split("\n\n")[0]
    stated = " ".join(stated.split())
    if cls.neutral is None:
        holds("none exists" in stated and "law L3" in stated, f"Neutral: {stated!r}")
        return
    holds(stated and "none exists" not in stated, f"Neutral: {stated!r}")
    made = arm((name, {**knobs, **cls.neutral}))
    (plain,), (model,) = _undefended(), train(made, (0,))
    assert isinstance(model, Model) and isinstance(plain, Model)
    pairs = zip(plain.network.parameters(), model.network.parameters(), strict=True)
    apart = max(float((a - b).abs().max()) for a, b in pairs)
    holds(apart <= 1e-12, f"the weights differ by {apart:g}")
    before, after = probabilities(predict(plain, lesson().x)), probabilities(released(made, model))
    apart = float(abs(before - after).max())
    holds(apart <= 1e-6, f"the released probabilities differ by {apart:g}")


def it_composes_or_is_refused_naming_both(name: str, knobs: Knobs, others: Parts = ()) -> None:
    """L4: with any other defense, in either order, it trains, or both are named in the refusal.

    `others`: those to try; none: label_smoothing, srcm, mmd and temperature, one of each kind.
    """
    short = Training(epochs=1, batch_size=10, precision="float64")
    for other in others or [(n, {}) for n in ("label_smoothing", "srcm", "mmd", "temperature")]:
        if other[0] == name:
            continue
        arms = []
        for pair in ((name, knobs), other), (other, (name, knobs)):
            try:
                arms.append(arm(*pair))
            except SweepError as error:
                both = name in str(error) and other[0] in str(error)
                holds(both, f"the refusal of {name} and {other[0]} names them not: {error}")
        holds(len(arms) in (0, 2), f"{name} and {other[0]} are refused in one order only")
        for made in arms:
            (model,) = train(made, (0,), short)
            holds(np.isfinite(released(made, model)).all(), f"beside {other[0]}: not finite")


SWEEP = """name: x
dataset: {digits: {records: 100}}
network: cnn
protocol: {coin: {models: 4, targets: 2}}
attacks: [loss]
defenses: [[%s: {%s}]]
"""


def file_to_object_to_file_is_the_identity(name: str, knobs: Knobs) -> None:
    """L5: written with every default it is read as itself; knobs left out take their ranges."""
    known = catalog.knobs(catalog.find("defenses", name))
    written = {key: knob.default for key, knob in known.items()} | dict(knobs)
    spelled = ", ".join(f"{key}: {_spelled(value)}" for key, value in written.items())
    first = sweep.parse(SWEEP % (name, spelled))
    holds(sweep.parse(sweep.dump(first.resolved())) == first, "dumped and read, it is another")
    (part,) = first.arms[0]
    made = catalog.made("defenses", part)
    holds({key: getattr(made, key) for key in known} == written, f"{part} is not {written}")
    free = sweep.parse(SWEEP % (name, ""))
    holds(sweep.parse(sweep.dump(free.resolved())) == free, "with ranges, it is another")
    searched = {key for key, value in free.arms[0][0].knobs.items() if isinstance(value, Range)}
    ranges = {key for key, knob in known.items() if isinstance(knob.domain, Range)}
    holds(searched == ranges, f"{searched} are searched, {ranges} have ranges")


def _spelled(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def it_names_its_source_and_ranges(name: str, knobs: Knobs) -> None:
    """L6: it says what it is and where it comes from; every knob has a range, or a reason."""
    cls = catalog.find("defenses", name)
    described = catalog.describe("defenses", name)
    holds(described["summary"] and described["source"], "no summary, or no Source:")
    holds(cls.cite.startswith("@") and cls.revision >= 1, "no BibTeX, or no revision")
    hints = get_type_hints(cls, include_extras=True)
    known = catalog.knobs(cls)
    for key, knob in known.items():
        why = [one for one in get_args(hints[key])[1:] if isinstance(one, str)]
        holds(knob.domain or any(one.startswith("no range: ") for one in why), f"{key}: no range")
    ranges = {key: knob for key, knob in known.items() if isinstance(knob.domain, Range)}
    holds(ranges or cls.neutral == {}, "nothing to search")
    for key, knob in ranges.items():
        assert isinstance(knob.domain, Range)
        inside = knob.default is None or knob.domain.low <= knob.default <= knob.domain.high
        holds(inside, f"{key}: its default is outside its range")
        holds(knob.domain.least is not None, f"{key}: the least value that is allowed is not said")


def the_label_is_released_as_it_is(name: str, knobs: Knobs) -> None:
    """A release never changes the predicted class: attacks that see labels alone need not ask."""
    made = arm((name, knobs))
    if not made.owns("release"):
        return
    draw = np.random.default_rng(0)
    scale = np.linspace(0.01, 60, 48)[:, None].astype(np.float32)
    logits = draw.standard_normal((48, 3)).astype(np.float32) * scale
    owned = Owned(logits, np.arange(20), np.arange(20, 40), np.random.default_rng(0), noise)
    after = made.release(owned)(logits).astype(np.float32)
    moved = int((after.argmax(1) != logits.argmax(1)).sum())
    holds(not moved, f"{moved} of 48 labels")


def training_does_not_wait_for_the_release(name: str, knobs: Knobs) -> None:
    """Models are trained once for all releases: a part that does both says how it only trains."""
    made = arm((name, knobs)).parts[0]
    if made.owns("release") and any(map(made.owns, ("batch", "criterion", "penalty", "teach"))):
        holds(made.unreleased is not None, "it trains and releases, and has no `unreleased`")
        bare, logits = arm((name, {**knobs, **(made.unreleased or {})})), noise(20)
        owned = Owned(logits, np.arange(9), np.arange(9, 18), np.random.default_rng(0), noise)
        holds(np.allclose(bare.release(owned)(logits), log_softmax(logits)), "it still releases")


def every_knob_does_something(name: str, knobs: Knobs) -> None:
    """Each knob, moved across its declared range, changes the trained model or what is released."""
    dead = [
        knob
        for knob in catalog.knobs(catalog.find("defenses", name))
        if not acts(name, knob, knobs)
    ]
    holds(not dead, f"{', '.join(dead)} changed nothing")


def acts(name: str, knob: str, knobs: Knobs) -> bool:
    """Whether a knob changes anything: beside any of the choices of the others, with their ranges
    at the defaults or at either end, in a network with or without BatchNorm.
    """
    known = catalog.knobs(catalog.find("defenses", name))
    for network, beside in product(NETWORKS, _settings(known, knob, knobs)):
        seen: list[Any] = []
        for value in _values(known[knob], knobs):
            outcome = _outcome(Part(name, {**beside, knob: value}), network)
            if outcome is not None and any(outcome != other for other in seen):
                return True
            seen += [] if outcome is None else [outcome]
    return False


NETWORKS = (Part("cnn", {"width": 4}), Part("resnet18", {"width": 2}))


def _settings(known: Mapping[str, Knob], knob: str, knobs: Knobs) -> list[dict[str, Any]]:
    """What may stand beside a knob."""
    others = {key: one for key, one in known.items() if key != knob and key not in knobs}
    choices = {key: _options(one) for key, one in others.items() if _options(one)}
    chosen = [dict(zip(choices, some, strict=True)) for some in product(*choices.values())]
    ranges = {key: one.domain for key, one in others.items() if isinstance(one.domain, Range)}
    kept = {key: value for key, value in knobs.items() if key != knob}
    return [
        {**kept, **some, **{key: getattr(domain, end) for key, domain in ranges.items() if end}}
        for end in ("", "high", "low")
        for some in chosen
    ]


def _options(knob: Knob) -> tuple[Any, ...]:
    if isinstance(knob.domain, Choice):
        return knob.domain.options
    return get_args(knob.annotation) if get_origin(knob.annotation) is Literal else ()


def _values(knob: Knob, knobs: Knobs) -> Iterator[Any]:
    """Values to try: all choices, the ends of a range, or half and twice what it is."""
    if options := _options(knob):
        yield from options
        return
    whole = int in (knob.annotation, *get_args(knob.annotation))
    start = knobs.get(knob.name, knob.default)
    yield start
    if isinstance(knob.domain, Range):
        number = int if whole else float
        yield from (number(knob.domain.low), number(knob.domain.high))
        return
    start = start if isinstance(start, int | float) else 0.5
    for factor in (0.5, 2.0):
        yield round(start * factor) if whole else start * factor
    yield from ((1, 3) if whole else (0.25, 0.75))


@cache
def _outcome(part: Part, network: Part) -> tuple[bytes, ...] | None:
    """What training at these knobs gives: weights, released outputs, facts; None if refused."""

    def build() -> Network:
        made: Network = catalog.made("networks", network).build((1, 8, 8), 3)
        return made

    try:
        made = recipe([part])
        own = lesson((0,), made.traits().share)
        (model,) = fit(made, build, own, LONGER, (0, 0), (0,))
        out = np.stack([released(made, model), released(made, None)])
    except (SweepError, ValueError):
        return None
    state = model.network.state_dict().values() if isinstance(model, Model) else []
    weights = b"".join(t.detach().cpu().numpy().tobytes() for t in state)
    return weights, out.tobytes(), repr(made.facts(20, made.training(LONGER))).encode()


def its_ranges_hold_on_any_data(name: str, knobs: Knobs) -> None:
    """For two classes or a hundred, pictures of any side or none, each range is one that the
    knobs allow, and it is one of a knob that has a range.
    """
    cls = catalog.find("defenses", name)
    declared = {
        key: knob.domain
        for key, knob in catalog.knobs(cls).items()
        if isinstance(knob.domain, Range)
    }
    trainings = (TRAINING, Training(optimizer="adam", lr=1e-3), Training(lr=0.01))
    for classes, side, training in product((2, 10, 30, 100), (0, 8, 28, 32), trainings):
        found = cls.ranges(Facts(classes, side, training))
        holds(set(found) <= set(declared), f"{set(found) - set(declared)} have no range")
        for key, domain in found.items():
            allowed = declared[key]
            holds(domain.log == allowed.log, f"{key}: another scale")
            kind = type(allowed.low)
            holds(type(domain.low) is type(domain.high) is kind, f"{key}: {domain} is not {kind}")
            for end in (domain.low, domain.high):
                holds(allowed.least is None or end >= allowed.least, f"{key}: {end} is refused")
                holds(allowed.most is None or end <= allowed.most, f"{key}: {end} is refused")


ACTING = """name: x
dataset: {digits: {records: 160}}
network: %s
protocol: {coin: {models: 4, targets: 1, reserve: 0.3}}
attacks: [loss]
defenses: [[%s]]
"""


def it_acts_at_its_defaults(name: str, knobs: Knobs) -> None:
    """Left as it comes, on digits by their own recipe, it says what it did, and did something."""
    if catalog.find("defenses", name).neutral == {}:
        return  # neutral as it comes
    there = [{"images", "convolutions"} & catalog.made("defenses", Part(name, {})).traits().wants]
    network = "{cnn: {width: 8}}" if there[0] else "mlp"
    file = sweep.parse(ACTING % (network, name))
    data = load(file.dataset, 0)
    one = world.of(file.point(0, file.default(0), 0, data), data.units)
    bench = Bench(one, data, range(1))
    model = bench.train()[0]
    raw = bench.ask(model, 0, ["logits"], bench.recipe)["logits"]
    acted = bench.ask(model, 0, ["acted"], one.recipe, raw)
    did = {key.removeprefix("acted_"): float(value) for key, value in acted.items()}
    holds(any(key.startswith(f"{name}.") for key in did), f"it says nothing of what it did: {did}")
    holds(all(value > 0 for value in did.values()), f"it did nothing: {did}")


LAWS = (
    it_trains_and_is_finite,
    a_model_of_an_ensemble_equals_the_same_alone,
    a_neutral_knob_is_no_defense,
    it_composes_or_is_refused_naming_both,
    file_to_object_to_file_is_the_identity,
    it_names_its_source_and_ranges,
    the_label_is_released_as_it_is,
    training_does_not_wait_for_the_release,
    every_knob_does_something,
    its_ranges_hold_on_any_data,
    it_acts_at_its_defaults,
)


def check(name: str, knobs: Knobs | None = None) -> None:
    """All laws of defenses for one of the catalogue. Raises LawBroken.

    `knobs` makes an expensive defense cheap enough: fewer steps, fewer sub-models.
    """
    check_all(LAWS, name, knobs or {})
