"""What a paper printed, beside the sweep that repeats it: it decides nothing, no digest has it."""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from raymia.point import catalog, columns
from raymia.point.objectives import ACCURACY, MAXIMA
from raymia.study import reading
from raymia.study.strict_yaml import Node

SPREAD = "_spread"  # what the name of a paper's own standard deviation ends with
_KEYS = ("source", "rows")
_NOT_NUMBERS = ("arm", "network", "note")
# what is measured of an attack, and what of a point
THRESHOLD = "threshold_advantage"  # of the attack's own threshold, in attacks.csv
_OF_AN_ATTACK = (THRESHOLD, "auc", "auc_reference", "advantage", "tpr_at_fpr_0.01")
_OF_A_POINT = re.compile(r"(train|test)_(accuracy|top5_accuracy|loss)|dtc_\w+|max_auc_reference")


def published(node: Node, network: str, arms: int, attacks: Collection[str]) -> Mapping[str, Any]:
    """{source, rows: [{arm, columns of trials.csv in its units, their `_spread`, note}]}; empty
    where nothing is given. Raises SweepError.
    """
    if node.value is None or node.value == {}:
        return {}
    given = node.mapping()
    reading.all_known(given, _KEYS)
    source, rows = (given.get(key, Node(None, node.where, (*node.path, key))) for key in _KEYS)
    if not isinstance(source.value, str):
        raise source.refuse("the paper and its table, as a text, is allowed")
    if not isinstance(rows.value, list) or not rows.value:
        raise rows.refuse("a list of published rows, each {arm: ..., test_accuracy: ...}")
    return {
        "source": source.value,
        "rows": [_row(row, network, arms, attacks) for row in rows.value],
    }


def _row(
    node: Node, network: str, arms: int, attacks: Collection[str]
) -> dict[str, int | float | str]:
    given = node.mapping()
    arm = given.get("arm", Node(None, node.where, (*node.path, "arm")))
    if type(arm.value) is not int or not 0 <= arm.value < arms:
        raise arm.refuse(f"the number of an arm, 0 to {arms - 1}, is allowed")
    if "network" in given and given["network"].value != network:
        raise given["network"].refuse(f"{network} is allowed: the sweep's own")
    if "note" in given and not isinstance(given["note"].value, str):
        raise given["note"].refuse("a text is allowed")
    for name, value in given.items():
        if name in _NOT_NUMBERS:
            continue
        if not _known(name.removesuffix(SPREAD), attacks):
            known = ["train_accuracy", ACCURACY.column, *MAXIMA, *map(columns.auc, attacks)]
            raise value.refuse(f"a column of trials.csv is allowed; {catalog.suggest(name, known)}")
        number = value.value
        if type(number) not in (int, float) or not math.isfinite(number):
            raise value.refuse("a number, in the units of trials.csv, is allowed")
    return {name: child.value for name, child in given.items()}


def _known(name: str, attacks: Collection[str]) -> bool:
    measure, _, attack = name.partition(".")
    if attack:
        return measure in _OF_AN_ATTACK and attack in attacks
    return name in MAXIMA or _OF_A_POINT.fullmatch(name) is not None


def numbers(row: Mapping[str, Any]) -> dict[str, tuple[float, float | None]]:
    """What a published row prints: column -> (number, its spread over the paper's runs or None)."""
    return {
        name: (float(value), row.get(name + SPREAD))
        for name, value in row.items()
        if name not in _NOT_NUMBERS and not name.endswith(SPREAD)
    }
