"""How laws are checked: each is a function that says in its first line what always holds."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any


class LawBroken(AssertionError):
    """Which law does not hold of what, and what was seen."""


def holds(condition: Any, seen: str) -> None:
    """Raises AssertionError with what was seen where the condition is false."""
    if not condition:
        raise AssertionError(seen)


def check_all(laws: Iterable[Callable[..., None]], *of: Any) -> None:
    """Every law, one after the other. Raises LawBroken at the first that does not hold."""
    for law in laws:
        try:
            law(*of)
        except AssertionError as error:
            said = (inspect.getdoc(law) or "").split("\n\n")[0].replace("\n", " ")
            raise LawBroken(f"{of[0]}: {law.__name__}: {said} Seen: {error}") from error
