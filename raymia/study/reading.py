"""How the sweep file spells parts and their knobs, checked against the catalogue."""

import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, replace
from functools import partial
from math import isfinite
from types import MappingProxyType
from typing import Any

import numpy as np

from raymia.attack import attack
from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.catalog import Knob
from raymia.point.objectives import ACCURACY, PRIVACY
from raymia.point.point import plain
from raymia.point.space import Choice, Part, Range, frozen
from raymia.records.canaries import KINDS, MISLABELLED, STANDARD
from raymia.study.strict_yaml import Node, show
from raymia.training import recipe

NO_KEYS: Mapping[str, Any] = MappingProxyType({})
MOST = {"arms": 1000, "choices": 200}


def one_of(node: Node, options: tuple[str, ...]) -> str:
    """The node's text. Raises SweepError where it is none of the options."""
    if node.value not in options:
        raise node.refuse(catalog.suggest(str(node.plain()), options))
    return str(node.value)


def fields(node: Node, cls: type[Any], later: Mapping[str, Any] = NO_KEYS) -> dict[str, Any]:
    """The given fields of a dataclass, checked; a key of `later` may only have the value that
    it has there.
    """
    known = {k: v for k, v in catalog.knobs(cls).items() if k not in {*later, "warm"}}
    given = node.mapping()
    all_known(given, [*known, *later])
    for key in later.keys() & given.keys():
        if given[key].plain() not in (None, later[key]):
            raise given[key].refuse(
                f"only {show(later[key])} is allowed, this version has no {key!r}"
            )
    return {key: _checked(known[key], child) for key, child in given.items() if key in known}


def all_known(given: Mapping[str, Node], allowed: Iterable[str]) -> None:
    """Raises SweepError at the first key that is not allowed."""
    allowed = tuple(allowed)
    for key, child in given.items():
        if key not in allowed:
            raise child.refuse(f"no such key; {catalog.suggest(key, allowed)}")


def _checked(knob: Knob, node: Node) -> Any:
    """The node's value in the knob's type. Raises SweepError saying what is allowed."""
    value = frozen(node.plain())
    literal = typing.get_origin(knob.annotation) is typing.Literal
    options = typing.get_args(knob.annotation) if literal else getattr(knob.domain, "options", ())
    if options and all(isinstance(o, str) for o in options) and value not in options:
        raise node.refuse(catalog.suggest(str(value), options))
    try:
        return knob.check(value)
    except ValueError as error:
        raise node.refuse(str(error)) from None


def _spelled(node: Node) -> list[tuple[str, Node]]:
    """A name, or a mapping of names to arguments, as (name, arguments)."""
    if isinstance(node.value, str):
        return [(node.value, replace(node, value={}))]
    if not isinstance(node.value, dict) or not node.value:
        raise node.refuse("a name, or a name with its arguments {name: {knob: value}}, is allowed")
    return list(node.value.items())


def one(kind: str, node: Node) -> Part:
    """The data set, network or protocol that a node names, every knob a scalar."""
    spelled = _spelled(node)
    if len(spelled) > 1:
        raise node.refuse("one name is allowed")
    return _named(kind, *spelled[0])


def _named(kind: str, name: str, given: Node, free: bool = False) -> Part:
    """A part with every knob written out; with `free`, one may be a domain, and is its declared
    range if left out.
    """
    try:
        name = catalog.named(kind, name)
    except SweepError as error:
        raise given.refuse(str(error), name) from None
    if name not in catalog.names(kind):
        raise given.refuse(
            f"no such {kind.removesuffix('s')}; {catalog.suggest(name, catalog.names(kind))}", name
        )
    cls, entries = catalog.find(kind, name), given.mapping()
    known = catalog.knobs(cls)
    all_known(entries, known)
    values: dict[str, Any] = {}
    for key, knob in known.items():
        if key in entries:
            values[key] = _spread(knob, entries[key]) if free else _checked(knob, entries[key])
        elif free and isinstance(knob.domain, Range):
            values[key] = _declared(knob, knob.domain)
        elif knob.default is MISSING:
            raise replace(given, path=(*_inside(given, name), key)).refuse("must be given", None)
        else:
            values[key] = knob.check(knob.default)  # a float declared as 0 is 0.0, as if written
    part = Part(name, values)
    broken = problem(lambda ends: _construct(cls, ends[0].knobs), [part])
    if broken:
        raise _against_the_rules(part, given, broken)
    return part


