"""Whether a results folder can go on with a sweep file that differs from its own."""

import re
from collections.abc import Mapping
from typing import Any

from raymia.errors import SweepError
from raymia.study.strict_yaml import show
from raymia.study.sweep import Sweep

_GROWS = re.compile(r"search\.trials|protocol\.\w+\.(models|shadows)")
_CHANGES = re.compile(r"(attacks|resources|keep_signals|published)(\..*)?")


def changed(old: Any, new: Any, at: str = "") -> list[str]:
    """The dotted keys in which two resolved sweeps differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = [(key, old.get(key, ...), new.get(key, ...)) for key in dict.fromkeys([*old, *new])]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        return [at] if old != new or isinstance(old, bool) != isinstance(new, bool) else []
    return [key for name, a, b in pairs for key in changed(a, b, f"{at}.{name}" if at else name)]


def check_continues(old: Mapping[str, Any], sweep: Sweep) -> None:
    """Raises SweepError, naming the keys, where a folder that holds the resolved `old` cannot
    go on with `sweep`.
    """
    new, bad = sweep.resolved(), []
    for key in changed(old, new):
        before, after = _at(old, key), _at(new, key)
        grows = (
            bool(_GROWS.fullmatch(key))
            and isinstance(before, int)
            and isinstance(after, int)
            and after > before
        )
        # the device is part of every point
        moves = key == "resources.gpu" and bool(before) != bool(after)
        if moves or not (grows or _CHANGES.fullmatch(key)):
            bad.append(f"{key} was {show(before)} and is {show(after)}")
    if bad:
        allowed = (
            "search.trials (up), models (up), attacks, resources (on the same kind of device), "
            "keep_signals, published"
        )
        said = "; ".join(bad)
        raise SweepError(
            f"the results folder holds another sweep: {said}; may change: {allowed}; or name "
            "another --out"
        )


def _at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        tree = (
            tree[int(name)]
            if isinstance(tree, list)
            else tree.get(name)
            if isinstance(tree, Mapping)
            else None
        )
    return tree
