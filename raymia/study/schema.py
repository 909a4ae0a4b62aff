"""The JSON Schema of a sweep file, made of the catalogue: editors complete and check by it.

It refuses what one value, or the name of one key, is wrong by. What is wrong between two keys (an
attack that a protocol has no shadows for, two defenses that clash) `raymia points` refuses.

Source: JSON Schema, draft 2020-12.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from typing import Any, get_args

from pydantic import TypeAdapter

from raymia.point import catalog, origins
from raymia.point.catalog import Knob
from raymia.point.objectives import ACCURACY, PRIVACY
from raymia.point.point import plain
from raymia.point.schedule import Training
from raymia.point.space import Choice, Range
from raymia.records.canaries import KINDS
from raymia.study import keys, preflight, reading
from raymia.study.sweep import KEYS, LATER, MOST, NAME, REQUIRED, Resources, Search

Schema = dict[str, Any]


def schema() -> Schema:
    """Of a whole file; what packages add is in it where they are installed."""
    own: dict[str, Schema] = {
        "name": {"type": "string", "pattern": _whole(NAME.pattern)},
        **{key: _ref(f"{key}s") for key in ("dataset", "network", "protocol")},
        "defenses": {
            "type": "array",
            "items": {"type": "array", "items": _ref("defenses")},
            "minItems": 1,
            "maxItems": reading.MOST["arms"],
        },
        "attacks": {
            "anyOf": [
                {"enum": ["standard", "all"]},
                {"type": "array", "items": _ref("attacks"), "minItems": 1},
            ]
        },
        "attacker": {"enum": ["adaptive", "plain"]},
        "training": _training(),
        "search": _search(),
        "resources": _resources(),
        "keep_signals": {"enum": ["all", "front", "none"]},
        "canaries": {
            "anyOf": [{"const": "standard"}, _mapping(keys.CANARIES, dict.fromkeys(KINDS, _COUNT))]
        },
        "published": _published(),
    }
    top = _mapping(keys.KEYS, {key: own[key] for key in KEYS}, REQUIRED)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A sweep of raymia",
        **top,
        "$defs": {kind: _parts(kind) for kind in catalog.KINDS},
    }


_COUNT: Schema = {"type": "integer", "minimum": 0}


def _ref(kind: str) -> Schema:
    return {"$ref": f"#/$defs/{kind}"}


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _mapping(
    told: Mapping[str, str], values: Mapping[str, Schema], required: Iterable[str] = ()
) -> Schema:
    """A mapping of these keys and no other; null is an empty one, where nothing is required."""
    needs = list(required)
    return {
        "type": "object" if needs else ["object", "null"],
        "properties": {key: {"description": told[key], **value} for key, value in values.items()},
        "additionalProperties": False,
        **({"required": needs} if needs else {}),
    }


def _parts(kind: str) -> Schema:
    """A name, or a name with its arguments. A list of defenses or attacks may hold several in one
    mapping.
    """
    free = kind == "defenses"
    classes = {name: catalog.find(kind, name) for name in catalog.names(kind)}
    known = {name: catalog.knobs(cls) for name, cls in classes.items()}
    args = {name: _arguments(name, knobs, free) for name, knobs in known.items()}
    told = {name: _told(cls) for name, cls in classes.items()}
    bare = [{"const": n, "description": told[n]} for n, a in args.items() if "required" not in a]
    file = _whole(origins.FILE.pattern)
    several = kind in ("defenses", "attacks")
    named = {
        "type": "object",
        "properties": {name: {"description": told[name], **a} for name, a in args.items()},
        "patternProperties": {file: {"type": ["object", "null"]}},
        "additionalProperties": False,
        "minProperties": 1,
        **({} if several else {"maxProperties": 1}),
    }
    return {"anyOf": [*bare, {"type": "string", "pattern": file}, named]}


def _told(cls: type[Any]) -> str:
    source = catalog.source(cls)
    return catalog.summary(cls) + (f" Source: {source}" if source else "")


def _arguments(part: str, known: Mapping[str, Knob], free: bool) -> Schema:
    told = {name: _described(part, knob) for name, knob in known.items()}
    values = {name: _free(knob) if free else _value(knob) for name, knob in known.items()}
    return _mapping(told, values, [k.name for k in known.values() if k.default is MISSING])


def _described(part: str, knob: Knob) -> str:
    """`relaxloss.alpha, a number; a search looks in [0, 2]`."""
    kind = catalog.type_name(knob.annotation)
    where = ""
    if isinstance(knob.domain, Range):
        where = f"; a search looks in {preflight.domain(plain(knob.domain))}"
    return f"{part}.{knob.name}, {kind}{where}"


def _value(knob: Knob) -> Schema:
    """One value of a knob."""
    found: Schema = TypeAdapter(knob.annotation).json_schema()
    if isinstance(knob.domain, Choice):
        found = {"enum": list(knob.domain.options)}
    if isinstance(knob.domain, Range):
        ends = (("minimum", knob.domain.least), ("maximum", knob.domain.most))
        found |= {name: end for name, end in ends if end is not None}
    return found | ({} if knob.default is MISSING else {"default": plain(knob.default)})


def _free(knob: Knob) -> Schema:
    """What a knob of an arm may be: a value, a list of choices, and a number a range."""
    value = _value(knob)
    default = {"default": value.pop("default")} if "default" in value else {}
    most = reading.MOST["choices"]
    ways = [value, dict(type="array", items=value, minItems=1, maxItems=most, uniqueItems=True)]
    numbers = {int, float} & {knob.annotation, *get_args(knob.annotation)}
    if numbers and not isinstance(knob.domain, Choice):
        ends = dict.fromkeys(("low", "high"), value)
        ways.append(_mapping(keys.RANGE, {**ends, "log": {"type": "boolean"}}, ("low", "high")))
    return {"anyOf": ways, **default}


def _fields(cls: type[Any]) -> dict[str, Schema]:
    found = {name: _value(knob) for name, knob in catalog.knobs(cls).items()}
    return {
        name: value | ({"maximum": MOST[name]} if name in MOST else {})
        for name, value in found.items()
    }


def _training() -> Schema:
    above = {"type": "number", "exclusiveMinimum": 0}
    side = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
    own = _fields(Training)
    words = next(one for one in own["scale"]["anyOf"] if "enum" in one)
    pair = {"type": "array", "items": side, "minItems": 2, "maxItems": 2}
    given = _mapping(
        {"mean": "Of each feature.", "std": "Of each feature, above 0."},
        {"mean": side, "std": side},
        ("mean", "std"),
    )
    own["scale"] = {"anyOf": [words, pair, given], "default": own["scale"]["default"]}
    own["milestones"] = {
        "type": "array",
        "items": {"type": "array", "items": above, "minItems": 2, "maxItems": 2},
        "default": own["milestones"]["default"],
    }
    most = {"type": "integer", "minimum": 1, "maximum": MOST["models"]}
    own["lanes"] = {"anyOf": [{"const": "auto"}, most], "default": "auto"}
    return _mapping(keys.TRAINING, own)


def _search() -> Schema:
    own = {name: value for name, value in _fields(Search).items() if name != "warm"}
    own |= {name: {"enum": [None, value]} for name, value in LATER.items()}
    weighed = {"accuracy": {"enum": [ACCURACY.column]}, "privacy": {"enum": list(PRIVACY)}}
    own["objective"] = _mapping(keys.OBJECTIVE, weighed)
    return _mapping(keys.SEARCH, own)


def _resources() -> Schema:
    own = _fields(Resources)
    own["gpu"] |= {"anyOf": [{"maximum": 1}, {"multipleOf": 1}]}
    return _mapping(keys.RESOURCES, own)


def _published() -> Schema:
    row = _mapping(
        keys.PUBLISHED,
        {"arm": _COUNT, "network": {"type": "string"}, "note": {"type": "string"}},
        ("arm",),
    )
    row |= {"additionalProperties": {"type": "number"}}
    rows: Schema = {"type": "array", "items": row, "minItems": 1}
    found = _mapping(keys.PUBLISHED, {"source": {"type": "string"}, "rows": rows})
    return found | {"dependentRequired": {"source": ["rows"], "rows": ["source"]}}
