"""The folder is the registry: what stands in `raymia/defenses/` is a defense, and so on.
Nothing is written down twice.

Reading the catalogue imports the small files of one folder, never torch (see `lazy`).
"""

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from raymia.errors import SweepError
from raymia.point import origins
from raymia.point.space import Choice, Domain, Part, Range

# kind -> the module or folder that holds its instances, and the class that they extend
_KINDS = {
    "defenses": ("raymia.defenses", "raymia.training.defense", "Defense"),
    "attacks": ("raymia.attacks", "raymia.attack.attack", "Attack"),
    "datasets": ("raymia.datasets", "raymia.records.data", "Dataset"),
    "networks": ("raymia.networks", "raymia.training.architecture", "Architecture"),
    "protocols": ("raymia.protocols", "raymia.records.split", "Protocol"),
}
KINDS = tuple(_KINDS)
_SLIP = 200  # characters; a longer text is no slip of a name, and takes minutes to compare


@dataclass(frozen=True)
class Knob:
    """One argument of a catalogued thing. `domain` is None where a search has nothing to tune
    (a path, say).
    """

    name: str
    annotation: Any
    default: Any  # dataclasses.MISSING where it must be given
    domain: Domain | None
    help: str = ""

    def check(self, value: Any) -> Any:
        """`value`, in the field's type. Raises ValueError saying what is allowed."""
        if not _exactly(value, self.annotation):
            value = _validated(value, self.annotation)
        if isinstance(value, float) and value != value or value in (float("inf"), float("-inf")):
            raise ValueError("a finite number is allowed")
        if isinstance(self.domain, Choice) and value not in self.domain.options:
            raise ValueError(f"one of {', '.join(map(str, self.domain.options))} is allowed")
        if isinstance(self.domain, Range) and value is not None:
            least, most = self.domain.least, self.domain.most
            if (least is not None and value < least) or (most is not None and value > most):
                bounds = [f"at least {least:g}"] * (least is not None) + [
                    f"at most {most or 0:g}"
                ] * (most is not None)
                raise ValueError(f"{' and '.join(bounds)} is allowed")
        return value


def _exactly(value: Any, annotation: Any) -> bool:
    """Whether a value is of the very type that is asked for, as most are."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return any(_exactly(value, one) for one in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Literal:
        return any(_exactly(value, type(a)) and value == a for a in typing.get_args(annotation))
    # half of a surrogate pair is no text
    return type(value) is annotation and (annotation is not str or value.isprintable())


def _validated(value: Any, annotation: Any) -> Any:
    """The value as the type that is asked for; raises ValueError where it cannot be. Imports what
    takes as long as all of `raymia pareto`.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        return TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        raise ValueError(
            f"{type_name(annotation)} is allowed: {error.errors()[0]['msg'].lower()}"
        ) from None


def type_name(annotation: Any) -> str:
    if isinstance(annotation, types.UnionType):
        return " or ".join(type_name(a) for a in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(annotation)))
    names = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "a text",
        type(None): "null",
    }
    return names.get(annotation, str(annotation))


def names(kind: str) -> tuple[str, ...]:
    """The names of one kind, sorted: raymia's own, and those of packages and files.

    Raises SweepError where a package has a name that is taken.
    """
    own, added = own_names(kind), origins.installed(kind)
    for name in sorted(set(own) & added.keys()):
        raise SweepError(
            f"raymia and {added[name].distribution} ({added[name].target}) both have a "
            f"{kind.removesuffix('s')} {name!r}; uninstall that package, or rename its entry point"
        )
    return tuple(sorted({*own, *origins.names(kind)}))


def has(kind: str, name: str) -> bool:
    """Whether there is one of that name; of a thousand rows with twenty parts each it is asked."""
    return name in own_names(kind) or origins.of(kind, name) is not None


@cache
def own_names(kind: str) -> tuple[str, ...]:
    """The names of raymia's own, sorted."""
    package = importlib.import_module(_KINDS[kind][0])
    return tuple(
        sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    )


def named(kind: str, spelled: str) -> str:
    """The name of what a sweep file spells: a name, or `path/to/file.py:Class`, which is read.

    Raises SweepError where there is none.
    """
    if not origins.is_file(spelled):
        return spelled
    name = origins.read(kind, spelled, (*own_names(kind), *origins.installed(kind)))
    _found.cache_clear()  # the file may have changed since it was read
    find(kind, name)
    return name


