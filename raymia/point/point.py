"""One trial, as data: everything that decides its numbers, and the digest that names them."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, is_dataclass
from functools import cache
from typing import Any

from raymia.errors import SweepError
from raymia.point import catalog, columns, origins
from raymia.point.columns import word
from raymia.point.schedule import Training
from raymia.point.space import Choice, Knobs, Part, Range, Scalar, frozen
from raymia.streams import key

# the fields of a point that name no part, and stand in its canonical form as they are
_SCALARS = ("data", "attacker", "canaries", "seed", "replicate", "lanes", "device")


@dataclass(frozen=True)
class Point:
    """Everything that decides the numbers of one trial. Every knob is a scalar, and written out.

    `data` is the hash of the records. The digest takes it instead of `dataset`: in another
    folder they are the same.
    """

    data: str
    dataset: Part
    network: Part
    protocol: Part
    recipe: tuple[Part, ...]
    attacks: tuple[Part, ...]
    attacker: str
    training: Training
    canaries: Mapping[str, int]
    seed: int
    replicate: int
    lanes: int
    device: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "canaries", Knobs(self.canaries))

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "Point":
        """Itself, frozen all through: Ray Tune keeps several copies of each trial's to the end."""
        return self

    @property
    def knobs(self) -> dict[str, Scalar]:
        """`{"srcm.d": 1, ...}` over the recipe."""
        return {
            columns.knob(part.name, knob): value
            for part in self.recipe
            for knob, value in part.knobs.items()
        }

    @property
    def defense(self) -> str:
        return "+".join(part.name for part in self.recipe) or "none"

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars, from which `from_json` makes an equal point."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Point":
        ones = {n: _part(f"{n}s", body[n]) for n in ("dataset", "network", "protocol")}
        kinds = {"recipe": "defenses", "attacks": "attacks"}
        many = {n: tuple(_part(kind, p) for p in body[n]) for n, kind in kinds.items()}
        training = Training(**{k: frozen(v) for k, v in body["training"].items()})
        return cls(**{**body, **ones, **many, "training": training})

    def canonical(self) -> dict[str, Any]:
        """What the digest is taken of: the point without where its records lay, with the
        revision of each part, and without what is at its default. So a knob that comes later
        changes no digest, and a default that changes is a new revision.
        """
        body: dict[str, Any] = {name: plain(getattr(self, name)) for name in _SCALARS}
        body["network"] = told("networks", self.network)
        body["protocol"] = told("protocols", self.protocol)
        body["recipe"] = [told("defenses", part) for part in self.recipe]
        body["attacks"] = [told("attacks", part) for part in self.attacks]
        schedule = {name: plain(getattr(self.training, name)) for name in _declared(Training)}
        body["training"] = _beside(schedule, _declared(Training))
        used = [("networks", self.network), ("protocols", self.protocol)]
        used += [("defenses", p) for p in self.recipe] + [("attacks", p) for p in self.attacks]
        revisions = {f"{kind}.{p.name}": _revision(kind, p.name) for kind, p in used}
        return body | {"revisions": revisions | {"training": self.training.revision}}

    @property
    def foreign(self) -> dict[str, str]:
        """Distribution -> version, and file -> sha256, of the parts that are not raymia's own."""
        used = [("datasets", self.dataset), ("networks", self.network)]
        used += [("protocols", self.protocol), *(("defenses", part) for part in self.recipe)]
        used += [("attacks", part) for part in self.attacks]
        return catalog.foreign((kind, part.name) for kind, part in used)

    def digest(self) -> str:
        """sha256 of the canonical point, as hex."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return key(text)


def strength(knobs: Mapping[str, Any]) -> str:
    """`r1=10 d=1`: the knobs of a recipe (`part.knob`) that say something: those with a range,
    and those not at their default.

    A part's name stands before its knobs where several parts have some. A part that is not
    installed shows all of them.
    """
    said: dict[str, list[str]] = {}
    for full, value in knobs.items():
        part, _, name = full.rpartition(".")
        try:
            known = catalog.knobs(catalog.find("defenses", part))[name]
        except (SweepError, KeyError):
            known = None
        if known is None or isinstance(known.domain, Range) or value != known.default:
            said.setdefault(part, []).append(f"{name}={word(value, 3)}")
    return " ".join(
        (f"{part}: " if len(said) > 1 else "") + " ".join(words) for part, words in said.items()
    )


def plain(value: Any) -> Any:
    """`value` as dicts, lists and scalars, as the sweep file spells them."""
    if value is None or isinstance(value, str | int | float):  # most of what is asked
        return value
    if isinstance(value, Part):
        return {value.name: plain(value.knobs)}
    if isinstance(value, Range):
        return {"low": value.low, "high": value.high, "log": value.log}
    if isinstance(value, Choice):
        return list(value.options)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def told(kind: str, part: Part) -> dict[str, Any]:
    """A part without the knobs that are at their defaults."""
    cls: Any = catalog.find(kind, part.name)
    return {part.name: _beside(plain(part.knobs), _declared(cls))}


@cache
def _declared(cls: Any) -> Mapping[str, str]:
    """The default of each knob, spelled so that its type shows."""
    return {name: repr(plain(knob.default)) for name, knob in catalog.knobs(cls).items()}


def _beside(values: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """What is not at its default, in value and type."""
    return {name: value for name, value in values.items() if repr(value) != declared.get(name)}


def _revision(kind: str, name: str) -> int | list[Any]:
    """The revision of a part; where it is not our own, also what it is of, and which version."""
    revision: int = catalog.find(kind, name).revision
    origin = origins.of(kind, name)
    return revision if origin is None else [revision, *origin.identity]


def _part(kind: str, body: Mapping[str, Mapping[str, Any]]) -> Part:
    """A part as it was written, and knobs that came later at their defaults."""
    ((name, knobs),) = body.items()
    known = catalog.knobs(catalog.find(kind, name)) if catalog.has(kind, name) else {}
    later = {k: knob.default for k, knob in known.items() if k not in knobs}
    return Part(name, {**knobs, **{k: v for k, v in later.items() if v is not MISSING}})
