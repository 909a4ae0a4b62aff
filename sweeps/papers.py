"""Writes sweeps/papers/*.yaml and docs/papers.md: the tables and figures of five papers, each as a
sweep with the published numbers beside it.

    python sweeps/papers.py

The numbers are in raymia's units: fractions, and an advantage is TPR - FPR (Li et al. print half
of it, accuracy - 0.5). What was run stands in docs/published/<sweep>.json, written by
`raymia compare DIR --json`, and a further run of another size in <sweep>.<size>.json; the table in
docs/papers.md is made of those files.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from raymia.point import catalog
from raymia.study import sweep as sweeps
from raymia.study.continues import changed
from raymia.study.sweep import Sweep

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
EFFECTIVE = 60e12  # FLOP a second that a GPU of today is taken to reach on large convolutions

Knobs = Mapping[str, Any]
Arm = tuple[dict[str, Any], ...]


def spread(low: float, high: float, log: bool = False) -> dict[str, Any]:
    """A range, for a strength that no paper gives."""
    return {"low": low, "high": high} | ({"log": True} if log else {})


def part(name: str, **knobs: Any) -> dict[str, Any]:
    return {name: knobs}


@dataclass(frozen=True)
class Entry:
    """One sweep. `shows`: the tables and figures that its results fill, with what reads them.
    `rows`: the published numbers by arm.
    """

    name: str
    shows: Sequence[str]
    source: str
    dataset: Any
    network: Any
    protocol: Any
    arms: Sequence[Arm]
    attacks: Sequence[Any]
    training: Knobs
    rows: Sequence[Knobs] = ()
    search: Knobs | None = None
    said: Sequence[str] = ()

    def body(self) -> dict[str, Any]:
        """The sweep file as a mapping, the published numbers apart."""
        free = sum("low" in str(arm) for arm in self.arms)
        return {
            "name": self.name,
            "dataset": self.dataset,
            "network": self.network,
            "protocol": self.protocol,
            "defenses": [list(arm) for arm in self.arms],
            "attacks": list(self.attacks),
            "training": dict(self.training),
            "search": {"trials": len(self.arms) + 4 * free, **(self.search or {})},
            "resources": {"gpu": 1},
        }

    @property
    def published(self) -> dict[str, Any]:
        return {"source": self.source, "rows": list(self.rows)} if self.rows else {}


# ---- SRCM and CRL: one half of the records for the target, the other for five shadows

CIFAR10, CIFAR100 = {"cifar10": {"root": "data"}}, {"cifar100": {"root": "data"}}
SVHN = {"svhn": {"root": "data"}}
PURCHASE = {"purchase100": {"path": "data/dataset_purchase.tgz"}}
HALVES = {"halves": {"shadows": 5, "reserve": 0.0}}
FOUR = ["baseline", "nn", "entropy", "modified_entropy", "grad_x"]
MEASURES = ("train_accuracy", "test_accuracy", "auc.nn", "auc.entropy", "auc.modified_entropy")
ALL = (*MEASURES, "auc.grad_x")
RAW = {"mean": [0.0], "std": [1.0]}  # pixels as they are

RELAX = part("relaxloss", alpha=spread(0.05, 2.0, log=True))
ADVREG = part("advreg", alpha=spread(0.1, 10.0, log=True), share=0.1)
CRL = part("crl", lam=spread(0.05, 1.0, log=True), alpha_rce=spread(0.05, 1.5))
PENALTY = part("confidence_penalty", alpha=spread(0.05, 5.0, log=True))
SMOOTH = part("label_smoothing", epsilon=spread(0.01, 0.9, log=True))
EARLY = part("early_stopping", fraction=spread(0.05, 0.9, log=True))


def srcm(classes: int) -> dict[str, Any]:
    """With 10 classes a radius of 3 to 25 spans no confidence to all of it, with 100 20 to 110."""
    return part("srcm", r1=spread(3.0, 25.0) if classes == 10 else spread(20.0, 110.0), d=1.0)


def steps(epochs: int, lr: float, *milestones: tuple[float, float], **more: Any) -> dict[str, Any]:
    """`lr`, and what it is multiplied by from an epoch on."""
    pairs = [list(pair) for pair in milestones]
    common = {"epochs": epochs, "batch_size": 256, "lr": lr, "weight_decay": 5e-4}
    return common | {"milestones": pairs} | more


CROPPED = {"augment": "crop_flip_shared"}  # of CIFAR-100 alone, one draw a batch as in the code
JEK = {  # section C of the papers' code: epochs, first rate, factors
    ("cifar10", "resnet18"): steps(100, 0.01, (50, 0.1), (80, 0.01)),
    ("cifar100", "resnet18"): steps(100, 0.01, (1, 10), (50, 1), (80, 0.1), **CROPPED),
    ("cifar10", "vgg11"): steps(120, 0.05, (50, 0.2), (80, 0.1), (100, 0.02)),
    ("cifar100", "vgg11"): steps(120, 0.1, (50, 0.5), (80, 0.1), (100, 0.01), **CROPPED),
    ("cifar10", "mobilenetv3_large"): steps(100, 0.01, (1, 10), (50, 1), (80, 0.1)),
    ("cifar100", "mobilenetv3_large"): steps(150, 0.01, (1, 10), (80, 1), (130, 0.1), **CROPPED),
    ("cifar100", "googlenet"): steps(80, 0.1, (40, 0.1), (60, 0.01), **CROPPED),
    ("cifar10", "densenet"): steps(50, 0.1, (20, 0.1), (40, 0.01), batch_size=32),
    ("cifar100", "densenet"): steps(
        100, 0.1, (40, 0.1), (70, 0.01), (90, 0.001), batch_size=32, **CROPPED
    ),
    ("svhn", "vgg11"): steps(40, 0.1, (10, 0.1), (30, 0.01), scale=RAW),
    ("svhn", "resnet18"): steps(40, 0.1, (10, 0.1), (30, 0.01), scale=RAW),
}
SETS = {"cifar10": CIFAR10, "cifar100": CIFAR100, "svhn": SVHN}
CLASSES = {"cifar10": 10, "cifar100": 100, "svhn": 10}
LONGER = part("training", epochs=120, milestones="1 10, 70 1, 100 0.1")  # SRCM's on CIFAR-100
DENSE = {"densenet_bc": {"depth": 121}}

SRCM_TABLE = {
    ("cifar10", "mobilenetv3_large"): """
        100.00 74.83 80.26 72.53 73.62 73.52 | 82.13 62.51 62.76 54.19 60.67 60.37
        79.84 71.43 59.80 55.77 57.56 58.92 | 100.00 74.63 77.10 70.32 71.78 71.74
        84.44 73.58 60.33 56.40 58.08 58.69""",
    ("cifar100", "mobilenetv3_large"): """
        93.98 54.48 75.57 64.94 72.40 72.21 | 94.70 50.70 77.88 66.58 75.60 75.29
        83.40 54.47 69.54 60.32 67.60 68.08 | 91.91 54.39 71.41 63.14 71.06 70.64
        83.97 54.71 67.61 58.45 66.49 67.74""",
    ("cifar10", "resnet18"): """
        100.00 70.31 88.09 85.91 86.44 86.31 | 99.95 61.89 81.58 74.99 78.74 77.57
        91.56 69.25 77.32 71.51 72.25 73.50 | 100.00 71.43 80.35 82.17 82.78 82.67
        92.00 70.52 74.28 69.77 70.53 71.89""",
    ("cifar100", "resnet18"): """
        100.00 58.06 86.88 82.96 84.04 84.20 | 94.24 47.94 76.11 72.36 81.45 72.06
        91.78 57.97 78.22 73.04 75.38 76.13 | 92.86 57.91 50.00 71.65 73.38 77.05
        92.22 58.58 58.84 61.48 70.38 76.89""",
    ("cifar10", "vgg11"): """
        100.00 76.46 76.31 74.15 74.90 75.33 | 99.28 69.52 72.43 64.96 69.22 69.84
        94.44 75.88 69.64 66.87 66.87 68.12 | 100.00 75.69 57.09 72.96 73.37 74.35
        95.70 75.07 61.46 66.14 66.62 67.66""",
    ("cifar100", "vgg11"): """
        99.97 53.75 85.18 81.67 83.08 83.46 | 99.91 50.08 89.20 87.11 89.19 77.00
        91.77 53.42 76.94 72.27 76.08 76.03 | 98.81 53.67 82.90 76.95 80.37 81.52
        89.55 52.79 75.16 69.81 73.07 75.29""",
}
SRCM_NOTES = {  # (data, network, arm) -> what contradicts the number
    ("cifar10", "resnet18", 1): "CRL's table 1a has 97.57, 54.97, 77.54, 71.10, 79.28, 70.70",
    ("cifar100", "resnet18", 1): "CRL's table 1b has 99.43, 48.98, 86.99, 79.87, 85.35, 80.03",
    ("cifar100", "resnet18", 2): "CRL's table 1b has another alpha: 77.46, 55.28, 69.87, 63.52",
    ("cifar10", "vgg11", 2): "CRL's table 1a has another alpha: 73.00, 64.15, 64.54, 56.89",
    ("cifar100", "resnet18", 3): "an NN attack of 50.00 beside grad-x of 77.05 did not learn",
}
CRL_TABLE = {
    ("cifar10", "vgg11"): """
        100.00 0.00 76.46 0.30 76.31 0.24 74.16 0.26 74.90 0.25 75.33 0.26
        99.29 0.31 69.52 0.64 72.44 0.96 64.96 1.12 69.23 1.19 69.84 1.61
        73.00 3.71 64.15 3.02 64.54 0.77 56.89 0.90 60.78 0.68 66.22 0.67
        89.37 0.26 73.69 0.36 61.33 0.18 61.95 0.42 62.48 0.40 61.95 0.42""",
    ("cifar10", "resnet18"): """
        100.00 0.00 70.31 0.33 88.09 0.23 85.91 0.32 86.44 0.31 86.32 0.31
        97.57 2.00 54.97 5.27 77.54 2.12 71.10 1.07 79.28 1.45 70.70 5.11
        91.56 1.91 69.25 0.40 77.32 1.33 71.51 2.37 72.25 1.93 73.51 1.69
        86.73 1.25 71.53 0.50 60.21 1.35 63.70 1.87 65.15 1.90 65.34 1.66""",
    ("cifar10", "densenet"): """
        100.00 0.00 84.73 0.33 59.00 0.30 65.78 0.25 66.38 0.23
        99.98 0.02 81.72 0.75 55.96 1.75 63.69 2.81 64.94 2.43
        92.70 1.45 80.22 0.94 54.38 0.29 57.42 0.43 59.12 0.34
        91.82 0.39 83.03 0.35 51.49 0.06 53.28 0.11 55.23 0.11""",
    ("cifar100", "googlenet"): """
        99.78 0.06 58.59 0.32 82.70 0.33 77.40 0.46 79.56 0.38 79.78 0.39
        99.22 0.23 52.45 1.22 84.02 1.19 76.20 2.12 81.42 1.29 80.07 1.12
        90.98 0.76 57.90 0.81 65.29 0.58 70.13 0.73 73.79 0.81 74.54 0.71
        87.39 0.92 58.16 0.23 64.72 0.61 67.10 0.68 70.08 0.57 70.94 0.47""",
    ("cifar100", "resnet18"): """
        100.00 0.00 58.06 0.62 86.88 0.64 82.96 0.49 84.04 0.45 84.20 0.42
        99.43 0.47 48.98 1.21 86.99 1.43 79.87 2.04 85.35 1.59 80.03 0.89
        77.46 0.33 55.28 0.47 69.87 0.16 63.52 0.16 66.60 0.20 69.05 0.23
        79.74 0.56 57.53 0.29 66.48 0.31 63.80 0.19 65.09 0.25 66.07 0.25""",
    ("cifar100", "densenet"): """
        99.01 0.20 62.76 0.40 58.92 0.36 71.34 0.48 74.46 0.33
        99.16 1.21 59.51 0.80 59.90 2.59 73.52 4.44 77.10 2.13
        73.46 0.56 58.06 0.15 55.12 0.25 57.03 0.25 61.05 0.20
        77.39 0.59 60.32 0.50 50.23 0.23 59.98 0.27 61.58 0.25""",
    ("svhn", "vgg11"): """
        99.98 0.00 92.66 0.04 53.09 0.02 54.14 0.06 54.63 0.07 54.51 0.06
        98.72 1.25 90.72 1.63 52.40 0.94 54.53 1.38 55.31 1.49 54.54 0.87
        95.42 0.15 91.65 0.04 51.67 0.09 52.02 0.11 52.34 0.10 52.36 0.10
        94.70 0.53 91.50 0.55 50.15 0.15 52.32 0.16 52.48 0.20 52.38 0.18""",
    ("svhn", "resnet18"): """
        100.00 0.00 93.04 0.07 52.93 0.14 54.74 0.10 55.07 0.09 54.79 0.09
        99.90 0.17 90.47 1.37 52.18 0.51 55.14 0.37 55.79 0.47 55.07 0.13
        95.39 0.21 93.07 0.25 51.80 0.06 52.12 0.05 52.23 0.08 52.08 0.05
        95.82 0.24 93.13 0.27 50.04 0.04 51.92 0.06 52.02 0.07 51.89 0.07""",
}
CRL_NOTES = {
    ("cifar10", "vgg11", 3): "grad-x equals entropy, spread and all: likely a slip",
    ("cifar10", "resnet18", 1): "SRCM's table 1 has 99.95, 61.89, 81.58, 74.99, 78.74, 77.57",
}
TABLE = {"cifar10": "1a", "cifar100": "1b", "svhn": "1c"}
SEARCHED = "No strength of a defense is published: each is searched."


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.replace("|", " ").split()]


def percent(value: float) -> float:
    return round(value / 100, 6)


def printed(
    arm: int, values: Iterable[float], measures: Sequence[str], note: str | None = None
) -> dict[str, Any]:
    """A published row of percentages."""
    row: dict[str, Any] = {"arm": arm} | dict(zip(measures, map(percent, values), strict=True))
    return row | ({"note": note} if note else {})


def with_spread(
    arm: int, values: Sequence[float], measures: Sequence[str], note: str | None = None
) -> dict[str, Any]:
    """Percentages, each with the deviation of five runs."""
    row = printed(arm, values[::2], measures, note)
    ends = {f"{m}_spread": percent(v) for m, v in zip(measures, values[1::2], strict=True)}
    return row | {name: value for name, value in ends.items() if value}


def network_of(network: str, paper: str) -> Any:
    if network == "mobilenetv3_large" and paper == "crl":
        return {network: {"feature": "pooled"}}
    return DENSE if network == "densenet" else network


def srcm_tables() -> Iterable[Entry]:
    for (data, network), text in SRCM_TABLE.items():
        own = srcm(CLASSES[data])
        longer = (LONGER,) if (data, network) == ("cifar100", "resnet18") else ()
        arms = [(), (ADVREG,), (RELAX,), (own, *longer), (own, RELAX, *longer)]
        lines = np.array(numbers(text)).reshape(len(arms), len(ALL)).tolist()
        rows = [
            printed(i, line, ALL, SRCM_NOTES.get((data, network, i)))
            for i, line in enumerate(lines)
        ]
        yield Entry(
            f"srcm-table1-{data}-{network}",
            [f"SRCM table 1: {data}, {network}"],
            "Fang & Kim, SRCM, AIES 2024, table 1; means of five runs or more",
            SETS[data], network_of(network, "srcm"), HALVES, arms, FOUR, JEK[data, network], rows,
            said=[SEARCHED],
        )  # fmt: skip


def crl_tables() -> Iterable[Entry]:
    for (data, network), text in CRL_TABLE.items():
        measures = MEASURES if network == "densenet" else ALL
        arms: list[Arm] = [(), (ADVREG,), (RELAX,), (CRL,)]
        lines = np.array(numbers(text)).reshape(len(arms), 2 * len(measures)).tolist()
        rows = [
            with_spread(i, line, measures, CRL_NOTES.get((data, network, i)))
            for i, line in enumerate(lines)
        ]
        attacks = [a for a in FOUR if network != "densenet" or a != "grad_x"]
        yield Entry(
            f"crl-table{TABLE[data]}-{data}-{network}",
            [f"CRL table {TABLE[data]}: {network}"],
            f"Fang & Kim, CRL, UAI 2024, table {TABLE[data]}; five runs",
            SETS[data], network_of(network, "crl"), HALVES, arms, attacks, JEK[data, network],
            rows, said=[SEARCHED],
        )  # fmt: skip


PURCHASE_ROWS = """
    99.98 91.70 51.94 56.00 56.73 56.75   95.50 86.68 51.23 54.11 55.45 55.33
    97.94 90.71 51.83 53.65 54.72 53.65   97.04 90.91 50.14 53.41 54.47 52.02
    99.96 88.59 51.66 56.59 58.05 58.07   97.24 88.86 55.71 56.50 57.17 57.36
    98.80 90.18 52.04 55.62 57.75 57.12   96.97 90.28 50.14 53.43 54.54 52.63"""
MLP = {"mlp": {"width": 1024, "depth": 4, "activation": "tanh"}}
MLP_STEPS = steps(100, 0.1, (50, 0.1), (80, 0.01), scale="none")
RIVALS: list[Arm] = [(), (EARLY,), (SMOOTH,), (PENALTY,), (ADVREG,), (RELAX,)]


def jek_figures() -> Iterable[Entry]:
    """Purchase-100, the grids, the ablations and the trade-offs."""
    ours = srcm(100)
    arms = [*RIVALS, (ours,), (ours, PENALTY)]
    lines = np.array(numbers(PURCHASE_ROWS)).reshape(len(arms), len(ALL)).tolist()
    yield Entry(
        "srcm-table2-purchase100-mlp",
        ["SRCM table 2: Purchase-100", "SRCM figure 8: its trade-offs (raymia pareto --all)"],
        "Fang & Kim, SRCM, AIES 2024, table 2",
        PURCHASE, MLP, HALVES, arms, FOUR, MLP_STEPS,
        [printed(i, line, ALL) for i, line in enumerate(lines)],
        said=[SEARCHED, "The schedule for Purchase-100 is not released: this one is ours."],
    )  # fmt: skip
    hundred = JEK["cifar100", "resnet18"]
    designs = [
        (part("srcm", r1=spread(20.0, 110.0), d=1.0, design=design), LONGER) for design in "abc"
    ]
    yield Entry(
        "srcm-figure4-cifar100-resnet18", ["SRCM figure 4: the three designs"],
        "Fang & Kim, SRCM, AIES 2024, figure 4",
        CIFAR100, "resnet18", HALVES, [(), *designs], FOUR, hundred,
    )  # fmt: skip
    grid = [
        (part("srcm", r1=r1, d=d), LONGER)
        for r1 in (20.0, 30.0, 40.0, 50.0, 60.0, 75.0, 100.0)
        for d in (1.0, 2.0, 5.0, 10.0)
    ]
    yield Entry(
        "srcm-figure5-cifar100-resnet18", ["SRCM figure 5: r1 by d"],
        "Fang & Kim, SRCM, AIES 2024, figure 5",
        CIFAR100, "resnet18", HALVES, [(), *grid], FOUR, hundred,
        said=["The figure's grid is not given in numbers: this one spans it."],
    )  # fmt: skip
    for figure, data in ((6, "cifar10"), (7, "cifar100")):
        own = srcm(CLASSES[data])
        yield Entry(
            f"srcm-figure{figure}-{data}-resnet18",
            [
                f"SRCM figure {figure}: trade-offs (raymia pareto --all)",
                *(
                    ["SRCM figure 1: norms and margins (raymia scores DIR --trial 0 --signals "
                     "--norms)"]
                    if data == "cifar10"
                    else []
                ),
            ],
            f"Fang & Kim, SRCM, AIES 2024, figure {figure}",
            SETS[data], "resnet18", HALVES, [*RIVALS, (own,), (own, RELAX)], FOUR,
            JEK[data, "resnet18"],
        )  # fmt: skip
    dmp: list[Arm] = [
        (part("dmp", tau=spread(1.0, 4.0)),),
        (part("dmp", tau=spread(1.0, 4.0), source="synthetic"),),
    ]
    for figure, data in ((4, "cifar10"), (5, "cifar100")):
        more = (
            ["CRL figures 1 and 6: margins (raymia scores DIR --trial N --signals)"]
            if data == "cifar100"
            else []
        )
        yield Entry(
            f"crl-figure{figure}-{data}-resnet18",
            [f"CRL figure {figure}: trade-offs (raymia pareto --all)", *more],
            f"Fang & Kim, CRL, UAI 2024, figure {figure}",
            SETS[data], "resnet18", HALVES, [*RIVALS, (CRL,), *dmp], FOUR,
            JEK[data, "resnet18"],
        )  # fmt: skip
    without = [
        (part("crl", lam=0.0, alpha_rce=spread(0.05, 1.5)),),
        (part("crl", lam=spread(0.05, 1.0, log=True), tau_rce=0.0),),
        (CRL,),
    ]
    yield Entry(
        "crl-table2-cifar100-resnet18", ["CRL table 2 and figure 7: the ablation"],
        "Fang & Kim, CRL, UAI 2024, table 2 and figure 7",
        CIFAR100, "resnet18", HALVES, [(), (RELAX,), *without], FOUR, hundred,
        said=[
            "ImpRelaxLoss is lam: 0; the relaxed centre loss alone is read as tau_rce: 0, since "
            "the paper does not say what of its normalisation is left out."
        ],
    )  # fmt: skip
    three = ("auc.nn", "auc.entropy", "auc.modified_entropy")
    found = [
        [54.66, 0.16, 51.24, 0.11, 54.94, 0.24], [54.83, 0.14, 51.08, 0.18, 54.88, 0.29],
        [50.38, 0.05, 51.13, 0.14, 54.80, 0.16], [50.46, 0.07, 51.07, 0.13, 53.60, 0.15],
    ]  # fmt: skip
    yield Entry(
        "crl-table3-arxiv10-han", ["CRL table 3", "CRL figure 8: accuracy against AUC"],
        "Fang & Kim, CRL, UAI 2024, table 3; five runs",
        "arxiv10", "han", HALVES, [(), (ADVREG,), (RELAX,), (CRL,)], FOUR[:-1],
        steps(150, 0.01, (100, 0.1), (130, 0.01)),
        [with_spread(i, line, three) for i, line in enumerate(found)],
    )  # fmt: skip


# ---- Li, Li & Ribeiro: overlapping sets, ten targets, attacks by shadows that saw the records


def overlap(members: int = 10_000, pool: int = 10_000) -> dict[str, Any]:
    return {
        "overlap": {
            "targets": 10, "shadows": 10, "members": members, "judged": 5_000, "pool": pool,
            "reference": members, "reserve": 0.0,
        }
    }  # fmt: skip


LI_ATTACKS = ["baseline", "class_vector", "loss", "probability", "confidence", "top_three",
              "instance_vector"]  # fmt: skip
MIXUP = part("mixup", alpha=1.0)
LI_ROWS = {  # data, network: test without and with, highest advantage, gap, MMD's weight
    ("cifar10", "alexnet"): (0.652, 0.662, 0.210, 0.056, 3.0),
    ("cifar10", "vgg16"): (0.811, 0.809, 0.162, 0.097, 1.0),
    ("cifar10", "resnet20"): (0.820, 0.818, 0.130, 0.086, 0.5),
    ("cifar10", "resnet110"): (0.794, 0.784, 0.150, 0.077, 0.5),
    ("cifar10", "densenet_bc"): (0.801, 0.802, 0.137, 0.047, 4.0),
    ("cifar100", "alexnet"): (0.248, 0.238, 0.284, 0.071, 4.0),
    ("cifar100", "vgg16"): (0.285, 0.275, 0.411, 0.300, 0.3),
    ("cifar100", "resnet20"): (0.446, 0.456, 0.295, 0.073, 4.0),
    ("cifar100", "resnet110"): (0.424, 0.426, 0.342, 0.145, 3.5),
    ("cifar100", "densenet_bc"): (0.428, 0.430, 0.256, 0.074, 2.5),
    ("purchase100", "mlp"): (0.791, 0.781, 0.142, 0.089, 0.1),
    ("texas100", "mlp"): (0.535, 0.539, 0.191, 0.110, 1.0),
}
LI_MLP = {"mlp": {"width": 1024, "depth": 4, "activation": "tanh", "tanh_logits": True}}
TEXAS = {"texas100": {"path": "data/dataset_texas.tgz"}}
ADAM = {"epochs": 100, "batch_size": 100, "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0,
        "milestones": [], "scale": "none"}  # fmt: skip
IN_HALVES = (
    "Their advantage is accuracy - 0.5, half of TPR - FPR: the numbers here are twice theirs."
)
LARGE = "Accuracies of their table 5 are of all 50,000 records, not of these 10,000."


def li_training(network: str) -> dict[str, Any]:
    common: dict[str, Any] = {"batch_size": 128, "weight_decay": 5e-4, "augment": "crop_flip"}
    if network == "densenet_bc":
        common |= {"epochs": 300, "lr": 0.1, "batch_size": 64}
        return common | {"milestones": [[150, 0.1], [225, 0.01]]}
    lr = 0.01 if network in ("alexnet", "vgg16") else 0.1
    return {"epochs": 160, "lr": lr, "milestones": [[80, 0.1], [120, 0.01]]} | common


def li_tables() -> Iterable[Entry]:
    for (data, network), found in LI_ROWS.items():
        table = data in ("purchase100", "texas100")
        before, after, high, low, weight = found
        mmd = part("mmd", weight=weight, form="paper", batches="one_class")
        arms: list[Arm] = [(), (MIXUP,), (mmd,), (mmd, MIXUP)]
        best = 2 if data == "purchase100" else 3
        rows: list[Knobs] = [
            {"arm": 0, "test_accuracy": before, "advantage": 2 * high},
            {"arm": best, "test_accuracy": after, "advantage": 2 * low},
        ]
        shows = [f"Li et al. table 3, figures 1, 2, 4 and 6: {data}, {network}"]
        shows += [f"Li et al. tables 2, {6 if data == 'cifar10' else 7}: one of five networks"] * (
            not table
        )
        shows += [f"Li et al. table 2: {data}"] * table
        said = [IN_HALVES] + [LARGE] * (not table)
        if network == "alexnet" or table:
            shows.append(f"Li et al. table 4: {data} (auc_reference.*, advantage_reference.*)")
        if (data, network) == ("cifar100", "resnet20"):
            shows.append("Li et al. figure 7: p_y (raymia scores DIR --trial N --signals)")
        members, pool = (20_000, 30_000) if data == "purchase100" else (10_000, 10_000)
        sets = {**SETS, "purchase100": PURCHASE, "texas100": TEXAS}
        yield Entry(
            f"li-table3-{data}-{network.replace('_', '-')}", shows,
            "Li, Li & Ribeiro, CODASPY 2021, table 3",
            sets[data], LI_MLP if table else network, overlap(members, pool), arms, LI_ATTACKS,
            ADAM if table else li_training(network), rows,
            search={"objective": {"privacy": "advantage"}}, said=said,
        )  # fmt: skip


def li_figures() -> Iterable[Entry]:
    yield Entry(
        "li-table2-mnist", ["Li et al. table 2: MNIST"],
        "Li, Li & Ribeiro, CODASPY 2021, table 2",
        "mnist", "mnist_cnn", overlap(), [()], LI_ATTACKS,
        {"epochs": 100, "batch_size": 128, "lr": 0.01, "weight_decay": 5e-4, "milestones": []},
        [
            {"arm": 0, "train_accuracy": 0.999, "test_accuracy": 0.981, "advantage": 0.04,
             "advantage.baseline": 0.02}
        ],
        search={"objective": {"privacy": "advantage"}}, said=[IN_HALVES],
    )  # fmt: skip
    noise = part("dpsgd", sigma=spread(0.01, 1.0, log=True), sampling="uniform", groups=0)
    private = (noise, part("training", epochs=300, milestones="150 0.1, 225 0.01"))
    guard = part("memguard", epsilon=1.0)
    for data, network in (
        ("cifar10", "alexnet"), ("cifar100", "alexnet"), ("purchase100", "mlp"),
        ("texas100", "mlp"),
    ):  # fmt: skip
        table = data in ("purchase100", "texas100")
        mmd = part("mmd", weight=spread(0.05, 8.0, log=True), form="paper", batches="one_class")
        sets = {**SETS, "purchase100": PURCHASE, "texas100": TEXAS}
        arms: list[Arm] = [(), (MIXUP,), (guard,), (mmd,), (mmd, MIXUP)]
        arms += [((noise,) if table else private), (MIXUP, *((noise,) if table else private))]
        members, pool = (20_000, 30_000) if data == "purchase100" else (10_000, 10_000)
        yield Entry(
            f"li-figure3-{data}-{network}", [f"Li et al. figure 3: {data}"],
            "Li, Li & Ribeiro, CODASPY 2021, figure 3",
            sets[data], LI_MLP if table else network, overlap(members, pool), arms, LI_ATTACKS,
            ADAM if table else li_training(network),
            search={"objective": {"privacy": "advantage"}}, said=[IN_HALVES],
        )  # fmt: skip
    for data, ends in (("cifar10", (0.130, 0.084)), ("cifar100", (0.317, 0.194))):
        for members in (10_000, 20_000, 30_000):
            weight = 0.5 if data == "cifar10" else 4.0
            mmd = part("mmd", weight=weight, form="paper", batches="one_class")
            known = {10_000: ends[0], 30_000: ends[1]}.get(members)
            row = [{"arm": 0, "advantage": round(2 * known, 6)}] if known else []
            if data == "cifar100" and row and members == 10_000:
                row[0]["note"] = "table 3 has 0.295 for the same networks"  # type: ignore[assignment]
            protocol = overlap(members, members - 2_500)
            # 60,000 records do not hold two pools, the judged and a reference of 30,000 as well
            rest = min(members, 60_000 - 5_000 - 2 * (members - 2_500))
            if rest:
                protocol["overlap"]["reference"] = rest
            else:
                del protocol["overlap"]["reference"]
            yield Entry(
                f"li-figure5-{data}-resnet20-{members // 1000}k",
                [f"Li et al. figure 5: {data}, {members:,} records"],
                "Li, Li & Ribeiro, CODASPY 2021, section 9.3 and figure 5",
                SETS[data], "resnet20", protocol,
                [(), (mmd, MIXUP)] if rest else [(), (MIXUP,)],
                LI_ATTACKS, li_training("resnet20"), row,
                search={"objective": {"privacy": "advantage"}}, said=[IN_HALVES],
            )  # fmt: skip
    yield Entry(
        "li-appendix92-cifar10-alexnet", ["Li et al. appendix 9.2: distillation"],
        "Li, Li & Ribeiro, CODASPY 2021, appendix 9.2",
        CIFAR10, "alexnet", overlap(), [(), (part("dmp", tau=4.0),)], LI_ATTACKS,
        li_training("alexnet"),
        [{"arm": 1, "train_accuracy": 0.620, "test_accuracy": 0.551, "advantage": 0.006}],
        search={"objective": {"privacy": "advantage"}}, said=[IN_HALVES],
    )  # fmt: skip


# ---- Kaya, Hong & Dumitras: the official files, no shadows

KNOWN = {"loss": {"threshold": "known"}}
KAYA_ATTACKS = ["baseline", KNOWN, "salem", "distance_to_confident"]
YEOM, SALEM = "threshold_advantage.loss[threshold=known]", "threshold_advantage.salem"
KAYA_TRAINING = {"epochs": 30, "batch_size": 128, "optimizer": "amsgrad", "lr": 2e-4,
                 "weight_decay": 1e-6, "milestones": [], "scale": RAW}  # fmt: skip
KAYA = {  # data: network, records of the train file, accuracy and advantages, DtC of D and S
    "fashion_mnist": (4, 60_000, 0.926, 0.096, 0.083, 5.2, 2.8),
    "cifar10": (7, 50_000, 0.819, 0.358, 0.185, 2.2, 1.0),
    "cifar100": (9, 50_000, 0.573, 0.689, 0.499, 8.0, 1.1),
}
# setting: relative change of accuracy, of Yeom's and of Salem's advantage, in %
KAYA_CHANGES = {
    "fashion_mnist": """
        T=2 0.1 -33.3 -9.6, T=50 -2.9 -94.8 -100, a=.01 0.2 -8.3 34.9, a=.9 -1.5 -63.5 -100,
        a=.99 -10.8 -95.8 -100, s=.025 -0.9 -66.7 -73.5, s=.2 -4.1 -81.3 -100,
        s=.225 -6.7 -84.4 -100, c=1 -0.1 -81.3 -81.9, c=4 -3.0 -90.7 -100, c=18 -9.9 -100 -100,
        p=.5 0.2 -55.2 -73.5, p=.95 -2.5 -85.4 -100, q=.25 0.2 -52.1 -100, q=.75 -2.6 -87.5 -100,
        q=.95 -11.0 -89.6 -100, w=1e-4 0.1 -1.0 9.6, w=.01 -1.5 -72.9 -97.6, w=.1 -9.1 -93.8 -100,
        E=20 0.1 -28.1 -19.3, E=1 -4.9 -80.2 -96.4, d=.1 -4.1 -82.3 -100, d=.25 -5.4 -90.1 -100,
        d=10 -16.7 -92.7 -""",
    "cifar10": """
        T=5 1.3 -50.3 13.5, T=25 -2.4 -78.2 -100, T=50 -8.2 -84.7 -100, a=.01 1.2 -31.0 33.5,
        a=.99 -10.1 -46.1 -100, s=.01 -1.0 -0.1 9.2, s=.025 -4.2 -21.5 -18.4,
        s=.05 -11.1 -44.9 -42.2, c=2 3.5 -48.6 -31.9, c=22 -3.7 -92.7 -72.8, c=24 -7.7 -93.8 -78.4,
        p=.25 -1.9 -8.7 3.2, p=.5 -3.4 -28.2 -16.8, p=.95 -9.3 -63.4 -42.2, q=.1 0.6 -20.4 23.2,
        q=.25 -0.6 -59.5 -36.2, q=.5 -12.9 -92.2 -89.2, w=5e-4 1.0 -17.0 35.7,
        w=.1 -13.3 -81.3 -92.4, E=20 -3.4 -25.4 -21.1, E=2 -13.9 -84.1 -72.4""",
    "cifar100": """
        T=3 3.1 -38.3 23.8, T=50 -4.2 -68.6 -99.4, T=100 -6.1 -68.8 -100, a=.5 5.9 -32.2 58.7,
        a=.95 5.6 -36.4 23.4, s=.01 0.2 -2.9 -4.4, s=.025 -6.5 -16.7 -16.0, c=2 3.3 -24.7 -19.8,
        c=16 -4.4 -79.8 -87.6, c=20 -5.9 -86.9 -100, p=.1 -0.9 -0.2 -8.4, p=.25 -1.4 -7.8 -9.4,
        p=.5 -5.9 -17.1 -15.2, q=.05 -1.9 -10.6 -10.4, q=.25 -2.0 -52.9 -53.1,
        w=1e-5 1.2 1.0 -6.8, w=5e-4 -2.4 -18.9 26.6, E=15 -1.1 -7.7 -1.4, E=10 -10.3 -33.1 -31.9""",
}
KAYA_PAIRS = {  # CIFAR-100, table 6: Yeom, Salem, accuracy
    "T=50": """a=.95 -68.5 -100 -2.5, s=.01 -69.1 -100 -4.0, c=16 -93.1 -100 -10.1,
        p=.25 -72.1 -100 -6.2, q=.25 -89.8 -100 -10.0, w=5e-4 -96.5 -100 -48.8,
        E=15 -71.0 -100 -4.4""",
    "c=16": """a=.95 -87.1 -100 -10.5, s=.01 -82.3 -88.5 -5.3, p=.25 -85.0 -89.4 -10.3,
        q=.25 -96.0 -100 -31.4, w=5e-4 -84.7 -88.1 -5.8, E=15 -92.3 -95.3 -24.9""",
}  # fmt: skip
KAYA_DTC = {  # table 8, at the setting of RAD < 15%: C_D, C_S
    "fashion_mnist": "T=50 20.4 19.0, a=.99 56.9 56.4, s=.225 10.6 9.3, c=18 19.9 18.9, "
    "p=.95 44.2 41.5, q=.95 67.5 65.3, w=.1 54.2 53.8, E=1 37.3 34.9",
    "cifar10": "T=50 4.5 3.5, a=.99 4.3 2.7, s=.05 3.6 1.6, c=24 3.9 3.7, p=.95 20.6 18.6, "
    "q=.5 10.2 9.1, w=.1 4.5 3.6, E=2 6.4 5.4",
    "cifar100": "T=100 6.7 2.4, a=.95 13.3 1.9, s=.025 7.3 1.3, c=20 5.2 4.2, p=.5 5.5 1.2, "
    "q=.25 13.7 5.5, w=5e-4 8.0 1.1, E=10 7.8 2.3",
}
LETTERS = {
    "T": lambda v: part("distillation", t=v),
    "a": lambda v: part("label_smoothing", epsilon=v),
    "s": lambda v: part("gaussian_noise", sigma=v),
    "c": lambda v: part("random_crop", c=int(v)),
    "p": lambda v: part("dropout", p=v),
    "q": lambda v: part("spatial_dropout", q=v),
    "w": lambda v: part("weight_decay", lam=v),
    "E": lambda v: part("early_stopping", fraction=round(v / 30, 6)),
    "d": lambda v: part("dpsgd", sigma=v),
}


def setting(text: str) -> dict[str, Any]:
    letter, _, value = text.partition("=")
    return LETTERS[letter](float(value))


def listed(text: str) -> list[list[str]]:
    return [line.split() for line in text.split(",")]


def kaya_row(arm: int, data: str, accuracy: float, yeom: float, salem: str) -> dict[str, Any]:
    """Changes in % of the undefended model's numbers."""
    _, _, own, first, second, *_ = KAYA[data]
    row = {"arm": arm, "test_accuracy": own * (1 + accuracy / 100), YEOM: first * (1 + yeom / 100)}
    row |= {} if salem == "-" else {SALEM: second * (1 + float(salem) / 100)}
    return {name: value if name == "arm" else round(value, 4) for name, value in row.items()}


