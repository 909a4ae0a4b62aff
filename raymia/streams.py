"""Named randomness: adding a consumer moves nobody else's numbers."""

import hashlib

import numpy as np


def seed_of(*names: object) -> int:
    """A 63-bit seed that is a pure function of the names, the same on every machine."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(*names: object) -> np.random.Generator:
    """The generator that belongs to these names, e.g. `stream(seed, replicate, "batches", model)`."""
    return np.random.default_rng(seed_of(*names))
