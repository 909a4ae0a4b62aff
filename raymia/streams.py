"""Named randomness, and the names of what is kept: pure functions of the facts that they are
made of.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def key(*facts: bytes | memoryview | str | Mapping[str, Any] | Sequence[Any]) -> str:
    """The sha256 of facts, one after the other, as hex: bytes as they are, a text in UTF-8,
    anything else as JSON.
    """
    digest = hashlib.sha256()
    for fact in facts:
        if not isinstance(fact, bytes | memoryview):
            fact = (fact if isinstance(fact, str) else json.dumps(fact, sort_keys=True)).encode()
        digest.update(fact)
    return digest.hexdigest()


def seed_of(*names: object) -> int:
    """A 63-bit seed that is a pure function of the names, the same on every machine."""
    return int(key(repr(names))[:16], 16) >> 1


class Stream(np.random.Generator):
    """The generator that belongs to (*before, part, after), of part 0; `part(i)` is that of the
    i-th part of a recipe.

    `stream(seed, replicate, "batch", 0, model)` is `Stream((seed, replicate, "batch"), model)`.
    """

    def __init__(
        self, before: tuple[object, ...], after: object, path: tuple[int, ...] = ()
    ) -> None:
        super().__init__(np.random.PCG64(seed_of(*before, *(path or (0,)), after)))
        self._names, self._parts = (before, after, path), {0: self}

    def part(self, i: int) -> "Stream":
        """Always the same generator for the same part. The first part of a part is that part."""
        if i not in self._parts:
            before, after, path = self._names
            self._parts[i] = Stream(before, after, (*path, i))
        return self._parts[i]


def stream(*names: object) -> np.random.Generator:
    """The generator that belongs to these names, e.g. `stream(seed, replicate, "batches",
    model)`.
    """
    return np.random.default_rng(seed_of(*names))
