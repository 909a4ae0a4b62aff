"""Which backend trains a group of networks."""

from collections.abc import Sequence

from raymia.training.backends.backend import Backend
from raymia.training.backends.loop import Loop
from raymia.training.backends.mapped import Mapped
from raymia.training.backends.wide import Wide, can_be_wide
from raymia.training.network import Network


def backend(nets: Sequence[Network]) -> Backend:
    """One network is the plain loop; several are multiplied at once where that is possible, and
    mapped elsewhere.
    """
    if len(nets) == 1:
        return Loop(nets[0])
    return Wide(nets) if can_be_wide(nets[0]) else Mapped(nets)
