"""How often the true maximum lies above `max_attack_auc_upper`: the table of docs/attacks.md.

python benchmarks/upper.py [--runs 2000] [--records 400 4000] [--processes 2] > table.md

Scores are normal, of K attacks on T targets, correlated between attacks; an attack's true AUC is
Phi(d / sqrt(2)). `row`: one trial's upper end; `confirm`: that over 5 fresh draws, by t. The slack
is how far the upper end lies above that of the best attack alone.
"""

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from scipy.stats import norm

from raymia.verdict import maximum, metrics

ATTACKS = 8
KINDS = {
    "one weak best": np.array([0.15, *[0.0] * (ATTACKS - 1)]),
    "graded": np.linspace(0.5, 0.0, ATTACKS),
    "equal": np.full(ATTACKS, 0.36),
}
SETTINGS = list(itertools.product(KINDS, (0.0, 0.5), (400, 4000), (1, 4), ("row", "confirm of 5")))


def _counting(score: Any, member: Any) -> float:
    """The AUC without scikit-learn, which takes ten times as long; the tests hold them equal."""
    return maximum._mean_area(score[None], member[None], np.ones((1, len(score)), bool))


def ends(rng: Any, gap: Any, shared: float, records: int, targets: int) -> Any:
    """(AUC, upper end) of each attack [K, 2], from one draw."""
    member = rng.random((targets, records)) < 0.5
    common = np.sqrt(shared) * rng.standard_normal((targets, records))
    out = []
    for d in gap:
        own = np.sqrt(1 - shared) * rng.standard_normal((targets, records))
        pooled = maximum._pool("", d * member + common + own, member, np.ones_like(member))
        rate = maximum._mean(pooled).rate
        out.append((rate.value, rate.hi))
    return np.array(out)


def measured(setting: tuple[str, float, int, int, str], runs: int) -> list[str]:
    metrics.auc = maximum.auc = _counting  # type: ignore[assignment]
    kind, shared, records, targets, how = setting
    gap, rng = KINDS[kind], np.random.default_rng(SETTINGS.index(setting))
    truth, missed, slack = norm.cdf(gap.max() / np.sqrt(2)), 0, 0.0
    for _ in range(runs):
        if how == "row":
            upper = ends(rng, gap, shared, records, targets)[:, 1]
        else:
            draws = np.stack([ends(rng, gap, shared, records, targets)[:, 0] for _ in range(5)])
            upper = np.array([metrics.spread_interval(of)[1] for of in draws.T])  # type: ignore[index]
        largest = maximum.largest_upper(upper.tolist())
        assert largest is not None
        missed += largest < truth
        slack += largest - upper[int(gap.argmax())]
    return [kind, f"{shared:g}", f"{records}", f"{targets}", how, f"{truth:.3f}"] + [
        f"{missed / runs:.4f}",
        f"{slack / runs:.4f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--records", type=int, nargs="*", default=[400, 4000])
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    head = ["attacks", "correlation", "records", "targets", "of", "true max", "above", "slack"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    with ProcessPoolExecutor(asked.processes) as pool:
        settings = [setting for setting in SETTINGS if setting[2] in asked.records]
        for line in pool.map(measured, settings, itertools.repeat(asked.runs)):
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