def _construct(cls: type[Any], knobs: Mapping[str, Any]) -> None:
    try:
        cls(**knobs)
    except ValueError as error:  # a rule over several knobs, or one that no annotation can say
        raise SweepError(str(error)) from None


def _against_the_rules(part: Part, given: Node, broken: str) -> SweepError:
    """`knob: got VALUE; allowed`, as the classes say it, becomes the error of that knob; other
    rules are the whole part's.
    """
    knob, colon, rest = broken.partition(": ")
    if not colon or knob not in part.knobs:
        return given.refuse(broken)
    left_out = Node(None, given.where, (*_inside(given, part.name), knob))
    allowed = rest.partition("; ")[2] if rest.startswith("got ") else rest
    return given.mapping().get(knob, left_out).refuse(allowed, plain(part.knobs[knob]))


def _inside(given: Node, name: str) -> tuple[str | int, ...]:
    """Where the knobs of a part stand, or would: a bare name stands for {name: {}}."""
    return given.path if given.path[-1:] == (name,) else (*given.path, name)


def _declared(knob: Knob, domain: Range) -> Range:
    number = int if int in (knob.annotation, *typing.get_args(knob.annotation)) else float
    return Range(number(domain.low), number(domain.high), domain.log, left_out=True)


def _spread(knob: Knob, node: Node) -> Any:
    """One of the three spellings: a scalar, a list of choices, a mapping {low, high, log}."""
    if isinstance(node.value, list):
        options = [_checked(knob, child) for child in node.value[: MOST["choices"]]]
        if not 0 < len(node.value) <= MOST["choices"]:
            raise node.refuse(f"1 to {MOST['choices']} choices are allowed")
        for i, child in enumerate(node.value):
            if options[i] in options[:i]:
                raise child.refuse("each choice once is allowed")
        return Choice(tuple(options))
    if not isinstance(node.value, dict):
        return _checked(knob, node)
    all_known(node.value, ("low", "high", "log"))
    if isinstance(knob.domain, Choice) or not {int, float} & {
        knob.annotation,
        *typing.get_args(knob.annotation),
    }:
        raise node.refuse("a range is for numbers; a scalar or a list of choices is allowed")
    for key in ("low", "high"):
        if key not in node.value:
            raise replace(node, path=(*node.path, key)).refuse("must be given", None)
    low, high = _checked(knob, node.value["low"]), _checked(knob, node.value["high"])
    log = node.value.get("log", Node(False, node.where))
    if not isinstance(log.value, bool):
        raise log.refuse("true or false is allowed")
    if low is None or high is None or not low < high:
        raise node.refuse("low < high is allowed")
    if log.value and low <= 0:
        raise node.value["low"].refuse("low > 0 is allowed with log: true")
    return Range(low, high, log.value)


def arms(node: Node, offers: frozenset[str]) -> tuple[tuple[Part, ...], ...]:
    """The arms of the search. Raises SweepError where parts of one clash, or lack their
    reference.
    """
    if not isinstance(node.value, list) or not 0 < len(node.value) <= MOST["arms"]:
        raise node.refuse(f"a list of 1 to {MOST['arms']} arms is allowed, each a list of parts")
    return tuple(_arm(arm, offers) for arm in node.value)


