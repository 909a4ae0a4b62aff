"""How often the intervals of TPR at low FPR, of the advantage and of their maxima hold the
truth: tables for docs/attacks.md.

    python benchmarks/low_fpr.py [alone | maximum] [--full] [--runs 1000] [--processes 2]

Scores are normal. A quarter of the records is memorised: where they are members, an attack shifts
them by its strength s. The scores of one record are correlated over targets, and over attacks.
TPR = 3/4 FPR + 1/4 Phi(s - z), z the normal quantile of 1 - FPR; the advantage is that of the
threshold s/2, 1/4 (2 Phi(s/2) - 1).

`covers`: how often an interval holds the truth (nominal 0.95, to within 0.007 of 1,000 runs);
`below`, `above`: how often the truth lies below its lower and above its upper end. Of the maximum
over eight attacks, `upper`: how often the true one lies above the end that a gate goes by, nominal
0.025. Two minutes on two cores; `--full` is hours.
"""

import argparse
import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from raymia.streams import stream
from raymia.verdict import low_fpr, metrics

MEMORISED = 0.25
ALONE = {"null": [0.0], "weak": [0.7], "medium": [2.0], "strong": [3.0]}
EIGHT = {
    "one best": [2.5, *[1.0] * 7],
    "equal": [2.0] * 8,
    "graded": np.linspace(3.0, 0.5, 8).tolist(),
    "null eight": [0.0] * 8,
}
# records, targets, correlation: the last has the 10,000 non-members of an FPR of 0.001
FEW = [(1437, 4, 0.5)]
RARE = (5200, 4, 0.5)
MANY = [
    (records, targets, same)
    for records, targets in itertools.product((1437, 4000, 8000), (1, 2, 3, 4))
    for same in ((0.0, 0.5) if targets > 1 else (0.0,))
]


class Setting(NamedTuple):
    """What is drawn, and how often."""

    kind: str
    records: int
    targets: int
    same: float
    runs: int


def scores(strengths: Any, setting: Setting, rng: Any) -> tuple[Any, Any]:
    """Scores [K, T, S] and membership [T, S]; two scores of one record have the correlation
    `same`, whatever the target and the attack.
    """
    member = rng.random((setting.targets, setting.records)) < 0.5
    shift = member & (rng.random(setting.records) < MEMORISED)
    own = rng.standard_normal((len(strengths), *member.shape))
    hard = np.sqrt(setting.same) * rng.standard_normal(setting.records)
    found = np.sqrt(1 - setting.same) * own + hard
    return found + np.asarray(strengths)[:, None, None] * shift, member


def truth(strength: float) -> dict[str, float]:
    normal = NormalDist()
    return {
        low_fpr.tpr_name(fpr): (1 - MEMORISED) * fpr
        + MEMORISED * normal.cdf(strength - normal.inv_cdf(1 - fpr))
        for fpr in metrics.RATES
    } | {low_fpr.ADVANTAGE: MEMORISED * (2 * normal.cdf(strength / 2) - 1)}


def held(rate: Any, value: float) -> list[float]:
    return [rate.value, rate.lo <= value <= rate.hi, value < rate.lo, value > rate.hi]


def measured(setting: Setting) -> list[str]:
    """A line for each measure that all runs could say: of the one attack, or of the maximum."""
    strengths = (ALONE | EIGHT)[setting.kind]
    best, rng = truth(max(strengths)), stream("low_fpr", *setting)
    half = rng.permutation(setting.records) % 2 == 0
    rows: dict[str, list[list[float]]] = {measure: [] for measure in best}
    for _ in range(setting.runs):
        found, member = scores(strengths, setting, rng)
        named = {f"attack{i}": score for i, score in enumerate(found)}
        on = dict.fromkeys(named, np.ones_like(member))
        counts = list(named) if len(named) > 1 else []
        made = low_fpr.summarise(named, member, on, half, counts)
        for measure, value in best.items():
            most = made.largest[measure]
            rate = most.rate if counts else made.attacks[measure]["attack0"]
            if rate is not None:
                upper = [float(most.upper < value)] if most.upper is not None else []
                rows[measure].append(held(rate, value) + upper)
    lines = []
    for measure, row in rows.items():
        if len(row) == setting.runs:
            mean, *shares = np.array(row, float).mean(0)
            cells = [*map(str, setting[:4]), measure, f"{best[measure]:.4f}", f"{mean:.4f}"]
            lines.append(f"| {' | '.join(cells + [f'{share:.3f}' for share in shares])} |")
    return lines


def settings(table: str, full: bool, runs: int) -> Iterator[Setting]:
    if table == "alone":
        kinds, where = list(ALONE)[: None if full else 3], [*MANY, RARE] if full else FEW
        rare = [] if full else [("medium", RARE)]
    else:
        kinds = list(EIGHT) if full else ["one best", "equal"]
        # 10,000 non-members on each half
        where = [*MANY, (10_400, 4, 0.5)] if full else [(1500, 3, 0.5)]
        rare = []
    for kind, (records, targets, same) in [*rare, *itertools.product(kinds, where)]:
        yield Setting(kind, records, targets, same, runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", nargs="?", choices=("alone", "maximum"))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    for table in ("alone", "maximum") if given.table is None else (given.table,):
        head = "attacks | records | targets | correlation | measure | truth | mean | covers | below"
        head += " | above" + " | upper" * (table == "maximum")
        print(f"\n| {head} |\n|{'---|' * (head.count('|') + 1)}")
        with ProcessPoolExecutor(given.processes) as pool:
            for lines in pool.map(measured, settings(table, given.full, given.runs)):
                print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