def bare(data: str) -> dict[str, Any]:
    _, _, accuracy, yeom, salem, outside, inside = KAYA[data]
    return {
        "arm": 0, "test_accuracy": accuracy, YEOM: yeom, SALEM: salem,
        **distances(outside, inside),
    }  # fmt: skip


def distances(outside: float, inside: float) -> dict[str, float]:
    """The paper prints thousandths."""
    return {"dtc_nonmembers": round(outside / 1000, 6), "dtc_members": round(inside / 1000, 6)}


DRAWN = "Numbers are those of the paper's changes, relative to its undefended model."


def kaya_tables() -> Iterable[Entry]:
    for table, data in ((3, "fashion_mnist"), (4, "cifar10"), (5, "cifar100")):
        layers, records, *_ = KAYA[data]
        lines = listed(KAYA_CHANGES[data])
        dtc = {name: (float(d), float(s)) for name, d, s in listed(KAYA_DTC[data])}
        rows = [bare(data)]
        for i, (name, accuracy, yeom, salem) in enumerate(lines, 1):
            row = kaya_row(i, data, float(accuracy), float(yeom), salem)
            if name in dtc:
                row |= distances(*dtc[name])
            rows.append(row)
        root = {"root": "/usr/share/datasets/fashion-mnist"} if table == 3 else {"root": "data"}
        shows = [
            f"Kaya et al. tables 2, {table}, 7 and 8: {data} (raymia pareto --rad 0.05 --rad 0.15)"
        ]
        shows += ["Kaya et al. figure 1: sigma of DP-SGD against DtC"] * (table == 3)
        arms: list[Arm] = [(), *((setting(line[0]),) for line in lines)]
        if table == 3:
            arms += [(setting(f"d={sigma}"),) for sigma in (0.01, 0.05, 0.5, 1, 2.5, 5)]
        yield Entry(
            f"kaya-table{table}-{data.replace('_', '-')}", shows,
            f"Kaya, Hong & Dumitras, arXiv:2006.05336, tables 2, {table}, 7 and 8",
            {data: root}, {"kaya_vgg": {"layers": layers}},
            {"official": {"train": records, "judged": 5_000}}, arms, KAYA_ATTACKS, KAYA_TRAINING,
            rows, said=[DRAWN],
        )  # fmt: skip
    rows, arms = [bare("cifar100")], [()]
    for first, text in KAYA_PAIRS.items():
        for second, yeom, salem, accuracy in listed(text):
            arms.append((setting(second), setting(first)))
            rows.append(kaya_row(len(arms) - 1, "cifar100", float(accuracy), float(yeom), salem))
    yield Entry(
        "kaya-table6-cifar100", ["Kaya et al. table 6: pairs on CIFAR-100"],
        "Kaya, Hong & Dumitras, arXiv:2006.05336, table 6",
        CIFAR100, {"kaya_vgg": {"layers": 9}}, {"official": {"train": 50_000, "judged": 5_000}},
        arms, KAYA_ATTACKS, KAYA_TRAINING, rows, said=[DRAWN],
    )  # fmt: skip


