"""What the lower bounds of epsilon find where the truth is known, and how often they are above
it: tables for docs/attacks.md.

python benchmarks/epsilon.py
"""

import time

import numpy as np

from raymia.verdict import audit

DELTA = 1e-5
EACH = 1000  # members, and as many others


def gaussian(mu: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng, member = np.random.default_rng(seed), np.arange(2 * EACH) < EACH
    return rng.standard_normal(2 * EACH) + mu * member, member


def response(epsilon: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Randomised response, with noise that breaks its ties."""
    rng = np.random.default_rng(seed)
    member = rng.random(2 * EACH) < 0.5
    true = rng.random(2 * EACH) < 1 / (1 + np.exp(-epsilon))
    return np.where(true, member, ~member) + 1e-6 * rng.random(2 * EACH), member


def main() -> None:
    names = list(audit.bounds(*gaussian(1.0, 0), DELTA))
    print(f"| mechanism | true epsilon | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
    for mu in (0.5, 1.0, 2.0, 4.0):
        found = [audit.bounds(*gaussian(mu, seed), DELTA) for seed in range(8)]
        medians = [f"{np.median([one[name] for one in found]):.2f}" for name in names]
        true = audit.epsilon_of_mu(mu, DELTA)
        print(f"| Gaussian, mu {mu:g} | {true:.2f} | {' | '.join(medians)} |", flush=True)
    print("\nshare of 300 runs in which a bound is above the truth\n")
    for what, true, mu, draw in (
        ("randomised response", 1.0, np.inf, response),
        ("Gaussian, mu 1", audit.epsilon_of_mu(1.0, DELTA), 1.0, gaussian),
    ):
        found = [audit.bounds(*draw(1.0, seed), DELTA) for seed in range(1000, 1300)]
        above = []
        for name in names:
            most = mu if name == "gdp_mu_lower" else true
            above.append(f"{np.mean([(one[name] or 0.0) > most for one in found]):.3f}")
        print(f"| {what} | {true:.2f} | {' | '.join(above)} |", flush=True)
    begin = time.process_time()
    rng = np.random.default_rng(0)
    member = rng.random(60_000) < 0.5
    audit.bounds(rng.standard_normal(60_000) + member, member, DELTA)
    print(f"\n60,000 records: {time.process_time() - begin:.1f} CPU s")


if __name__ == "__main__":
    main()
