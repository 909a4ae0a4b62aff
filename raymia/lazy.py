"""torch, imported when a tensor is first needed.

Importing torch takes 2 to 4 s, and a sweep file that is wrong must be refused within 2. So the
files that *declare* things (defenses, attacks, data sets, networks) take torch, and raymia's
own modules that are built of it, from here: reading their knobs costs nothing, using them
imports it. Files that only run when a model is trained or queried import torch as everyone
does.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch
    import torch.nn.functional as F

    from raymia.training import clipping as clipping
    from raymia.training import convolutions as convolutions
    from raymia.training import documents as documents
    from raymia.training import modules as modules
    from raymia.training import network as network
else:

    class _Lazy(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self.__name__), name)

    torch = _Lazy("torch")
    F = _Lazy("torch.nn.functional")
    clipping = _Lazy("raymia.training.clipping")
    convolutions = _Lazy("raymia.training.convolutions")
    documents = _Lazy("raymia.training.documents")
    modules = _Lazy("raymia.training.modules")
    network = _Lazy("raymia.training.network")

__all__ = ["F", "clipping", "convolutions", "documents", "modules", "network", "torch"]