# ---- RelaxLoss: five slices, one shadow

SLICES = {"slices": {}}
POSTER = {  # top-1 and top-5 without and with, strongest attack without, unaware, aware of it
    ("cifar10", "resnet20"): (70.5, 96.6, 73.8, 98.2, 87.3, 50.0, 56.0),
    ("cifar10", "vgg11"): (73.8, 97.0, 74.4, 97.8, 80.7, 50.0, 68.2),
    ("cifar100", "resnet20"): (33.2, 63.0, 35.1, 67.7, 92.6, 50.0, 57.8),
    ("cifar100", "vgg11"): (41.4, 67.5, 41.4, 69.9, 97.5, 50.0, 84.2),
    ("ch_mnist", "resnet20"): (77.1, 99.6, 78.4, 99.7, 67.1, 50.7, 56.6),
    ("texas100", "mlp"): (52.3, 82.6, 55.3, 86.8, 79.0, 50.0, 53.8),
    ("purchase100", "mlp"): (89.1, 99.8, 89.1, 99.6, 65.7, 50.1, 56.0),
}
SCALE_OF_CIFAR10 = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.2010]}
POSTER_ATTACKS = [
    "baseline", "nn", "confidence", "loss", "entropy", "modified_entropy",
    "grad_x", {"grad_x": {"norm": "l1"}}, "grad_w", {"grad_w": {"norm": "l1"}},
]  # fmt: skip