def _arm(node: Node, offers: frozenset[str]) -> tuple[Part, ...]:
    if not isinstance(node.value, list):
        raise node.refuse("a list of parts is allowed; [] is no defense")
    parts: list[Part] = []
    for name, given in (spelled for item in node.value for spelled in _spelled(item)):
        parts.append(_named("defenses", name, given, free=True))
        if name in [part.name for part in parts[:-1]]:
            raise given.refuse("each defense once in an arm is allowed", name)
    named = "+".join(part.name for part in parts)
    if clash := problem(partial(recipe.check, offers=offers), parts):
        raise node.refuse(clash, named)
    return tuple(parts)


def offered(arms: Iterable[Sequence[Part]], network: Part) -> frozenset[str]:
    """What attacks may want of a defense, as far as any of the arms has it on such a network."""
    found = set[str]()
    for parts in arms:
        problem(lambda ends: found.update(recipe.recipe(ends).offers), parts)
    return frozenset(found - catalog.find("networks", network.name).lacks)


def problem(check: Callable[[Sequence[Part]], object], parts: Sequence[Part]) -> str:
    """Why an arm can never be run; empty where it can.

    `check` is asked twice, with the free knobs at the low ends of their domains and at the high
    ends. What it refuses both times is a fault of the arm; what it refuses once is a rule over
    several knobs, which other values may keep.
    """
    said = [_said(check, [corner(part, end) for part in parts]) for end in ("low", "high")]
    return said[0] if all(said) else ""


def corner(part: Part, end: str) -> Part:
    """The part with its free knobs at the low, or the high, end of their domains."""
    at = {"low": 0, "high": -1}[end]
    ends = {k: v.options[at] for k, v in part.knobs.items() if isinstance(v, Choice)}
    ends |= {k: getattr(v, end) for k, v in part.knobs.items() if isinstance(v, Range)}
    return Part(part.name, {**part.knobs, **ends})


def _said(check: Callable[[Sequence[Part]], object], parts: Sequence[Part]) -> str:
    try:
        check(parts)
    except SweepError as error:
        return str(error)
    return ""


def attacks(
    node: Node, offers: frozenset[str], perhaps_images: bool
) -> tuple[tuple[Part, ...], dict[str, str]]:
    """The attacks to run, and for `standard` and `all` why the others that they name do not apply.

    With `perhaps_images`, only the data can tell: an attack on images is taken if asked for by
    name.
    """
    if isinstance(node.value, list) and node.value:
        return _asked(node, offers | {"images"} if perhaps_images else offers), {}
    if node.value not in ("standard", "all"):
        known = catalog.names("attacks")
        near = catalog.nearest(
            node.value,
            ("standard", "all", *known),
            lambda word: f"[{word}]" if word in known else repr(word),
        )
        raise node.refuse(f"{near}standard, all, or a list of attacks is allowed")
    names = [
        n
        for n in catalog.names("attacks")
        if node.value == "all" or _standard(catalog.find("attacks", n), offers)
    ]
    every = [
        attack.unasked(Part(name, {**plain_part.knobs, **knobs}))
        for name in names
        for plain_part in [_named("attacks", name, replace(node, value={}))]
        for knobs in ({}, *catalog.find("attacks", name).beside)
    ]
    why = {attack.column(part): attack.inapplicable(part, offers) for part in every}
    parts = tuple(part for part in every if not why[attack.column(part)])
    if not parts:
        raise node.refuse("no attack applies; name some")
    return parts, {name: reason for name, reason in why.items() if reason}


def _standard(cls: type[attack.Attack], offers: Collection[str]) -> bool:
    return cls.standard and not (cls.without_shadows and "out_shadows" in offers)


