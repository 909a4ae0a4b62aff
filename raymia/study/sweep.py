"""The sweep file, checked and resolved: what was asked, everything left out filled in."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from raymia.attack.attack import column
from raymia.point import catalog, columns, origins
from raymia.point.objectives import ACCURACY, AUC, CANARY, EPSILON
from raymia.point.point import Point as Point
from raymia.point.point import plain
from raymia.point.schedule import Training
from raymia.point.space import Choice, Domain, Part, Range, Scalar
from raymia.study import engines, published, reading, strict_yaml
from raymia.study.strict_yaml import Node

if TYPE_CHECKING:
    from raymia.records.data import Data

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
REQUIRED = ("name", "dataset", "network", "defenses")
KEYS = tuple(
    "name dataset network protocol defenses attacks attacker training search resources "
    "keep_signals canaries published".split()
)
# keys of `search` that this version leaves empty
LATER: dict[str, Any] = {"race": None, "from": [], "constraints": {}}
MOST = {
    "models": 4096,
    "trainings": 10_000_000,
    "epochs": 100_000,
    "warmup": 100_000,
    "batch_size": 10**7,
}


@dataclass(frozen=True)
class Search:
    """How points are suggested: each sees the rows `lag` or more before it, so at most `lag`
    trials run at once. `repeats`: so many trials of every point, one after the other, each a
    replicate of its own (where the protocol keeps its split: other initial weights and batches,
    the papers' mean and deviation of five runs). `objective`: the columns of the front, more
    `accuracy` for less `privacy`.
    """

    trials: Annotated[int, Range(1, 1000, least=1, most=100_000)] = 24
    sampler: Annotated[str, Choice(("tpe", "random"))] = "tpe"
    seed: Annotated[int, Range(0, 1000, least=0, most=2**53)] = 0
    lag: Annotated[int, Range(1, 64, least=1, most=1024)] = 8
    race: None = None
    warm: tuple[str, ...] = ()  # `from` in the file
    constraints: Mapping[str, Any] = field(default_factory=dict)
    objective: Mapping[str, str] = field(
        default_factory=lambda: {"accuracy": ACCURACY.column, "privacy": AUC.column}
    )
    repeats: Annotated[int, Range(1, 10, least=1, most=1000)] = 1


@dataclass(frozen=True)
class Resources:
    """What one trial is given: `spread` bundles of so much each.

    Units: CPU cores, GPUs (a fraction packs several trials on one), seconds.
    """

    cpu: Annotated[float, Range(0, 64, least=0, most=4096)] = 1.0
    gpu: Annotated[float, Range(0, 8, least=0, most=1024)] = 0.0
    spread: Annotated[int, Range(1, 8, least=1, most=1024)] = 1
    time_limit: Annotated[float | None, Range(1, 1e6, least=1, most=1e9)] = None


@dataclass(frozen=True)
class Sweep:
    """A sweep file with everything left out filled in. A knob in `arms` is a scalar, a Range or
    a Choice.
    """

    name: str
    dataset: Part
    network: Part
    protocol: Part
    arms: tuple[tuple[Part, ...], ...]
    attacks: tuple[Part, ...]
    attacker: str
    training: Mapping[str, Any]  # overrides of the data set's own recipe
    lanes: int | str  # or "auto"
    search: Search
    resources: Resources
    keep_signals: str
    canaries: Mapping[str, int]
    # attack -> why it was not taken
    left_out: Mapping[str, str] = field(default_factory=dict, compare=False)
    # what a paper printed of it: decides nothing
    published: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(models, targets) of every point."""
        models, targets = catalog.made("protocols", self.protocol).shape
        return models, targets

    @property
    def device(self) -> str:
        return "cuda" if self.resources.gpu > 0 else "cpu"

    def schedule(self, records: int) -> Training:
        """The data set's own training for so many records, with the file's overrides."""
        own: Training = catalog.made("datasets", self.dataset).training(records)
        return replace(own, **self.training)

    def engine(self, records: int) -> engines.Chosen:
        """How the models of so many records are trained, and how many at a time."""
        training, models = self.schedule(records), self.shape[0]
        return engines.chosen(self.device, self.network, training, models, self.lanes)

    def space(self, arm: int) -> dict[str, Domain]:
        """The free knobs of an arm, `{"relaxloss.alpha": Range(0.0, 2.0)}`."""
        every = (
            (columns.knob(part.name, knob), value)
            for part in self.arms[arm]
            for knob, value in part.knobs.items()
        )
        return {key: value for key, value in every if isinstance(value, Range | Choice)}

    def default(self, arm: int) -> dict[str, Scalar]:
        """Each free knob at its declared default, clipped to the file's range; else the first
        of the choices.
        """
        out: dict[str, Scalar] = {}
        for key, domain in self.space(arm).items():
            part, knob = key.split(".")
            declared = catalog.knobs(catalog.find("defenses", part))[knob].default
            if isinstance(domain, Choice):
                out[key] = declared if declared in domain.options else domain.options[0]
            else:
                out[key] = (
                    domain.low if declared is MISSING or declared is None else domain.clip(declared)
                )
        return out

    def recipe(self, arm: int, knobs: Mapping[str, Scalar]) -> tuple[Part, ...]:
        """The parts of an arm with its free knobs filled in."""
        return tuple(
            Part(
                part.name,
                {
                    name: knobs.get(columns.knob(part.name, name), value)
                    for name, value in part.knobs.items()
                },
            )
            for part in self.arms[arm]
        )

    def point(self, arm: int, knobs: Mapping[str, Scalar], replicate: int, data: "Data") -> Point:
        """The arm with its free knobs set. Raises ValueError where `knobs` are not just those,
        inside their domains.
        """
        space = self.space(arm)
        if set(knobs) != set(space):
            raise ValueError(f"arm {arm} has the free knobs {sorted(space)}, got {sorted(knobs)}")
        chosen = {key: _inside(key, domain, knobs[key]) for key, domain in space.items()}
        found, training = self.engine(len(data)), self.schedule(len(data))
        return Point(
            data=data.sha256(),
            dataset=self.dataset,
            network=self.network,
            protocol=self.protocol,
            recipe=self.recipe(arm, chosen),
            attacks=self.attacks,
            attacker=self.attacker,
            training=replace(training, engine=found.engine),  # type: ignore[arg-type]
            canaries=self.canaries,
            seed=self.search.seed,
            replicate=replicate,
            lanes=found.lanes,
            device=self.device,
        )

    def differs(self, point: Point) -> str:
        """In what a point of this sweep's folder is none of it as it is now: attacks and models
        may have changed, and sweep.yaml may have been edited. Empty where it is one.
        """
        mine = {
            "protocol": (self.protocol, point.protocol),
            "list of attacks": (self.attacks, point.attacks),
            "network": (self.network, point.network),
            "attacker": (self.attacker, point.attacker),
            "set of canaries": (dict(self.canaries), dict(point.canaries)),
            "seed": (self.search.seed, point.seed),
            "training": (
                self.training,
                {name: getattr(point.training, name) for name in self.training},
            ),
        }
        return next((name for name, (own, its) in mine.items() if own != its), "")

    @property
    def foreign(self) -> dict[str, str]:
        """Distribution -> version, and file -> sha256, of the parts that are not raymia's own."""
        used = [("datasets", self.dataset), ("networks", self.network)]
        used += [("protocols", self.protocol), *(("attacks", part) for part in self.attacks)]
        used += [("defenses", part) for arm in self.arms for part in arm]
        return catalog.foreign((kind, part.name) for kind, part in used)

    def resolved(self) -> dict[str, Any]:
        """The sweep as a plain mapping, everything written out; `parse(dump(...))` makes an
        equal sweep of it.
        """
        search = asdict(self.search)
        body = {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}
        body["search"] = plain(
            {("from" if key == "warm" else key): value for key, value in search.items()}
        )
        body["training"] = {**body["training"], "lanes": body.pop("lanes")}
        body["defenses"] = [[_spelled("defenses", part) for part in arm] for arm in self.arms]
        body["attacks"] = [_spelled("attacks", part) for part in self.attacks]
        for key in ("dataset", "network", "protocol"):
            body[key] = _spelled(f"{key}s", getattr(self, key))
        return {key: body[key] for key in KEYS}


def _spelled(kind: str, part: Part) -> dict[str, Any]:
    return {origins.spelled(kind, part.name): plain(part.knobs)}


def load(path: str | Path, overrides: Iterable[str] = ()) -> Sweep:
    """The sweep of a file, with `a.b=value` overrides. Raises SweepError: where, key, value,
    what is allowed.
    """
    return _overridden(strict_yaml.read(path), overrides)


def parse(text: str, label: str = "sweep.yaml", overrides: Iterable[str] = ()) -> Sweep:
    """`load`, of a text that is said to stand in `label`."""
    return _overridden(strict_yaml.parse(text, label), overrides)


def _overridden(tree: Node, overrides: Iterable[str]) -> Sweep:
    for spelled in overrides:
        tree = strict_yaml.override(tree, spelled)
    return _sweep(tree)


def dump(resolved: Mapping[str, Any]) -> str:
    """The text of a results folder's sweep.yaml."""
    return strict_yaml.dump(resolved)


def _inside(key: str, domain: Domain, value: Any) -> Scalar:
    """`value` as the Python scalar of its domain. Raises ValueError where it is outside."""
    if isinstance(domain, Choice):
        found = [
            o
            for o in domain.options
            if o == value and isinstance(o, bool) == isinstance(value, bool)
        ]
        if not found:
            raise ValueError(f"{key}: got {value!r}; one of {domain.options} is allowed")
        return found[0]
    number = int(value) if isinstance(domain.low, int) else float(value)
    if number != value or not domain.low <= number <= domain.high:
        raise ValueError(f"{key}: got {value!r}; {domain.low} to {domain.high} is allowed")
    return number


def _sweep(tree: Node) -> Sweep:
    top = tree.mapping()
    reading.all_known(top, KEYS)
    for key in REQUIRED:
        if key not in top:
            raise Node(None, tree.where, (key,)).refuse("must be given", None)

    def node(key: str, default: Any = None) -> Node:
        return top.get(key, Node(default, tree.where, (key,)))

    dataset, network = (
        reading.one("datasets", node("dataset")),
        reading.one("networks", node("network")),
    )
    protocol = reading.one("protocols", node("protocol", "coin"))
    drawn = catalog.made("protocols", protocol)
    image = catalog.find("datasets", dataset.name).image
    if image is False and catalog.find("networks", network.name).images:
        raise node("network").refuse(
            f"a network for records that are no images is allowed with dataset {dataset.name}"
        )
    words = catalog.find("datasets", dataset.name).words
    if catalog.find("networks", network.name).documents and not words:
        raise node("network").refuse(
            f"a network for records that are no documents is allowed with dataset {dataset.name}"
        )
    if drawn.shape[0] > MOST["models"]:
        raise node("protocol").refuse(f"at most {MOST['models']} models are allowed")
    offers = drawn.offers | ({"images"} if image else set()) | (set() if words else {"numbers"})
    arms = reading.arms(node("defenses"), offers | net_offers(network, image, words))
    offers |= reading.offered(arms, network)
    attacks, left_out = reading.attacks(node("attacks", "standard"), offers, image is None)
    training, fused = _training(node("training"))
    if image is False and training.get("augment", "none") != "none":
        raise (
            node("training")
            .mapping()["augment"]
            .refuse(f"none is allowed: the records of {dataset.name} are no images")
        )
    if training.get("checkpoint") == "best" and "reference" not in offers:
        raise (
            node("training")
            .mapping()["checkpoint"]
            .refuse("last is allowed, or a protocol with reserve > 0: it chooses the best epoch")
        )
    canaries = reading.canaries(node("canaries"), drawn.shape[1])
    resources = Resources(**reading.fields(node("resources"), Resources))
    reading.resources(node("resources"))
    engines.check(node("training"), training, fused, resources.gpu, network)
    search = _search(node("search"), canaries)
    if search.trials * drawn.shape[0] > MOST["trainings"]:
        raise (
            node("search")
            .mapping()["trials"]
            .refuse(f"at most {MOST['trainings']} models in all are allowed")
        )
    return Sweep(
        name=_name(node("name")),
        dataset=dataset,
        network=network,
        protocol=protocol,
        arms=arms,
        attacks=attacks,
        attacker=reading.one_of(node("attacker", "adaptive"), ("adaptive", "plain")),
        training=training,
        lanes=fused,
        search=search,
        resources=resources,
        keep_signals=reading.one_of(node("keep_signals", "all"), ("all", "front", "none")),
        canaries=canaries,
        left_out=left_out,
        published=published.published(
            node("published"), network.name, len(arms), [column(part) for part in attacks]
        ),
    )


def net_offers(network: Part, image: bool | None, words: bool) -> frozenset[str]:
    """What defenses may need of network and records; where only the file can say that these are
    images, it will.
    """
    found = catalog.find("networks", network.name)
    offers = {"images": image is not False, "numbers": not words, "convolutions": found.images}
    there = {"steps"} | {name for name, offered in offers.items() if offered}
    return frozenset(there - found.lacks)


def _name(node: Node) -> str:
    if not isinstance(node.value, str) or not NAME.fullmatch(node.value):
        quote = (
            "put it in quotes, to make it a text; " if isinstance(node.value, int | float) else ""
        )
        raise node.refuse(
            f"{quote}1 to 64 letters, digits, dots, dashes or underscores are allowed, a letter or "
            "digit first"
        )
    return node.value


def _search(node: Node, canaries: Mapping[str, int]) -> Search:
    given = dict(node.mapping())
    asked = given.pop("objective", Node(None, node.where))
    values = reading.fields(replace(node, value=given), Search, LATER)
    if asked.value is None:
        return Search(**values)
    weighed = {**Search().objective, **reading.objective(asked)}
    if weighed["privacy"] in (CANARY, EPSILON) and not canaries:
        raise asked.mapping()["privacy"].refuse("that is allowed with canaries: they show it")
    return Search(**values, objective=weighed)


def _training(node: Node) -> tuple[dict[str, Any], int | str]:
    given = dict(node.mapping())
    fused = given.pop("lanes", Node("auto", node.where))
    if fused.value != "auto" and not (
        type(fused.value) is int and 1 <= fused.value <= MOST["models"]
    ):
        near = catalog.nearest(fused.value, ("auto",))
        raise fused.refuse(f"{near}auto, or a whole number from 1 to {MOST['models']}, is allowed")
    reading.all_known(given, [*catalog.knobs(Training), "lanes"])
    if "milestones" in given:
        reading.milestones(given["milestones"])
    if "scale" in given:
        given["scale"] = reading.scale(given["scale"])
    values = reading.fields(replace(node, value=given), Training)
    for key in values.keys() & MOST.keys():
        if values[key] > MOST[key]:
            raise given[key].refuse(f"at most {MOST[key]} is allowed")
    # what is left to us is none of a point
    return {k: v for k, v in values.items() if (k, v) != ("engine", "auto")}, fused.value
