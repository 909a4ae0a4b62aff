"""How fast models are trained: `fit` against the loop that papers publish and against a lean one.

    python benchmarks/training.py [--case digits] [--models 8] [--device cpu] [--rounds 3]
                                  [--json FILE] [--write]

Ratios, above 1 where `fit` is faster: medians over rounds, which alternate over the ways in one
process of one thread, with the smallest and the largest. On a CPU it is the process's own time, so
that other processes disturb little. `published`: a DataLoader, torch's SGD, `.item()` a step, one
model after another. `lean`: resident records, one index a batch, torch's fused SGD. No speed is
printed of a way whose weights are not those of single models in float64. `--write` makes
raymia/study/lanes.csv of the medians, which `lanes: auto` reads: no stopwatch decides in a run.
"""

import argparse
import csv
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from raymia import machine
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.training.defense import Lesson
from raymia.training.fit import fit
from raymia.training.network import Network
from raymia.training.recipe import Recipe

TABLE = Path(__file__).parents[1] / "raymia" / "study" / "lanes.csv"
LANES = (1, 2, 4, 8, 32)
ENOUGH = 0.9  # a wider group, which costs memory and is a coarser unit of work, must give more


@dataclass(frozen=True)
class Case:
    network: str
    knobs: dict[str, Any]
    shape: tuple[int, ...]
    classes: int
    batch: int
    steps: int  # of each model in an epoch
    epochs: int = 1

    def build(self) -> Network:
        made = catalog.make("networks", self.network, self.knobs)
        net: Network = made.build(self.shape, self.classes)
        return net

    @property
    def records(self) -> int:
        return self.batch * self.steps


LOCATION = {"width": 1024, "depth": 4, "activation": "tanh"}
CASES = {
    "digits": Case("mlp", {}, (1, 8, 8), 10, 64, 28, epochs=4),
    "location": Case("mlp", LOCATION, (446,), 30, 128, 32),
    "cnn": Case("cnn", {}, (1, 28, 28), 10, 128, 4),
    "resnet20": Case("resnet20", {}, (3, 32, 32), 10, 128, 2),
    "resnet18w16": Case("resnet18", {"width": 16}, (3, 32, 32), 10, 64, 2),
    "resnet18": Case("resnet18", {}, (3, 32, 32), 10, 32, 1),
}


