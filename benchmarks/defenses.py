"""The table of docs/defenses.md, from the results folder of sweeps/all-defenses.yaml.

raymia run sweeps/all-defenses.yaml && python benchmarks/defenses.py results/all-defenses
"""

import sys

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC
from raymia.point.point import strength
from raymia.results.folder import Folder
from raymia.results.row import Row

ATTACKS = ("baseline", "loss", "entropy", "lira", "rmia", "grad_x", "nn")


def _number(row: Row, name: str) -> str:
    value = row.numbers.get(name)
    return "" if value is None else f"{value:.3f}"


def line(row: Row) -> list[str]:
    low, high = (_number(row, end) for end in columns.ends(AUC.column))
    epsilon = row.numbers.get("epsilon")
    named = f"{row.defense} {strength(row.knobs)}"
    named += "" if epsilon is None else f", epsilon {columns.epsilon(epsilon)}"
    return [
        named,
        _number(row, "train_accuracy"),
        _number(row, ACCURACY.column),
        f"{_number(row, AUC.column)} ({low}–{high})",
        *(_number(row, columns.auc(attack)) for attack in ATTACKS),
        row.worst_attack,
        _number(row, columns.MAX_REFERENCE),
        ", ".join(
            f"{share:.0%} {part}.{what}"
            for part, done in columns.did(row.numbers).items()
            for what, share in done.items()
        ),
    ]


def main(folder: str) -> None:
    head = ["defense", "train", "test", "max AUC (95%)", *ATTACKS, "worst", "reference", "did"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in sorted(Folder(folder).rows(), key=lambda row: row.trial):
        print(f"| {' | '.join(line(row) if row.state == 'done' else [row.defense, row.reason])} |")


if __name__ == "__main__":
    main(sys.argv[1])
