"""What is done where memory does not hold a group of models: halves of it, one after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")

# how torch says it on a GPU, on a processor, and of cuBLAS
_SAID = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def halved(rows: Sequence[int], train: Callable[[Sequence[int]], list[T]]) -> list[tuple[T, bool]]:
    """`train(rows)`, an entry for each row, with whether memory asked for a smaller group: then it
    is made again from the start on either half, down to one by one. What does not fit alone is
    raised.
    """
    try:
        return [(one, False) for one in train(rows)]
    except Exception as error:
        if len(rows) < 2 or not _no_memory(error):
            raise
    # here, and not in the handler: the error holds the frames, and they the tensors
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    found = [*halved(rows[:middle], train), *halved(rows[middle:], train)]
    return [(one, True) for one, _ in found]


def _no_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)
