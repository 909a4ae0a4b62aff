"""How often the intervals of TPR at low FPR, of the advantage and of their maxima hold the
truth: tables for docs/attacks.md.

python benchmarks/low_fpr.py [--runs 2000] [--records 1437 4000]

Eight attacks with normal scores; a quarter of the records is memorised, of which attack i shifts
the members by its own strength, and the score of one record at several targets is correlated.
The truth is that of three million records. `above`: how often the true maximum lies above the
upper end that a gate goes by; nominal 0.025.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from raymia.verdict import low_fpr

KINDS: dict[str, Callable[[], Any]] = {
    "null": lambda: np.zeros(8),
    "one best": lambda: np.array([2.5, *[1.0] * 7]),
    "graded": lambda: np.linspace(3.0, 0.5, 8),
    "equal": lambda: np.full(8, 2.0),
}
ATTACKS = [f"attack{i}" for i in range(8)]


def scores(strength: Any, records: int, targets: int, same: float, rng: Any) -> tuple[Any, Any]:
    """Scores [8, T, S] and membership [T, S]; `same`: the correlation over targets, and over
    attacks.
    """
    member = rng.random((targets, records)) < 0.5
    shift = member * (rng.random(records) < 0.25)
    noise = rng.standard_normal((8, targets, records))
    of_record, of_pair = rng.standard_normal(records), rng.standard_normal((targets, records))
    hard = np.sqrt(same / 2) * (of_record + of_pair)
    return np.sqrt(1 - same) * noise + hard + strength[:, None, None] * shift, member


def truth(strength: float) -> dict[str, float]:
    rng = np.random.default_rng(1)
    n = 3_000_000
    inside = rng.standard_normal(n) + strength * (rng.random(n) < 0.25)
    outside = np.sort(rng.standard_normal(n))
    out = {
        low_fpr.tpr_name(fpr): float((inside > outside[int((1 - fpr) * n)]).mean())
        for fpr in low_fpr.RATES
    }
    cuts = np.linspace(-3, 5, 400)
    rates = [1 - np.searchsorted(np.sort(side), cuts) / n for side in (inside, outside)]
    return out | {low_fpr.ADVANTAGE: float((rates[0] - rates[1]).max())}


def main(runs: int, sizes: list[int]) -> None:
    head = "| attacks | correlation | records | targets | measure | true best | mean | covers |"
    print(head + " max mean | max covers | above |\n|" + "---|" * 11)
    for kind, make in KINDS.items():
        strength = make()
        known = {s: truth(s) for s in set(strength.tolist())}
        for records in sizes:
            for targets, same in ((1, 0.5), (4, 0.0), (4, 0.5)):
                for line in setting(strength, known, records, targets, same, runs):
                    print(f"| {kind} | {same:g} | {records} | {targets} | {line}", flush=True)


def setting(
    strength: Any, known: Any, records: int, targets: int, same: float, runs: int
) -> list[str]:
    """A line for each measure that can be had."""
    rng, tally = np.random.default_rng(records + targets), {}
    half = rng.permutation(records) % 2 == 0
    best = known[float(strength.max())]
    for _ in range(runs):
        found, member = scores(strength, records, targets, same, rng)
        on = dict.fromkeys(ATTACKS, np.ones_like(member))
        made = low_fpr.summarise(dict(zip(ATTACKS, found, strict=True)), member, on, half, ATTACKS)
        for measure, most in made.largest.items():
            if (rate := made.attacks[measure]["attack0"]) is None:
                continue
            value = best[measure]
            line = [rate.value, rate.lo <= value <= rate.hi, most.upper < value, np.nan, np.nan]
            if most.rate is not None:
                line[3:] = [most.rate.value, most.rate.lo <= value <= most.rate.hi]
            tally.setdefault(measure, []).append(line)
    lines = []
    for measure, rows in tally.items():
        known = np.array(rows, float)
        if len(known) < runs:  # too few non-members in some of the runs
            continue
        means = known.mean(0)
        most = " | " if np.isnan(means[3]) else f"{means[3]:.4f} | {means[4]:.3f}"
        lines.append(
            f"{measure} | {best[measure]:.4f} | {means[0]:.4f} | {means[1]:.3f} | {most} | "
            f"{means[2]:.4f} |"
        )
    return lines


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=2000)
    options.add_argument("--records", type=int, nargs="*", default=[1437, 4000])
    given = options.parse_args()
    main(given.runs, given.records)