def milestones(node: Node) -> None:
    """Raises SweepError where the milestones of a schedule are none that a run could pass, one
    after the other.
    """
    pairs: list[Any] = (
        [child.value for child in node.value] if isinstance(node.value, list) else [None]
    )
    if any(
        not isinstance(pair, list) or len(pair) != 2 or not all(map(_number, pair))
        for pair in pairs
    ):
        raise node.refuse(
            "a list of [fraction of epochs, factor on lr] is allowed, e.g. [[0.5, 0.1], [0.8, "
            "0.01]], or of [epoch, factor]"
        )
    before = 0.0
    for fraction, factor in pairs:
        whole = fraction.value >= 1 and fraction.value == int(fraction.value)
        if not (0 < fraction.value < 1 or whole):
            raise fraction.refuse(
                "a fraction of epochs, more than 0 and less than 1, or a whole number of them is "
                "allowed"
            )
        if before and (before < 1) != (fraction.value < 1):
            raise fraction.refuse("all fractions, or all whole numbers of epochs, are allowed")
        if fraction.value <= before:
            raise fraction.refuse(
                f"milestones in ascending order are allowed, this one comes after {before:g}"
            )
        if factor.value <= 0:
            raise factor.refuse("a factor of more than 0 is allowed")
        before = fraction.value


def scale(node: Node) -> Node:
    """{mean, std} as the pair that a schedule keeps. Raises SweepError where it is none."""
    if not isinstance(node.value, dict | list):
        return node
    if isinstance(node.value, dict):
        all_known(node.value, ("mean", "std"))
        sides = [node.value.get(side) for side in ("mean", "std")]
    else:
        sides = list(node.value)
    found = [None if side is None else np.ravel(side.plain()).tolist() for side in sides]
    good = len(found) == 2 and all(
        side and all(type(n) in (int, float) and isfinite(n) for n in side) for side in found
    )
    if not good or min(found[1] or [0]) <= 0:
        raise node.refuse(
            "auto, reference, members, none, or {mean: ..., std: ...} is allowed, each a number or "
            "a list of one a feature, std above 0"
        )

    def wrapped(value: Any) -> Node:
        inside = [wrapped(one) for one in value] if isinstance(value, list) else float(value)
        return replace(node, value=inside)

    return wrapped(found)


def _number(node: Node) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)


def resources(node: Node) -> None:
    """Raises SweepError where a trial asks for nothing, or for what Ray cannot give."""
    given = node.mapping()
    cpu, gpu = (
        given[key].value if key in given else default for key, default in (("cpu", 1), ("gpu", 0))
    )
    if gpu > 1 and gpu != int(gpu):
        raise given["gpu"].refuse("a fraction up to 1, or a whole number of GPUs, is allowed")
    if not cpu + gpu > 0:
        raise node.refuse(
            "cpu + gpu > 0 is allowed: Ray must know what a trial takes, to know how many fit"
        )


def objective(node: Node) -> dict[str, str]:
    """The columns that a sweep weighs against each other."""
    given = node.mapping()
    options = {"accuracy": (ACCURACY.column,), "privacy": PRIVACY}
    all_known(given, options)
    return {key: one_of(child, options[key]) for key, child in given.items()}


def canaries(node: Node, targets: int) -> dict[str, int]:
    """How many records of each kind are planted; kinds of which there are none are left out.

    `standard`: mislabelled ones, as many as let all targets together resolve an FPR of 1%.
    """
    if node.value == "standard":
        return {MISLABELLED: -(-STANDARD // targets)}
    if node.value is not None and not isinstance(node.value, dict):
        near = catalog.nearest(node.value, ("standard",))
        raise node.refuse(f"{near}standard, or how many of each kind, is allowed")
    given = {} if node.value is None else node.mapping()
    all_known(given, KINDS)
    for child in given.values():
        if type(child.value) is not int or child.value < 0:
            raise child.refuse("a whole number, 0 or more, is allowed")
    return {kind: int(given[kind].value) for kind in KINDS if kind in given and given[kind].value}


def _asked(node: Node, offers: frozenset[str]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for name, given in (spelled for item in node.value for spelled in _spelled(item)):
        part = _named("attacks", name, given)
        if why := attack.inapplicable(part, offers):
            raise given.refuse(f"it cannot apply: {why}", name)
        # so that no two attacks write to one column
        if attack.column(part) in map(attack.column, parts):
            raise given.refuse(
                "each attack once is allowed (again only with other arguments; counts is none)",
                name,
            )
        parts.append(part)
    return tuple(parts)