def poster() -> Iterable[Entry]:
    for (data, network), found in POSTER.items():
        table = network == "mlp"
        top, top5, after, after5, high, unaware, aware = map(percent, found)
        training = {"epochs": 300, "batch_size": 128, "lr": 0.1, "weight_decay": 1e-4,
                    "milestones": [[150, 0.1], [225, 0.01]]}  # fmt: skip
        if table:
            training |= {"epochs": 120, "milestones": [[50, 0.1], [100, 0.01]], "scale": "none"}
        if data == "cifar100":
            training |= {"scale": SCALE_OF_CIFAR10}  # CIFAR-10's, as in its code
        note = f"unaware of the defense (--set attacker=plain): {unaware:.3f}"
        if unaware == 0.5:
            note += ", no better than guessing"
        rows = [
            {"arm": 0, "test_accuracy": top, "test_top5_accuracy": top5, "max_attack_auc": high,
             "note": "the poster does not say of which attack, nor whether it is an AUC"},
            {"arm": 1, "test_accuracy": after, "test_top5_accuracy": after5,
             "max_attack_auc": aware, "note": note},
        ]  # fmt: skip
        sets = {**SETS, "ch_mnist": "ch_mnist", "texas100": TEXAS, "purchase100": PURCHASE}
        nets = {"vgg11": {"vgg11": {"form": "linear"}}, "mlp": MLP}
        said = ["Its network for CH-MNIST is not on the poster: resnet20 is a choice of ours."]
        yield Entry(
            f"relaxloss-poster-{data.replace('_', '-')}-{network}",
            [f"RelaxLoss poster: {data}, {network}"],
            "Chen, Yu & Fritz, RelaxLoss, ICLR 2022, poster",
            sets[data], nets.get(network, network), SLICES, [(), (RELAX,)], POSTER_ATTACKS,
            training, rows, said=said if data == "ch_mnist" else [SEARCHED],
        )  # fmt: skip


