"""How a GPU multiplies numbers of 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def exact(tf32: bool = False) -> tuple[bool, bool]:
    """Sets whether products and convolutions may round to TF32, which torch lets convolutions
    do unasked; what stood before.
    """
    product, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = product.allow_tf32, convolution.allow_tf32
    product.allow_tf32 = convolution.allow_tf32 = tf32
    return before


@contextmanager
def multiplied(precision: str) -> Iterator[None]:
    """While it is open, by `Training.precision`."""
    before = exact(precision == "tf32")
    try:
        yield
    finally:
        product, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
        product.allow_tf32, convolution.allow_tf32 = before
