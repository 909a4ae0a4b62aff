"""What `attacks: standard` finds, by defense, beside `all` and everything that the same shadows
allow, and what it costs: the table of docs/attacks.md.

python benchmarks/standard.py

All 1,797 digits, a quarter of the labels replaced by random ones (so that something is
memorised), mlp of width 64, 4 targets (1 of halves); mean AUC over targets. `everything`: `all`,
and every form of LiRA, RMIA and the attacks that can rank within classes.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from raymia.attack.attack import column, inapplicable
from raymia.point import catalog
from raymia.point.space import Part
from raymia.records.data import load
from raymia.study import sweep
from raymia.trial import run as trial

TEXT = """
name: standard
dataset: digits
network: {{mlp: {{width: 64}}}}
protocol: {protocol}
defenses: [[{defense}]]
attacks: {attacks}
training: {{lanes: 8}}
"""
COIN = "{{coin: {{models: {}, targets: 4, reserve: 0.2}}}}"
WORLDS = (
    ("", "34", COIN.format(34)),
    ("", "18", COIN.format(18)),
    ("", "8", COIN.format(8)),
    ("relaxloss: {alpha: 0.5}", "18", COIN.format(18)),
    ("label_smoothing: {epsilon: 0.5}", "18", COIN.format(18)),
    ("confidence_penalty: {alpha: 2.5}", "18", COIN.format(18)),
    ("mixup: {alpha: 2.05}", "18", COIN.format(18)),
    ("", "halves", "halves"),
)
FORMS = [
    *(
        Part("lira", {"mode": mode, "variance": variance, "centre": centre})
        for mode, variance, centre in itertools.product(
            ("offline", "online"),
            ("fixed", "per_example", "shrunken", "bayes"),
            ("median", "mean"),
        )
    ),
    *(Part("rmia", {"a": a}) for a in (0.0, 0.3, 0.6, 1.0)),
    *(Part("rmia", {"mode": "online", "trim": trim}) for trim in (0.0, 0.2)),
    Part("rmia", {"likelihood": "taylor"}),
    *(
        Part(name, {"per_class": True})
        for name in ("loss", "probability", "confidence", "entropy", "modified_entropy")
    ),
]
# what `standard` did not hold before
NEW = ("ensemble", "quantile", "lira[variance=bayes]", "lira[mode=online,variance=bayes]")


def main() -> None:
    head = "| defense | models | LiRA | online LiRA | online RMIA | ensemble | best of `standard` |"
    print(head + " best of `all` | best of everything | which | max | upper | new, s a target |")
    print("|" + "---|" * 13)
    for defense, models, protocol in WORLDS:
        row, spent, named = found(defense, protocol)
        aucs = {n: v for n in named["everything"] if (v := row.numbers.get(f"auc.{n}"))}
        best = {what: max(aucs[n] for n in names if n in aucs) for what, names in named.items()}
        strongest = max(aucs, key=lambda name: aucs[name])
        columns = (
            "lira",
            "lira[mode=online,variance=shrunken,centre=mean]",
            "rmia[mode=online,trim=0.2]",
            "ensemble",
        )
        cells = [
            defense or "none",
            models,
            *(f"{aucs[name]:.3f}" if name in aucs else "" for name in columns),
            *(f"{best[what]:.3f}" for what in ("standard", "all", "everything")),
            f"`{strongest}`",
            f"{row.numbers['max_attack_auc']:.3f}",
            f"{row.numbers['max_attack_auc_upper']:.3f}",
            f"{sum(spent[name] for name in NEW) / row.targets:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def found(defense: str, protocol: str) -> tuple[Any, Counter[str], dict[str, list[str]]]:
    """The row of a trial of everything, CPU seconds by column, and which columns are whose."""
    asked = {
        what: sweep.parse(TEXT.format(protocol=protocol, defense=defense, attacks=what))
        for what in ("standard", "all")
    }
    file = asked["all"]
    offers = catalog.made("protocols", file.protocol).offers | {"white_box"}
    every = [*file.attacks, *(part for part in FORMS if not inapplicable(part, offers))]
    every = list({column(part): part for part in every}.values())
    named = {what: [column(part) for part in one.attacks] for what, one in asked.items()}
    named["everything"] = [column(part) for part in every]
    data, draw = load(file.dataset, 0), np.random.default_rng(0)
    wrong, y = draw.random(len(data)) < 0.25, data.y.copy()
    y[wrong] = draw.integers(0, 10, wrong.sum())
    data = replace(data, y=y)
    spent: Counter[str] = Counter()

    def timed(judge: Any, calls: Iterable[trial.Call]) -> Iterable[Any]:
        for call in calls:
            begin = time.process_time()
            yield judge(call)
            spent[call.column] += time.process_time() - begin

    point = replace(file.point(0, file.default(0), 0, data), attacks=tuple(every))
    counted = asked["standard"].point(0, file.default(0), 0, data)
    row = trial.run(point, data, map=timed)
    alone = trial.run(counted, data)
    maxima = {name: alone.numbers[name] for name in ("max_attack_auc", "max_attack_auc_upper")}
    return replace(row, numbers={**row.numbers, **maxima}), spent, named


if __name__ == "__main__":
    main()