def entries() -> list[Entry]:
    return [
        *srcm_tables(), *crl_tables(), *jek_figures(), *li_tables(), *li_figures(),
        *kaya_tables(), *poster(),
    ]  # fmt: skip


# ---- what is written

SHAPES = {  # records, shape of one, classes
    "cifar10": (60_000, (3, 32, 32), 10), "cifar100": (60_000, (3, 32, 32), 100),
    "svhn": (99_289, (3, 32, 32), 10), "mnist": (70_000, (1, 28, 28), 10),
    "fashion_mnist": (70_000, (1, 28, 28), 10), "ch_mnist": (5_000, (1, 64, 64), 8),
    "purchase100": (197_324, (600,), 100), "texas100": (67_330, (6_169,), 100),
    "arxiv10": (100_000, (10, 40), 10),
}  # fmt: skip


class Plain(yaml.SafeDumper):
    """Writes out what stands in several places."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dumped(value: Any, flow: bool) -> str:
    text: str = yaml.dump(
        value, Dumper=Plain, default_flow_style=flow, width=10**6, sort_keys=False
    )
    return text


def flow(value: Any) -> str:
    text = dumped(value, True)
    return text.removesuffix("\n...\n").strip()


def written(entry: Entry, cost: float) -> str:
    """The text of a sweep file."""
    lines = [f"# Shows: {one}." for one in entry.shows]
    lines += [f"# {one}" for one in entry.said]
    lines += [
        f"# Costs about {cost:.3g} PFLOP ({models(entry)} networks): {hours(cost)} at 60 TFLOP/s.",
        "# Written by sweeps/papers.py.",
    ]
    for key, value in entry.body().items():
        if key == "defenses":
            lines += [f"{key}:", *(f"  - {flow(arm)}" for arm in value)]
        else:
            lines.append(f"{key}: {flow(value)}")
    if entry.published:
        lines += ["published:", f"  source: {flow(entry.source)}", "  rows:"]
        lines += [f"    - {flow(row)}" for row in entry.rows]
    return "\n".join(lines) + "\n"


def models(entry: Entry) -> int:
    protocol = parsed(text_of(entry)).shape
    trials: int = entry.body()["search"]["trials"]
    return trials * protocol[0]


@cache
def parsed(text: str) -> Sweep:
    return sweeps.parse(text)


def text_of(entry: Entry) -> str:
    return dumped(entry.body(), False)


@cache
def multiplications(network: str, shape: tuple[int, ...], classes: int) -> int:
    """Of one record, forward."""
    ((name, knobs),) = json.loads(network).items()
    built = catalog.make("networks", name, knobs)
    if shape == (10, 40):  # words: their vectors
        return 10 * 40 * 3 * (50 + 50) * 50 * 2 + 10 * 3 * (100 + 50) * 50 * 2
    total = 0

    def count(layer: Any, given: Any, out: torch.Tensor) -> None:
        nonlocal total
        total += out[0].numel() * layer.weight[0].numel()

    net = built.build(shape, classes).eval()
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, *shape))
    return total


def pflop(entry: Entry) -> float:
    """Of all networks of a sweep: three passes of two operations a multiplication."""
    sweep = parsed(text_of(entry))
    name = sweep.dataset.name
    records, shape, classes = SHAPES[name]
    split = catalog.made("protocols", sweep.protocol).draw(records, 0, 0)
    network = json.dumps({sweep.network.name: dict(sweep.network.knobs)})
    each = multiplications(network, shape, classes)
    epochs = entry.training["epochs"]
    return 6 * each * int(split.member.sum()) * epochs * sweep.search.trials / 1e15


def hours(cost: float) -> str:
    return f"{cost * 1e15 / EFFECTIVE / 3600:.2g} GPU-hours"


def runs(entry: Entry) -> list[tuple[str, list[dict[str, Any]]]]:
    """What was run of a sweep here, in words, and the comparison: of each run."""
    folder = DOCS / "published"
    files = [*folder.glob(f"{entry.name}.json"), *sorted(folder.glob(f"{entry.name}.*.json"))]
    return [_run(entry, json.loads(file.read_text())) for file in files]


def _run(entry: Entry, found: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    arms = {row["arm"] for row in found["rows"] if row["runs"]} | set(found["arms_run"])
    own = parsed(text_of(entry)).resolved()
    other = [
        key
        for key in changed(own, found["sweep"])
        if not re.match(
            r"name|search|resources|keep_signals|published|defenses|training\.lanes", key
        )
    ]
    keys = dict.fromkeys(
        key.partition(".")[0] if key.startswith("attacks") else key for key in other
    )
    told = [
        "fewer attacks" if key == "attacks" else f"{key} {flow(_at(found['sweep'], key))}"
        for key in keys
    ]
    how = f"with {', '.join(told)}" if told else "at full size"
    return f"{len(arms)} of {len(entry.arms)} arms run here, {how}", found["rows"]


def _at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        tree = tree[int(name)] if isinstance(tree, list) else tree.get(name)
    return tree


HEAD = """# The published tables

