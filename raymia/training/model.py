"""A trained network: how it predicts, and how its weights are written and read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_state
from safetensors.torch import save as save_state
from torch import Tensor, nn

from raymia.training.architecture import Architecture
from raymia.training.batches import pixels
from raymia.training.defense import Defense, Predictor
from raymia.training.documents import Vectors
from raymia.training.losses import CHUNK
from raymia.training.modules import Normalise
from raymia.training.network import Network

Build = Callable[[], Network]
Floats = tuple[float, ...]
FEW = 128  # records that convolutions are asked about at once, on a processor
_ACTED = "acted"  # its place among the metadata of safetensors


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network as a predictor of records in the data's own units: x [B, ...] -> logits
    [B, C]. `acted`: what its recipe did in its training, `<part>.<what>` -> a number. `split_ai`:
    that of its lesson [N, C], which is not kept with the weights.
    """

    network: Network
    dtype: torch.dtype
    acted: Mapping[str, float] = field(default_factory=dict)
    split_ai: Tensor | None = None

    def __post_init__(self) -> None:
        if self._convolves:
            self.network.to(memory_format=torch.channels_last)

    @cached_property
    def _convolves(self) -> bool:
        return convolves(self.network)

    def __call__(self, x: Tensor) -> Tensor:
        parts = torch.split(x, FEW) if self._convolves else (x,)
        said = [self.network(pixels(part, self.dtype)).logits for part in parts]
        return said[0] if len(said) == 1 else torch.cat(said)


def convolves(network: nn.Module) -> bool:
    """Whether it has convolutions, on a processor: those are made for the channels to lie last,
    and what they say of FEW records stays in a core's cache.
    """
    return any(p.ndim == 4 and p.device.type == "cpu" for p in network.parameters())


def builder(
    architecture: Architecture,
    shape: tuple[int, ...],
    classes: int,
    mean: Floats,
    std: Floats,
    vectors: np.ndarray[Any, Any] | None = None,
) -> Build:
    """Builds fresh networks before any defense, with the data set's own normalisation in front, or
    the vectors [V, D] of its words.
    """

    def build() -> Network:
        seen = shape if vectors is None else (*shape, vectors.shape[1])
        network = architecture.build(seen, classes)
        network.normalise = front(shape, mean, std, vectors)
        return network

    return build


def front(
    shape: tuple[int, ...], mean: Floats, std: Floats, vectors: np.ndarray[Any, Any] | None
) -> nn.Module:
    """What stands in front of every model of a data set."""
    return Normalise(mean, std, shape) if vectors is None else Vectors(torch.tensor(vectors))


def saved(model: Predictor) -> bytes:
    """The weights of a trained network as safetensors."""
    assert isinstance(model, Model)
    content: bytes = save_state(
        {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()},
        {_ACTED: json.dumps(model.acted, sort_keys=True)},
    )
    return content


def restored(
    content: bytes,
    recipe: Defense,
    build: Build,
    precision: str,
    device: str | torch.device = "cpu",
) -> Model:
    """The model whose weights were `saved`, trained under the recipe."""
    dtype = getattr(torch, precision)
    network = recipe.network(build()).to(device, dtype)
    network.load_state_dict(load_state(content))
    network.eval().requires_grad_(False)
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    return Model(network, dtype, json.loads(header.get("__metadata__", {}).get(_ACTED, "{}")))


def predict(model: Predictor, x: Tensor) -> np.ndarray[Any, Any]:
    """Logits float32 [S, C] of one model on records x [S, ...]."""
    with torch.no_grad():
        parts = [model(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)]
    return torch.cat(parts).float().cpu().numpy()
