"""Which backend trains a group of networks."""

from collections.abc import Sequence

from raymia.training.backends.backend import Backend
from raymia.training.backends.compiled import Compiled
from raymia.training.backends.graph import Graph, captured
from raymia.training.backends.loop import Loop
from raymia.training.backends.mapped import Mapped
from raymia.training.backends.wide import Wide, can_be_wide
from raymia.training.network import Network


def backend(nets: Sequence[Network], engine: str = "auto") -> Backend:
    """What an engine (`Training.engine`) is for such networks. `auto`: the plain loop of one
    network; several are multiplied at once where that is possible, and mapped elsewhere.
    """
    if engine == "compiled" and len(nets) == 1:
        return Compiled(nets[0])
    if engine == "graph":
        return Graph(backend(nets), captured)
    wide = can_be_wide(nets[0])
    if len(nets) == 1 and not (wide and engine == "stacked"):
        return Loop(nets[0])
    return Wide(nets) if wide else Mapped(nets)