Written by `python sweeps/papers.py`, from the sweep files in `sweeps/papers/` and from what was run
here (`docs/published/`, each file made by `raymia compare DIR --json`). Run one with
`raymia run sweeps/papers/<name>.yaml`, then `raymia compare results/<name>`.

Costs are arithmetic (three passes, two operations a multiplication, target and shadows, all points
of the sweep; teachers and sub-models not counted), and the hours are that at 60 TFLOP/s on one GPU:
nobody has timed them, and small networks reach a tenth of it.

| shows | sweep | PFLOP | GPU-hours | state |
|---|---|---|---|---|
"""
ELSEWHERE = (
    ("SRCM table 3: latency", "`python benchmarks/latency.py`", "", "", "a benchmark, no sweep"),
    ("Li et al. table 5: recipes", "the `training` of each sweep", "", "", "no result"),
)


def page(every: Sequence[tuple[Entry, float]]) -> str:
    """docs/papers.md"""
    lines, after = [], []
    for entry, cost in every:
        found = runs(entry)
        said = "; ".join(said for said, _ in found) or "not run"
        shown = "; ".join(entry.shows)
        gpu = hours(cost).removesuffix(" GPU-hours")
        lines.append(f"| {shown} | `{entry.name}` | {cost:.3g} | {gpu} | {said} |")
        for i, (said, rows) in enumerate(found):
            head = "" if i else f"\n## {entry.name}\n"
            after.append(f"{head}\n{entry.source}. {said[0].upper()}{said[1:]}.\n")
            after.append("| defense | number | published | ours | difference | note |")
            after.append("|---|---|---|---|---|---|")
            after += [_line(row) for row in rows if row["runs"]]
    lines += [f"| {' | '.join(cells)} |" for cells in ELSEWHERE]
    return HEAD + "\n".join(lines) + "\n" + "\n".join(after) + ("\n" if after else "")


def _line(row: Mapping[str, Any]) -> str:
    theirs = f"{row['published']:.4g}" + (f" +- {row['spread']:.2g}" if row["spread"] else "")
    low, high = row["ours_lo"], row["ours_hi"]
    ours = f"{row['ours']:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None else "")
    named = row["defense"] + (f" {row['knobs']}" if row["knobs"] else "")
    cells = [named, row["column"], theirs, ours, f"{row['difference']:+.3f}", row["note"]]
    return f"| {' | '.join(cells)} |"


def files() -> dict[Path, str]:
    """What is written where."""
    every = [(entry, pflop(entry)) for entry in entries()]
    made = {HERE / "papers" / f"{entry.name}.yaml": written(entry, cost) for entry, cost in every}
    return made | {DOCS / "papers.md": page(every)}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
