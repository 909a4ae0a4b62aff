"""The answer to the question of the page, for any bars: one pure function, which `script.js` has
once more. The two must say the same: a test compares them in a browser.

A point counts as reaching a bar by the upper end of its interval, as `raymia gate` has it, and by
what was confirmed with fresh seeds where it was; its accuracy counts by the number itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Option = Mapping[str, Any]  # of `points.option`


def answer(
    options: Sequence[Option], measure: str, most: float, least: float
) -> tuple[list[str], int | None]:
    """Sentences, and the trial that they are about (None where there is no point at all).

    `options`: every finished point that is more accurate than a constant answer; `most` and
    `least`: the bars of the attack's measure and of the accuracy.
    """
    bare = next((one for one in options if one["bare"]), None)
    start = (
        f"Without defense: accuracy {bare['accuracy_text']}, {measure} {bare['privacy_text']}."
        if bare
        else "No network without defense is more accurate than a constant answer."
    )
    if not options:
        return [start], None
    bars = f"{measure} {most:.3f}" + (f" with accuracy {least:.3f}" if least > 0 else "")
    enough = [one for one in options if one["accuracy"] >= least]
    found = _first(one for one in enough if one["highest"] <= most)
    if found is None:
        near = min(enough or options, key=lambda one: (one["highest"], -one["accuracy"]))
        said = [
            start,
            f"No trained point reaches {bars}.",
            f"The nearest is {_told(near, measure)}.",
        ]
        return [*said, _confirmed(near)], near["trial"]
    if found["bare"]:
        said = [start, f"It reaches {bars} as it is: no defense is needed for that."]
    else:
        said = [start, f"To reach {bars} take {_told(found, measure)}."]
    said.append(_confirmed(found))
    close = _first(
        one
        for one in enough
        if one["privacy"] <= most < one["highest"] and one["accuracy"] > found["accuracy"]
    )
    if close is not None:
        said.append(
            f"By the number alone {close['name']} (accuracy {close['accuracy_text']}, {measure} "
            f"{close['privacy_text']}) would do, but the upper end of its interval, "
            f"{close['highest_text']}, is above the bar."
        )
    return said, found["trial"]


def _first(options: Any) -> Option | None:
    """The most accurate; of equal ones the most private, then the earliest."""
    order = sorted(options, key=lambda one: (-one["accuracy"], one["highest"], one["trial"]))
    return order[0] if order else None


def _told(one: Option, measure: str) -> str:
    return (
        f"{one['name']} (accuracy {one['accuracy_text']}, {measure} {one['privacy_text']}, "
        f"at most {one['highest_text']}){one['cost']}"
    )


def _confirmed(one: Option) -> str:
    if one["seeds"] is None:
        return "These numbers are not confirmed: they are those of the search that chose them."
    return f"These numbers are confirmed with fresh seeds: {one['seeds']} of them."
