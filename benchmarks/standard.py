"""What `attacks: standard` finds, by defense, and what it found without the online forms: the
table of docs/attacks.md.

python benchmarks/standard.py > table.md

All 1,797 digits, a quarter of the labels replaced by random ones (so that something is
memorised), mlp of width 64, protocol coin, 4 targets; mean AUC over targets.
"""

from dataclasses import replace

import numpy as np

from raymia.attack.attack import column
from raymia.records.data import load
from raymia.study import sweep
from raymia.trial import run as trial

TEXT = """
name: standard
dataset: digits
network: {{mlp: {{width: 64}}}}
protocol: {{coin: {{models: {models}, targets: 4, reserve: 0.2}}}}
defenses: [[{defense}]]
attacks: {attacks}
training: {{lanes: 8}}
"""
WORLDS = (
    ("", 18),
    ("", 8),
    ("relaxloss: {alpha: 0.5}", 18),
    ("label_smoothing: {epsilon: 0.5}", 18),
    ("confidence_penalty: {alpha: 2.5}", 18),
    ("mixup: {alpha: 2.05}", 18),
)
ONLINE = ("lira[mode=online,variance=shrunken,centre=mean]", "rmia[mode=online,trim=0.2]")
FIXED = "rmia[a=0.3]"  # as it was


def main() -> None:
    head = ["defense", "models", "without", "lira online", "rmia online", "rmia", "max", "upper"]
    print(f"| {' | '.join([*head, 's a target'])} |\n|{'---|' * (len(head) + 1)}")
    for defense, models in WORLDS:
        file = sweep.parse(TEXT.format(models=models, defense=defense, attacks="standard"))
        data, draw = load(file.dataset, 0), np.random.default_rng(0)
        wrong, y = draw.random(len(data)) < 0.25, data.y.copy()
        y[wrong] = draw.integers(0, 10, wrong.sum())
        data = replace(data, y=y)
        point = file.point(0, file.default(0), 0, data)
        fixed = sweep.parse(
            TEXT.format(models=models, defense=defense, attacks="[rmia: {a: 0.3}]")
        ).attacks
        row = trial.run(replace(point, attacks=(*point.attacks, *fixed)), data)
        spent = row.timing["attack"] / 4
        found = {column(part): row.numbers[f"auc.{column(part)}"] or 0.0 for part in point.attacks}
        before = [v for name, v in found.items() if name not in (*ONLINE, "rmia")]
        before.append(row.numbers[f"auc.{FIXED}"] or 0.0)
        cells = [
            defense or "none",
            f"{models}",
            f"{max(before):.3f}",
            *(f"{found[name]:.3f}" for name in (*ONLINE, "rmia")),
            f"{row.numbers['max_attack_auc']:.3f}",
            f"{row.numbers['max_attack_auc_upper']:.3f}",
            f"{spent:.1f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
