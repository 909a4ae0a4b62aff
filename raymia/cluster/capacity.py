"""How much fits: what a trial asks for, against the nodes that are there and those that an
autoscaler may add.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from raymia.errors import EnvironmentFault, SweepError
from raymia.study.sweep import Resources

Node = Mapping[str, float]
_KNOB = "RAYMIA_MAX_NODES"
_HEAD = "node:__internal_head__"  # a resource that Ray gives to the head alone
# `ray up` writes it on the head, in JSON; its autoscaler reads it
_LAUNCHED = Path("~/ray_bootstrap_config.yaml")


def bundles(asked: Resources) -> list[dict[str, float]]:
    """What a trial reserves, all or nothing: `spread` equal bundles. Attack actors take no CPU
    and stand beside them.
    """
    one = {
        kind: float(value) for kind, value in (("CPU", asked.cpu), ("GPU", asked.gpu)) if value > 0
    }
    return [dict(one) for _ in range(asked.spread)]


def at_once(asked: Resources, nodes: Sequence[Node], growing: bool = False) -> int:
    """How many trials the nodes can run at a time. Raises SweepError, with the arithmetic,
    where it is none.

    `growing`: the nodes are those that an autoscaled cluster can reach.
    """
    need = _need(asked)
    count = sum(_fits(need, node) for node in nodes) // asked.spread
    if count == 0:
        raise SweepError(_arithmetic(asked, need, nodes, growing))
    return count


def _need(asked: Resources) -> Node:
    return {"CPU": asked.cpu, "GPU": asked.gpu}


def _fits(need: Node, node: Node) -> int:
    room = [
        math.floor(node.get(kind, 0) / value + 1e-9) for kind, value in need.items() if value > 0
    ]
    return min(room, default=1_000_000)  # what asks for nothing always fits


def _arithmetic(asked: Resources, need: Node, nodes: Sequence[Node], growing: bool) -> str:
    largest = max(nodes, key=lambda n: (n.get("GPU", 0), n.get("CPU", 0)), default={})
    has = " and ".join(f"{largest.get(kind, 0):g} {kind}" for kind in need)
    asks = " and ".join(f"{value:g} {kind}" for kind, value in need.items())
    grown = " that the cluster can grow to" if growing else ""
    many = (
        f"the largest of {len(nodes)} nodes{grown}" if len(nodes) > 1 or growing else "the machine"
    )
    advice = "ask for less with --set resources.cpu=..., or join a larger cluster with RAY_ADDRESS"
    if asked.spread > 1 and (here := sum(_fits(need, node) for node in nodes)):
        held = f"{asked.spread} times (resources.spread) {asks} (resources.cpu, resources.gpu)"
        where = f"{len(nodes)} nodes{grown} have" if len(nodes) > 1 else f"{many} has"
        return (
            f"one trial asks for {held} and {where} room for that {here} times: it could never "
            f"start; {advice}"
        )
    return (
        f"one trial asks for {asks} (resources.cpu, resources.gpu) and {many} has {has}: it could "
        f"never start; {advice}"
    )


# ---- the largest that the cluster can become ---------------------------------------------------


def reachable(present: Sequence[Node], asked: Resources) -> tuple[tuple[Node, ...], bool]:
    """The nodes that the cluster can have at its largest, and whether that is more than are there.

    Known from RAYMIA_MAX_NODES or from the file of `ray up` on the head; else it is what is
    there. Of kinds that share one limit, those count that suit a trial best. Raises
    EnvironmentFault where RAYMIA_MAX_NODES cannot be read.
    """
    told = _told()
    kinds, most = (told, None) if told else _launched()
    others = [node for node in present if not any(_is(node, kind) for _, kind in kinds)]
    grown = [
        kind
        for count, kind in kinds
        for _ in range(max(count, sum(_is(node, kind) for node in present)))
    ]
    if most is not None:
        grown = sorted(grown, key=lambda node: -_fits(_need(asked), node))[:most]
    return ((*others, *grown), True) if kinds else (tuple(present), False)


def _is(node: Node, kind: Node) -> bool:
    return _HEAD not in node and all(
        node.get(name, 0) == kind.get(name, 0) for name in ("CPU", "GPU")
    )


def _told() -> list[tuple[int, Node]]:
    """`RAYMIA_MAX_NODES="8:CPU=4,GPU=1 2:CPU=64"`: so many nodes of so much each, at the most."""
    found: list[tuple[int, Node]] = []
    for word in os.environ.get(_KNOB, "").split():
        match = re.fullmatch(r"(\d{1,5}):((?:\w+=[0-9.]+,?)+)", word)
        if not match:
            raise EnvironmentFault(
                f"{_KNOB}: got {word!r}; COUNT:CPU=n,GPU=n is allowed, e.g. 8:CPU=4,GPU=1"
            )
        pairs = (pair.split("=") for pair in match[2].rstrip(",").split(","))
        found.append((int(match[1]), {kind: float(value) for kind, value in pairs}))
    return found


def _launched() -> tuple[list[tuple[int, Node]], int | None]:
    """(count, resources) of each kind of worker in the file of `ray up`, and how many workers
    there may be in all.
    """
    try:
        config = json.loads(_LAUNCHED.expanduser().read_text())
        most, head = int(config["max_workers"]), config["head_node_type"]
        kinds = [kind for name, kind in config["available_node_types"].items() if name != head]
        found = [
            (min(most, kind.get("max_workers", most)), kind.get("resources", {})) for kind in kinds
        ]
        return [(count, resources) for count, resources in found if count > 0 and resources], most
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [], None
