"""Named randomness, and the names of what is kept: pure functions of the facts that they are made of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def key(*facts: bytes | memoryview | str | Mapping[str, Any] | Sequence[Any]) -> str:
    """The sha256 of facts, one after the other, as hex: bytes as they are, a text in UTF-8, anything else as JSON."""
    digest = hashlib.sha256()
    for fact in facts:
        if not isinstance(fact, bytes | memoryview):
            fact = (fact if isinstance(fact, str) else json.dumps(fact, sort_keys=True)).encode()
        digest.update(fact)
    return digest.hexdigest()


def seed_of(*names: object) -> int:
    """A 63-bit seed that is a pure function of the names, the same on every machine."""
    return int(key(repr(names))[:16], 16) >> 1


def stream(*names: object) -> np.random.Generator:
    """The generator that belongs to these names, e.g. `stream(seed, replicate, "batches", model)`."""
    return np.random.default_rng(seed_of(*names))
