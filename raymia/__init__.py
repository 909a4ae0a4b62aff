"""Which membership-inference defense, at which strength, costs the least accuracy for the
privacy that you need?

    import raymia

    sweep = raymia.load("sweeps/quickstart.yaml", "search.trials=8")
    run = raymia.run(sweep, "results/mine")
    run.front  # a data frame, like run.trials and run.attacks
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raymia.api import Audit as Audit
    from raymia.api import Run as Run
    from raymia.api import audit as audit
    from raymia.api import load as load
    from raymia.api import open as open
    from raymia.api import run as run

__version__ = "0.1.0"
__all__ = ["Audit", "Run", "audit", "load", "open", "run"]


def __getattr__(name: str) -> Any:
    """`import raymia` imports nothing else: whoever only asks for the version waits for nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'raymia' has no attribute {name!r}")
    from raymia import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
