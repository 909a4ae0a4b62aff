"""The grammar of column names, and how a value is written as a text."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

AUC = "auc."  # what the name of an attack's column begins with
# what the name of an attack ends with whose shadows come from the undefended point
PLAIN = "@plain"
CONFIRMED = "confirmed_"
MAX_REFERENCE = "max_auc_reference"  # the largest of them
# what is measured of each attack: the ends of its interval stand before the attack's name
_MEASURED = re.compile(r"(auc|advantage|tpr_at_fpr_0\.0+1)\.(.+)")
ACTED = "acted."  # what the name of a column begins with that says what a defense did
APART = "memory.apart"  # no column: a model says of itself that memory did not hold its whole group

# columns of the tables that hold texts, and whole numbers, whatever their cells look like
TEXT = (
    "digest",
    "signals",
    "state",
    "reason",
    "dataset",
    "network",
    "defense",
    "worst_attack",
    "attack",
    "objective",
    "notes",
)
WHOLE = ("trial", "seed", "models", "targets", "members", "nonmembers", "target")


def knob(part: str, name: str) -> str:
    """`relaxloss.alpha`"""
    return f"{part}.{name}"


def auc(attack: str) -> str:
    """`auc.lira[mode=online]`"""
    return f"{AUC}{attack}"


def measured(measure: str, attack: str) -> str:
    """`tpr_at_fpr_0.01.lira`"""
    return f"{measure}.{attack}"


def attacks(columns: Iterable[str]) -> list[str]:
    """The attacks that have an AUC among the columns, sorted by those columns."""
    return [name.removeprefix(AUC) for name in sorted(columns) if name.startswith(AUC)]


def full(name: str, columns: Iterable[str]) -> str:
    """A column by its name or, of an attack's AUC, by the attack's: `lira` is short for
    `auc.lira`.
    """
    return name if name in columns else auc(name)


def ends(name: str) -> tuple[str, str]:
    """The columns of a number's interval: `auc.lira` has `auc_lo.lira`, everything else
    `<name>_lo`.
    """
    found = _MEASURED.fullmatch(name)
    before, after = (found[1], f".{found[2]}") if found else (name, "")
    return f"{before}_lo{after}", f"{before}_hi{after}"


def with_ends(name: str) -> tuple[str, str, str]:
    """A number's column and those of its interval."""
    return (name, *ends(name))


def interval(name: str, value: Any, low: Any, high: Any) -> dict[str, Any]:
    """A number and its interval under their columns."""
    return dict(zip(with_ends(name), (value, low, high), strict=True))


def confirmed(name: str) -> str:
    """`confirmed_test_accuracy`: what training again with fresh seeds gave."""
    return f"{CONFIRMED}{name}"


def change(name: str) -> str:
    """`confirmed_test_accuracy_change`: the confirmed number less that of the search."""
    return f"{CONFIRMED}{name}_change"


def reference(attack: str) -> str:
    """`auc_reference.lira`: of the records that a defense holds out, against non-members."""
    return f"auc_reference.{attack}"


def advantage_reference(attack: str = "") -> str:
    """`advantage_reference.lira`; without an attack, of the strongest one."""
    return "advantage_reference" + (f".{attack}" if attack else "")


def acted(what: str) -> str:
    """`acted.relaxloss.relaxed`: what a defense did, 0 where nothing."""
    return f"{ACTED}{what}"


def did(numbers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """part -> what -> share, of the columns that say what defenses did; unknown ones left out."""
    found: dict[str, dict[str, float]] = {}
    for name, value in sorted(numbers.items()):
        if name.startswith(ACTED) and value is not None:
            part, _, what = name.removeprefix(ACTED).partition(".")
            found.setdefault(part, {})[what] = value
    return found


def canary(name: str, attack: str = "") -> str:
    """`canary_auc.lira`: a number on the planted records; without an attack, of the strongest
    one.
    """
    return f"canary_{name}" + (f".{attack}" if attack else "")


def word(value: Any, digits: int | None = None) -> str:
    """A value for people: true and false, null, and a float exactly, or to so many digits."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.{digits}g}" if digits is not None and isinstance(value, float) else str(value)


def epsilon(value: float) -> str:
    """An epsilon for people, with what it is worth: an attack's TPR is at most e^epsilon times its
    FPR (and delta), so at 10 it may find all members at an FPR of 1 in 22,026.
    """
    worth = " (meaningless)" if value > 100 else " (weak)" if value > 10 else ""
    return word(value, 4) + worth