class Bench:
    """The records of a case, and the ways to train so many models on them."""

    def __init__(self, case: Case, models: int, device: str) -> None:
        self.case, self.models, self.device = case, models, device
        source = torch.Generator().manual_seed(0)
        n = 2 * case.records
        self.x = torch.rand((n, *case.shape), generator=source).to(device)
        self.y = (torch.arange(n) % case.classes).to(device)
        rng = np.random.default_rng(0)
        self.members = [np.sort(rng.permutation(n)[: case.records]) for _ in range(models)]

    def clock(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def fitted(self, lanes: int, precision: str = "float32") -> list[nn.Module]:
        """By `fit`, so many models at a time."""
        case, how = self.case, precision
        training = Training(epochs=case.epochs, batch_size=case.batch, precision=how)  # type: ignore[arg-type]
        x = self.x.double() if precision == "float64" else self.x
        found = []
        for first in range(0, self.models, lanes):
            mine = tuple(self.members[first : first + lanes])
            none = (np.zeros(0, np.int64),) * len(mine)
            lesson = Lesson(x, self.y, mine, none, self.case.classes)
            numbers = range(first, first + len(mine))
            found += fit(Recipe(), self.case.build, lesson, training, (0,), numbers)
        return [model.network for model in found]  # type: ignore[attr-defined]

    def published(self) -> None:
        for members in self.members:
            net = self.case.build().to(self.device).train()
            own = torch.as_tensor(members)
            loader = DataLoader(
                TensorDataset(self.x.cpu()[own], self.y.cpu()[own]), self.case.batch, shuffle=True
            )
            sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
            total = 0.0
            for x, y in (batch for _ in range(self.case.epochs) for batch in loader):
                sgd.zero_grad()
                loss = F.cross_entropy(net(x.to(self.device)).logits, y.to(self.device))
                loss.backward()
                sgd.step()
                total += loss.item()

    def lean(self) -> None:
        for members in self.members:
            net = self.case.build().to(self.device).train()
            sgd = torch.optim.SGD(
                net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, fused=True
            )
            rng = np.random.default_rng(0)
            order = np.concatenate([rng.permutation(members) for _ in range(self.case.epochs)])
            for idx in torch.as_tensor(order).to(self.device).split(self.case.batch):
                loss = F.cross_entropy(net(self.x[idx]).logits, self.y[idx])
                sgd.zero_grad()
                loss.backward()
                sgd.step()

    def ways(self) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {"published": self.published, "lean": self.lean}
        for lanes in (k for k in LANES if k <= self.models):
            found[f"fit {lanes}"] = lambda k=lanes: self.fitted(k)  # type: ignore[misc]
        found["fit 1 bf16"] = lambda: self.fitted(1, "bf16")
        return found

    def equal(self, lanes: int) -> float:
        """The largest relative difference of the weights of models trained together in float64
        from those of single ones.
        """
        alone, together = self.fitted(1, "float64"), self.fitted(lanes, "float64")
        worst = 0.0
        for a, b in zip(alone, together, strict=True):
            for p, q in zip(a.parameters(), b.parameters(), strict=True):
                worst = max(worst, float((p - q).abs().max() / p.abs().max().clamp(min=1e-12)))
        return worst


def peaks(device: str) -> tuple[float, float]:
    """Of this machine: FLOP a second of a product of 1,024, bytes a second of a copy."""
    a, b = torch.rand(1024, 1024, device=device), torch.rand(1 << 25, device=device)
    c, out = torch.empty_like(a), torch.empty_like(b)

    def best(call: Callable[[], object], times: int = 5) -> float:
        taken = []
        for _ in range(times):
            start = time.process_time() if device == "cpu" else time.perf_counter()
            call()
            if device != "cpu":
                torch.cuda.synchronize()
            taken.append((time.process_time() if device == "cpu" else time.perf_counter()) - start)
        return min(taken)

    return 2 * 1024**3 / best(lambda: torch.mm(a, a, out=c)), 2 * b.nbytes / best(
        lambda: out.copy_(b)
    )


def measure(name: str, models: int, device: str, rounds: int) -> dict[str, Any]:
    case = CASES[name]
    bench = Bench(case, models, device)
    differs = {k: bench.equal(k) for k in LANES if 1 < k <= models}
    if wrong := {k: d for k, d in differs.items() if d > 1e-9}:
        raise SystemExit(f"{name}: models trained together differ from single ones: {wrong}")
    ways = bench.ways()
    taken: dict[str, list[float]] = defaultdict(list)
    for way in ways.values():
        way()
    for _ in range(rounds):
        for way, call in ways.items():
            start = bench.clock()
            call()
            taken[way].append((bench.clock() - start) / (models * case.steps * case.epochs))
    flops, copy = peaks(device)
    return {
        "case": name,
        "models": models,
        "device": device,
        "torch": torch.__version__,
        "sgemm_gflops": flops / 1e9,
        "copy_gbytes": copy / 1e9,
        "float64_difference": max(differs.values(), default=0.0),
        "ms": {way: 1e3 * statistics.median(each) for way, each in taken.items()},
        "against": {
            base: {way: ratios(taken[base], each) for way, each in taken.items()}
            for base in ("published", "lean")
        },
    }


def ratios(base: Sequence[float], other: Sequence[float]) -> list[float]:
    """Median, smallest and largest of the rounds."""
    each = [a / b for a, b in zip(base, other, strict=True)]
    return [statistics.median(each), min(each), max(each)]


def told(found: dict[str, Any]) -> str:
    lines = [
        f"{found['case']}, {found['models']} models, {found['device']}, torch {found['torch']}; "
        f"product {found['sgemm_gflops']:.0f} GFLOP/s, copy {found['copy_gbytes']:.0f} GB/s; "
        f"float64 difference {found['float64_difference']:.1e}"
    ]
    for way, ms in found["ms"].items():
        said = [
            f"{base} x{middle:.2f} [{low:.2f}, {high:.2f}]"
            for base, each in found["against"].items()
            for middle, low, high in [each[way]]
        ]
        lines.append(f"  {way:12} {ms:9.3f} ms a step and model   {'   '.join(said)}")
    return "\n".join(lines)


def write(every: Sequence[dict[str, Any]], device: str) -> None:
    """The table of lanes: of each network those that are clearly faster than any fewer."""
    rows = []
    for found in every:
        network, best = CASES[found["case"]].network, 0.0
        if network in {row[1] for row in rows}:
            continue
        for lanes in (k for k in LANES if f"fit {k}" in found["ms"]):
            rate = 1 / found["ms"][f"fit {lanes}"]
            if ENOUGH * rate > best:
                best = rate
                rows += [(device, network, lanes, lanes)] * (lanes > 1)
    kept = [row for row in csv.reader(TABLE.open()) if row and row[0] not in (device, "device")]
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("device", "network", "models_at_least", "lanes"), *kept, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    machine.keep_memory()
    every = []
    for name in asked.case or ("digits", "cnn"):
        every.append(measure(name, asked.models, asked.device, asked.rounds))
        print(told(every[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(every, indent=1) + "\n")
    if asked.write:
        write(every, asked.device)


if __name__ == "__main__":
    main()
