"""Trained teachers that are kept for the next point of the same process."""

from collections import OrderedDict
from collections.abc import Callable

from raymia.training.defense import Predictor
from raymia.training.model import Model


class Shelf:
    """Trained models by key, up to `most` bytes of weights: beyond, those that were longest not
    asked for go first.

    A count would not do: a point asks for one entry a group, and SELENA for one a group and
    sub-model.
    """

    def __init__(self, most: int) -> None:
        self.most, self._rows = most, OrderedDict[str, tuple[list[Predictor], int]]()

    def get(self, key: str, train: Callable[[], list[Predictor]]) -> list[Predictor]:
        """The models of a key; trained where they are not there."""
        if key not in self._rows:
            models = train()
            self._rows[key] = models, sum(_weight(model) for model in models)
        self._rows.move_to_end(key)
        models, _ = self._rows[key]
        while sum(size for _, size in self._rows.values()) > self.most:
            self._rows.popitem(last=False)
        return models


def _weight(model: Predictor) -> int:
    """Bytes of a model's weights."""
    assert isinstance(model, Model)
    return sum(t.numel() * t.element_size() for t in model.network.state_dict().values())


# half a GiB a process: 11 ResNet-18s, or all sub-models of hundreds of small networks
TEACHERS = Shelf(1 << 29)