def foreign(parts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Distribution -> version, file -> sha256, of those of (kind, name) that are not our own."""
    found = (origins.of(kind, name) for kind, name in parts)
    return dict(one.identity for one in found if one is not None)


def find(kind: str, name: str) -> type[Any]:
    """The class of a name: the one that `<kind>/<name>.py` defines, or that a package or a file
    adds. Raises SweepError with the nearest spelling where there is none.
    """
    return _found(kind, name, origins.of(kind, name))


@cache
def _found(kind: str, name: str, origin: origins.Origin | None) -> type[Any]:
    if origin is not None:
        return _loaded(kind, name, origin)
    if name not in names(kind):
        raise SweepError(
            f"there is no {kind.removesuffix('s')} {name!r}; {suggest(name, names(kind))}"
        )
    folder, base_module, base_name = _KINDS[kind]
    module = importlib.import_module(f"{folder}.{name}")
    base = getattr(importlib.import_module(base_module), base_name)
    found = [
        c
        for c in vars(module).values()
        if inspect.isclass(c)
        and issubclass(c, base)
        and c.__module__ == module.__name__
        and not c.__name__.startswith("_")
    ]
    if len(found) != 1:
        raise SweepError(
            f"{module.__name__} must define exactly one {base_name}, it defines {len(found)}"
        )
    return typing.cast(type[Any], found[0])


def _loaded(kind: str, name: str, origin: origins.Origin) -> type[Any]:
    _, base_module, base_name = _KINDS[kind]
    base = getattr(importlib.import_module(base_module), base_name)
    where = " ".join(origin.identity[:1]) if isinstance(origin, origins.Installed) else origin.path
    try:
        cls = origin.load()
    except Exception as error:  # whatever the foreign module does when it is imported
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise SweepError(f"{name} of {where} cannot be loaded: {said}") from error
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise SweepError(f"{name} of {where} is no {base_name}; a class that extends it is needed")
    return typing.cast(type[Any], cls)


def suggest(given: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'? allowed: ...`"""
    allowed = sorted(allowed)
    return nearest(str(given), allowed) + f"allowed: {', '.join(allowed) or 'nothing'}"


def nearest(given: Any, options: Iterable[str], spell: Callable[[str], str] = repr) -> str:
    """`did you mean 'x'? ` where one of the options is near; empty where none is, or no text
    was given.
    """
    near = (
        difflib.get_close_matches(given, list(options), n=1, cutoff=0.5)
        if isinstance(given, str) and len(given) <= _SLIP
        else []
    )
    return f"did you mean {spell(near[0])}? " if near else ""


def knobs(cls: Any) -> Mapping[str, Knob]:
    """The fields of a catalogued dataclass, in order."""
    return _knobs(cls)


@cache
def _knobs(cls: Any) -> Mapping[str, Knob]:
    hints = typing.get_type_hints(cls, include_extras=True)
    out = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        hint, domain = hints[field.name], None
        if typing.get_origin(hint) is typing.Annotated:
            hint, *extras = typing.get_args(hint)
            domain = next((e for e in extras if isinstance(e, Range | Choice)), None)
        if domain is None and hint is bool:
            domain = Choice((False, True))
        if domain is None and typing.get_origin(hint) is typing.Literal:
            domain = Choice(typing.get_args(hint))
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        out[field.name] = Knob(field.name, hint, default, domain)
    return out


def make(kind: str, name: str, given: Mapping[str, Any]) -> Any:
    """The instance that `{name: given}` spells. Raises SweepError naming the knob, the value
    and what is allowed.
    """
    cls = find(kind, name)
    known = knobs(cls)
    values = {}
    for key, value in given.items():
        if key not in known:
            raise SweepError(f"{name}.{key}: {name} has no such knob; {suggest(key, known)}")
        try:
            values[key] = known[key].check(value)
        except ValueError as error:
            raise SweepError(f"{name}.{key}: got {value!r}; {error}") from None
    for knob in known.values():
        if knob.default is dataclasses.MISSING and knob.name not in values:
            raise SweepError(f"{name}.{knob.name} must be given")
    try:
        return cls(**values)
    except ValueError as error:  # a rule over several knobs, in the class's own __post_init__
        raise SweepError(f"{name}: {error}") from None


def made(kind: str, part: Part) -> Any:
    """The thing that a part spells, made once a process: equal parts have one. Raises
    SweepError.
    """
    cls: Any = find(kind, part.name)
    return _made(cls, kind, part)


@lru_cache(maxsize=1024)
def _made(cls: Any, kind: str, part: Part) -> Any:
    return make(kind, part.name, part.knobs)


def summary(cls: type[Any]) -> str:
    """The first paragraph of a class's docstring, on one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n", 1)[0].split())


def describe(kind: str, name: str) -> dict[str, Any]:
    """What `raymia list` says of one thing: name, summary, knobs with ranges, source."""
    cls = find(kind, name)
    rows = []
    for knob in knobs(cls).values():
        row: dict[str, Any] = {"name": knob.name, "type": type_name(knob.annotation)}
        row["default"] = None if knob.default is dataclasses.MISSING else knob.default
        row["required"] = knob.default is dataclasses.MISSING
        if isinstance(knob.domain, Range):
            row |= {"low": knob.domain.low, "high": knob.domain.high, "log": knob.domain.log}
        elif isinstance(knob.domain, Choice):
            row["choices"] = list(knob.domain.options)
        rows.append(row)
    origin = origins.of(kind, name)
    described = {"name": name, "summary": summary(cls), "knobs": rows, "source": source(cls)}
    return described | ({} if origin is None else {"from": " ".join(origin.identity)})


def source(cls: type[Any]) -> str:
    """The `Source:` paragraph of a docstring, on one line; empty where there is none."""
    text = inspect.getdoc(cls) or ""
    if "Source:" not in text:
        return ""
    return " ".join(text.split("Source:", 1)[1].split("\n\n", 1)[0].split())
