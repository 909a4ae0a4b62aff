"""Is an attack's number right where the truth is known? Two tables for docs/attacks.md.

Null: eight networks are trained once on other records; then the membership matrix is drawn again and again by the protocol,
and every attack, its shadows and thresholds, and the maxima are judged on it. The true AUC is 0.5. Attacks that train a network
train it anew in every run, for fewer epochs than by default.

Power: eight networks learn random labels by heart, each on its own half; all attacks as they are by default.

    python benchmarks/null.py [--runs 400]
"""

import argparse
import time
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from scipy.stats import binom

from raymia import catalog, metrics, trial
from raymia.attack import Attack
from raymia.data import Data
from raymia.datasets.digits import Digits
from raymia.defense import Lesson, Recipe
from raymia.modules import Normalise
from raymia.protocols.coin import Coin
from raymia.queries import QUERIES, Subject
from raymia.schedule import Training
from raymia.signals import Signals
from raymia.split import Split
from raymia.streams import stream
from raymia.training import fit

MODELS, TARGETS, RECORDS = 8, 2, 400
ATTACKS: dict[str, Attack] = {name: catalog.make("attacks", name, {}) for name in catalog.names("attacks")}
HURRIED = {"nn": 10, "nn_sorted": 15, "nn_fused": 5, "samia": 1, "salem": 20}  # epochs in the null runs


def answers(data: Data, members: list[Any], asked: slice, epochs: int) -> dict[str, Any]:
    """Everything that attacks ask of eight networks, each trained on its members, about the `asked` records: [M, S, ...]."""

    def build() -> Any:
        network = catalog.make("networks", "mlp", {"width": 64}).build(data.shape, data.classes)
        network.normalise = Normalise(data.mean, data.std, len(data.shape))
        return network

    x, y = torch.tensor(data.x), torch.tensor(data.y)
    lesson = Lesson(x, y, tuple(members), (np.zeros(0, np.int64),) * len(members), data.classes)
    models = fit(Recipe(), build, lesson, Training(epochs=epochs, lr=0.1, weight_decay=0.0), ("null",), range(len(members)))
    rows = []
    for m, model in enumerate(models):
        inside = members[m][(members[m] >= asked.start) & (members[m] < asked.stop)] - asked.start
        own = inside if len(inside) else np.arange(0, asked.stop - asked.start, 2)  # the null: any records will do
        subject = Subject(model, lambda z: z, x[asked], y[asked], stream("null", m), own)
        rows.append({name: a for ask in QUERIES.values() for name, a in ask(subject).items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def hurried(name: str) -> Attack:
    attack: Any = ATTACKS[name]
    return replace(attack, epochs=HURRIED[name], pairs=500) if name in HURRIED else attack


def judged(signals: Signals, attacks: dict[str, Attack], run: int) -> tuple[metrics.Summary, dict[str, list[Any]]]:
    """What a row would say of these signals, and the lines of attacks.csv."""
    split: Split = signals.split
    scores, lines, smaller = {}, {}, {}
    for name, attack in attacks.items():
        verdicts = trial.verdicts(attack, name, signals, range(TARGETS), ("null", run))
        scores[name] = np.stack([v.scores for v in verdicts])
        lines[name] = [v.line for v in verdicts]
        if attack.knows:
            smaller[name] = split.judged & ~split.known
    counts = [name for name, attack in attacks.items() if not attack.knows]
    return metrics.summarise(scores, split.member[split.targets], split.judged, split.half, counts, smaller), lines


def null(runs: int) -> None:
    digits = Digits().read()
    others, asked = np.arange(600), slice(600, 600 + RECORDS)
    members = [np.sort(stream("null", "rows", m).choice(others, 300, replace=False)) for m in range(MODELS)]
    arrays, labels = answers(digits, members, asked, 40), digits.y[asked]
    attacks = {name: hurried(name) for name in ATTACKS}
    inside = {name: 0 for name in attacks}
    aucs: dict[str, list[float]] = {name: [] for name in attacks}
    balanced: dict[str, list[float]] = {name: [] for name in attacks}
    crossed, plain, held = [], [], 0
    for run in range(runs):
        signals = Signals(Coin(models=MODELS, targets=TARGETS).draw(RECORDS, run, 0), labels, arrays)
        summary, lines = judged(signals, attacks, run)
        for name, mean in summary.attacks.items():
            aucs[name].append(mean.rate.value)
            balanced[name].append(float(np.mean([line["balanced_accuracy"] for line in lines[name]])))
            inside[name] += bool(mean.rate.lo <= 0.5 <= mean.rate.hi)
        crossed.append(summary.max_attack.value)
        held += bool(summary.max_attack.lo <= 0.5 <= summary.max_attack.hi)
        plain.append(summary.plain_max_auc)
        if run % 50 == 49:
            print(f"... {run + 1} runs", flush=True)
    low, high = binom.interval(1 - 0.05 / len(attacks), runs, 0.95)
    print("\n| attack | mean AUC | +- | coverage of the 95% interval | mean balanced accuracy |\n|---|---|---|---|---|")
    for name in attacks:
        a, b = np.array(aucs[name]), np.array(balanced[name])
        outside = "" if low <= inside[name] <= high else " (!)"
        print(f"| {name} | {a.mean():.4f} | {error(a):.4f} | {inside[name] / runs:.3f}{outside} | {b.mean():.4f} |")
    pooled = sum(inside.values()) / runs / len(attacks)
    print(f"\npooled coverage {pooled:.4f}; each attack's band after Bonferroni {low / runs:.3f} to {high / runs:.3f}")
    for name, values in (("max_attack_auc (cross-fitted)", crossed), ("plain_max_auc", plain)):
        print(f"{name}: mean {np.mean(values):.4f} +- {error(np.array(values)):.4f}")
    print(f"coverage of max_attack_auc's interval {held / runs:.3f}")


def error(values: Any) -> float:
    """Half of the 95% interval of a mean."""
    return float(NormalDist().inv_cdf(0.975) * values.std(ddof=1) / np.sqrt(len(values)))


def power() -> None:
    digits = Digits().read()
    rng = stream("power")
    data = Data("noise", digits.x[:600], rng.integers(0, 10, 600), 10, image=True, mean=digits.mean, std=digits.std)
    split = Coin(models=MODELS, targets=TARGETS).draw(600, 0, 0)
    arrays = answers(data, [split.members(m) for m in range(MODELS)], slice(0, 600), 400)
    right = arrays["logits"].argmax(-1) == data.y
    print(f"\naccuracy on members {right[split.member].mean():.3f}, on the others {right[~split.member].mean():.3f}")
    print("\n| attack | AUC | seconds |\n|---|---|---|")
    for name, attack in ATTACKS.items():
        begin = time.process_time()
        verdicts = trial.verdicts(attack, name, Signals(split, data.y, arrays), range(TARGETS), ("power",))
        value = float(np.mean([v.line["auc"] for v in verdicts]))
        print(f"| {name} | {value:.3f} | {time.process_time() - begin:.2f} | {' '.join(v.note for v in verdicts)}", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=400)
    torch.set_num_threads(1)
    power()
    null(options.parse_args().runs)
