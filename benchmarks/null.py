"""Is an attack's number right where the truth is known? Two tables for docs/attacks.md.

Null: eight networks are trained once on other records; then the membership matrix is drawn
again and again by the protocol, and every attack, its shadows and thresholds, and the maxima
are judged on it. The true AUC is 0.5. Attacks that train a network train it anew in every run,
for fewer epochs than by default.

Power: networks learn random labels of noise by heart, each on its own half; all attacks as they
are by default.

    python benchmarks/null.py [null | power] [--runs 400] [--variants] [--only NAME ...]
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from scipy.stats import binom

from raymia.attack.attack import Attack, column, make, traits
from raymia.datasets.digits import Digits
from raymia.defenses.random_crop import RandomCrop
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Choice, Part
from raymia.protocols.coin import Coin
from raymia.records.data import Data
from raymia.records.split import Split
from raymia.signals.queries import QUERIES, Subject
from raymia.signals.view import Signals
from raymia.streams import stream
from raymia.training.defense import Defense, Lesson
from raymia.training.fit import fit
from raymia.training.modules import Normalise
from raymia.training.recipe import Recipe
from raymia.trial import run as trial
from raymia.verdict import low_fpr, maximum

MODELS, TARGETS, RECORDS = 8, 2, 400
# epochs in the null runs
HURRIED = {"nn": 10, "nn_sorted": 15, "nn_fused": 5, "samia": 1, "salem": 20}
DEFAULTS = [
    part
    for part in (Part(name, {}) for name in catalog.names("attacks"))
    if "split_ai" not in traits(part).wants  # nobody is defended here
]
# every choice of every knob, one at a time, and some together
VARIANTS = [
    *(
        Part(part.name, {name: option})
        for part in DEFAULTS
        for name, knob in catalog.knobs(catalog.find("attacks", part.name)).items()
        if isinstance(knob.domain, Choice) and name != "counts"
        for option in knob.domain.options
        if option != knob.default
    ),
    *(
        Part("lira", {"mode": "online", "variance": variance})
        for variance in ("per_example", "shrunken")
    ),
    *(Part("lira", knobs) for knobs in ({"views": 2}, {"views": 18, "mode": "online"})),
    # what `standard` holds beside the defaults
    Part("lira", {"mode": "online", "variance": "bayes"}),
    Part("lira", {"mode": "online", "variance": "shrunken", "centre": "mean"}),
    Part("rmia", {"mode": "online", "trim": 0.2}),
]


def answers(
    data: Data,
    members: Sequence[Any],
    asked: slice,
    training: Training,
    width: int = 64,
    recipe: Defense | None = None,
    needs: Sequence[str] = tuple(name for name in QUERIES if name != "split_ai"),
) -> dict[str, Any]:
    """What attacks ask of networks, each trained on its members, about the `asked` records: [M,
    S, ...].
    """

    def build() -> Any:
        network = catalog.make("networks", "mlp", {"width": width}).build(data.shape, data.classes)
        network.normalise = Normalise(data.mean, data.std, data.shape)
        return network

    x, y = torch.tensor(data.x), torch.tensor(data.y)
    lesson = Lesson(x, y, tuple(members), (np.zeros(0, np.int64),) * len(members), data.classes)
    models = fit(
        Recipe((recipe,) if recipe else ()), build, lesson, training, ("null",), range(len(members))
    )
    rows = []
    for m, model in enumerate(models):
        inside = members[m][(members[m] >= asked.start) & (members[m] < asked.stop)] - asked.start
        # the null: any records will do
        own = inside if len(inside) else np.arange(0, asked.stop - asked.start, 2)
        subject = Subject(model, lambda z: z, x[asked], y[asked], stream("null", m), own)
        rows.append({name: a for need in needs for name, a in QUERIES[need](subject).items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def hurried(part: Part) -> Attack:
    attack: Any = make(part)
    quick: Attack = (
        replace(attack, epochs=HURRIED[part.name], pairs=500) if part.name in HURRIED else attack
    )
    return quick


def judged(
    signals: Signals, attacks: dict[str, Attack], run: int
) -> tuple[list[maximum.Summary], low_fpr.Largest, dict[str, list[Any]]]:
    """What a row would say of these signals, of all attacks and of the defaults alone, the
    largest advantage of all, and the lines of attacks.csv.
    """
    split: Split = signals.split
    scores, common, lines, smaller = {}, {}, {}, {}
    for name, attack in attacks.items():
        verdicts = trial.verdicts(attack, name, signals, range(TARGETS), ("null", run))
        scores[name] = np.stack([v.scores for v in verdicts])
        common[name] = np.stack([v.common for v in verdicts])
        lines[name] = [v.line for v in verdicts]
        if attack.traits().informed:
            smaller[name] = split.judged & ~split.known
    counts = [name for name, attack in attacks.items() if not attack.traits().informed]
    few = {name: score for name, score in scores.items() if "[" not in name}
    on = {name: smaller.get(name, split.judged) for name in scores}
    member = split.member[split.targets]
    advantages = low_fpr.summarise(common, member, on, split.half, counts).largest["advantage"]
    return (
        [
            maximum.summarise(
                some, split.member[split.targets], split.judged, split.half, counts, smaller
            )
            for some in (scores, few)
        ],
        advantages,
        lines,
    )


def null(runs: int, parts: Sequence[Part]) -> None:
    digits = Digits().read()
    others, asked = np.arange(600), slice(600, 600 + RECORDS)
    members = [
        np.sort(stream("null", "rows", m).choice(others, 300, replace=False)) for m in range(MODELS)
    ]
    training = Training(epochs=40, lr=0.1, weight_decay=0.0)
    arrays, labels = answers(digits, members, asked, training), digits.y[asked]
    attacks = {column(part): hurried(part) for part in parts}
    inside = {name: 0 for name in attacks}
    aucs: dict[str, list[float]] = {name: [] for name in attacks}
    balanced: dict[str, list[float]] = {name: [] for name in attacks}
    maxima: tuple[list[maximum.Summary], list[maximum.Summary]] = ([], [])
    advantages: list[Any] = []
    begin = time.process_time()
    for run in range(runs):
        signals = Signals(
            Coin(models=MODELS, targets=TARGETS).draw(RECORDS, run, 0), labels, arrays
        )
        summaries, advantage, lines = judged(signals, attacks, run)
        advantages.append(advantage)
        for name, mean in summaries[0].attacks.items():
            aucs[name].append(mean.rate.value)
            balanced[name].append(
                float(np.mean([line["balanced_accuracy"] for line in lines[name]]))
            )
            rate: Any = mean.rate
            inside[name] += bool(rate.lo <= 0.5 <= rate.hi)
        for found, summary in zip(maxima, summaries, strict=True):
            found.append(summary)
        if run % 50 == 49:
            print(f"... {run + 1} runs, {time.process_time() - begin:.0f} CPU seconds", flush=True)
    low, high = binom.interval(1 - 0.05 / len(attacks), runs, 0.95)
    print(
        "\n| attack | mean AUC | +- | coverage of the 95% interval | mean balanced accuracy "
        "|\n|---|---|---|---|---|"
    )
    for name in attacks:
        a, b = np.array(aucs[name]), np.array(balanced[name])
        outside = "" if low <= inside[name] <= high else " (!)"
        print(
            f"| {name} | {a.mean():.4f} | {error(a):.4f} | {inside[name] / runs:.3f}{outside} | "
            f"{b.mean():.4f} |"
        )
    pooled = sum(inside.values()) / runs / len(attacks)
    print(
        f"\npooled coverage {pooled:.4f}; each attack's band after Bonferroni {low / runs:.3f} to "
        f"{high / runs:.3f}"
    )
    for what, found in zip(("all of these attacks", "the defaults"), maxima, strict=True):
        rates: Any = [summary.max_attack for summary in found]
        values: Any
        print(f"\nthe maximum over {what}, less those that know members")
        for name, values in (
            ("max_attack_auc", [r.value for r in rates]),
            ("plain_max_auc", [s.plain_max_auc for s in found]),
        ):
            print(f"{name}: mean {np.mean(values):.4f} +- {error(np.array(values)):.4f}")
        print(
            "coverage of max_attack_auc's interval "
            f"{np.mean([r.lo <= 0.5 <= r.hi for r in rates]):.3f}"
        )

    found_rates = [one.rate for one in advantages]
    values = np.array([rate.value for rate in found_rates])
    print(
        f"\nadvantage of all: mean {values.mean():.4f} +- {error(values):.4f}, its interval covers "
        f"{np.mean([rate.lo <= 0 <= rate.hi for rate in found_rates]):.3f}"
    )
    print(
        "above the upper end: max AUC "
        f"{np.mean([(s.upper or 1) < 0.5 for s in maxima[0]]):.4f}, advantage "
        f"{np.mean([one.upper < 0 for one in advantages]):.4f}"
    )


def error(values: Any) -> float:
    """Half of the 95% interval of a mean."""
    return float(NormalDist().inv_cdf(0.975) * values.std(ddof=1) / np.sqrt(len(values)))


@dataclass(frozen=True)
class World:
    """Noise with random labels: `records` uniform images of 28x28, learned by networks of
    `width`.
    """

    records: int
    width: int
    training: Training
    recipe: Defense | None = None
    models: int = 4
    classes: int = 20

    def signals(self, needs: Sequence[str]) -> Signals:
        """Raises AssertionError where a network did not learn its members by heart."""
        rng, n = stream("power", self.records), self.records
        noise = rng.random((n, 1, 28, 28), np.float32)
        data = Data(
            "noise",
            noise,
            rng.integers(0, self.classes, n),
            self.classes,
            image=True,
            mean=(0.5,),
            std=(0.289,),
        )
        split = Coin(models=self.models, targets=TARGETS).draw(n, 0, 0)
        members = [split.members(m) for m in range(self.models)]
        arrays = answers(data, members, slice(0, n), self.training, self.width, self.recipe, needs)
        right = arrays["logits"].argmax(-1) == data.y
        inside, outside = right[split.member].mean(), right[~split.member].mean()
        print(
            f"{n} records, accuracy on members {inside:.3f}, on the others {outside:.3f}",
            flush=True,
        )
        assert inside > 0.95
        return Signals(split, data.y, arrays)


WORLD = World(600, 64, Training(epochs=200, lr=0.1, weight_decay=0.0), models=MODELS)
# a tenth of the records is known to it: 48 of 600 are too few for a network of a million weights
MORE = World(4000, 128, Training(epochs=60, lr=0.02, weight_decay=0.0), classes=10)
# which asks about shifted images: they must have been learned, too
SHIFTED = World(160, 512, Training(epochs=2000, lr=0.05, weight_decay=0.0), RandomCrop(4))


def power(parts: Sequence[Part]) -> None:
    print("\n| attack | AUC | CPU seconds |\n|---|---|---|")
    apart = {
        "nn_fused": (MORE, ("logits",)),
        "augmentation": (SHIFTED, ("logits", "augmented_right")),
    }
    if shared := [part for part in parts if part.name not in apart]:
        asked = {need for part in shared for need in traits(part).needs}
        seen(WORLD, shared, [need for need in QUERIES if need in asked])
    for part in parts:
        if part.name in apart:
            world, needs = apart[part.name]
            seen(world, [part], needs)


def seen(world: World, parts: Sequence[Part], needs: Sequence[str]) -> None:
    signals = world.signals(needs)
    for part in parts:
        begin = time.process_time()
        verdicts = trial.verdicts(make(part), column(part), signals, range(TARGETS), ("power",))
        value = float(np.mean([v.line["auc"] for v in verdicts]))
        notes = " ".join(v.note for v in verdicts)
        print(
            f"| {column(part)} | {value:.3f} | {time.process_time() - begin:.2f} | {notes}",
            flush=True,
        )


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("table", nargs="?", choices=("null", "power"))
    options.add_argument("--runs", type=int, default=400)
    options.add_argument("--variants", action="store_true", help="the attacks' other choices, too")
    options.add_argument(
        "--only", nargs="+", choices=catalog.names("attacks"), help="these attacks"
    )
    torch.set_num_threads(1)
    given = options.parse_args()

    def chosen(parts: Sequence[Part]) -> list[Part]:
        return [part for part in parts if not given.only or part.name in given.only]

    if given.table != "null":
        power(chosen(DEFAULTS))
    if given.table != "power":
        null(given.runs, chosen(DEFAULTS + VARIANTS * given.variants))
