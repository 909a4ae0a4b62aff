"""What DP-SGD spends, and how its batches are drawn: both from the same sampling rate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import numpy as np

from raymia.point.schedule import Training
from raymia.records.split import Bools

Rng = np.random.Generator


def sample_rate(members: int, training: Training) -> float:
    """The probability with which a record enters a batch: the batch size over the members, at
    most 1.
    """
    return min(1.0, training.batch_size / members)


def steps(members: int, training: Training) -> int:
    """How many batches a training draws: as many an epoch as it takes to go once over the
    members.
    """
    return -(-members // training.batch_size) * training.run_epochs


def poisson(rate: float) -> Callable[[int, Rng], Bools]:
    """Draws a batch of n records: bool [n], each independently with probability `rate`."""
    return lambda n, rng: rng.random(n) < rate


# above, the grid of the PRV accountant takes minutes, then outgrows any memory: 35 GB at sigma
# 0.01
PRV_UP_TO = 30.0


@cache
def epsilon(sigma: float, rate: float, steps: int, delta: float, accountant: str) -> float | None:
    """What `steps` subsampled Gaussian steps spend at `delta`, by Opacus; None where it is not
    finite.

    accountant: `rdp`, or `prv`, which is tighter; where RDP says more than 30, its bound stands
    for PRV's too. Opacus's `gdp` is an approximation that under-reports (1.618 where PRV says
    1.838, at sigma 1, rate 0.01, 1,000 steps) and is refused. Raises ValueError.
    """
    if accountant not in ("prv", "rdp"):
        raise ValueError(
            f"accountant: got {accountant!r}; prv or rdp is allowed, gdp bounds nothing"
        )
    if not sigma:
        return None
    spent = _spent("rdp", sigma, rate, steps, delta)
    if accountant == "prv" and spent < PRV_UP_TO:
        spent = _spent("prv", sigma, rate, steps, delta)
    return spent if np.isfinite(spent) else None


def _spent(accountant: str, sigma: float, rate: float, steps: int, delta: float) -> float:
    from opacus.accountants import create_accountant

    book = create_accountant(mechanism=accountant)
    book.history = [(sigma, rate, steps)]
    # a bound that might be better at other orders is still one; log(0) is PRV's at rate 1, and
    # meant
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.filterwarnings("ignore", "Optimal order is", UserWarning)
        return float(book.get_epsilon(delta=delta))
