"""How fast models are trained: `fit` against the loop that papers publish and against a lean one.

    python benchmarks/training.py [--case digits] [--models 8] [--device cpu] [--rounds 3]
                                  [--json FILE] [--compiled] [--write] [--guard]

Ratios, above 1 where `fit` is faster: medians over rounds, which alternate over the ways in one
process of one thread, with the smallest and the largest. On a CPU it is the process's own time, so
that other processes disturb little. `published`: a DataLoader, torch's SGD, `.item()` a step, one
model after another. `lean`: resident records, one index a batch, torch's fused SGD. No speed is
printed of a way whose weights are not those of the plain loop in float64. `--write` makes
raymia/study/engines.csv of the medians, which `engine: auto` reads: no stopwatch decides in a run.
"""

import argparse
import csv
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from raymia.point.space import Part
from raymia.study import engines
from raymia.training.backends.wide import can_be_wide
from raymia.training.defense import Lesson
from raymia.training.fit import fit
from raymia.training.network import Network
from raymia.training.recipe import Recipe

TABLE = Path(__file__).parents[1] / "raymia" / "study" / "engines.csv"
LANES = (1, 2, 4, 8, 32)
ENOUGH = 0.9  # a wider group, which costs memory and is a coarser unit of work, must give more
CLEAR = 0.97  # so must anything that is not the plain loop


@dataclass(frozen=True)
class Case:
    network: str
    knobs: dict[str, Any]
    shape: tuple[int, ...]
    classes: int
    batch: int
    steps: int  # of each model in an epoch; so many in all that building it has hardly a share
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
    "digits": Case("mlp", {}, (1, 8, 8), 10, 64, 28, epochs=12),
    "digits256": Case("mlp", {}, (1, 8, 8), 10, 256, 8, epochs=12),
    "location": Case("mlp", LOCATION, (446,), 30, 128, 32, epochs=3),
    "cnn": Case("cnn", {}, (1, 28, 28), 10, 128, 8),
    "resnet20": Case("resnet20", {}, (3, 32, 32), 10, 128, 4),
    "resnet18w16": Case("resnet18", {"width": 16}, (3, 32, 32), 10, 64, 8),
    "resnet18": Case("resnet18", {}, (3, 32, 32), 10, 32, 4),
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

    def fitted(self, engine: str, lanes: int, precision: str = "float32") -> list[nn.Module]:
        """By `fit`, so many models at a time."""
        case = self.case
        training = Training(
            epochs=case.epochs,
            batch_size=case.batch,
            precision=precision,  # type: ignore[arg-type]
            engine=engine,  # type: ignore[arg-type]
        )
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

    def ways(self, compiled: bool) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {"published": self.published, "lean": self.lean}
        for engine, lanes, precision in self.engines(compiled):
            name = " ".join([engine, str(lanes), precision.replace("float32", "")]).strip()
            found[name] = partial(self.fitted, engine, lanes, precision)
        return found

    def engines(self, compiled: bool) -> list[tuple[str, int, str]]:
        stacks = [k for k in LANES if k <= self.models]
        wide = can_be_wide(self.case.build())
        found = [("loop", 1, "float32"), ("loop", 1, "bf16")]
        found += [("compiled", 1, "float32"), ("compiled", 1, "bf16")] * compiled
        found += [("stacked", k, "float32") for k in stacks if k > 1 or wide]
        if self.device == "cuda":
            found += [("loop", 1, "tf32"), ("graph", 1, "float32"), ("graph", 1, "bf16")]
            found += [("graph", k, "float32") for k in stacks if k > 1]
        return found

    def equal(self, engine: str, lanes: int) -> float:
        """The largest relative difference of the weights of models so trained in float64 from
        those of the plain loop.
        """
        alone, together = (
            self.fitted("loop", 1, "float64"),
            self.fitted(engine, lanes, "float64"),
        )
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


def measure(name: str, models: int, device: str, rounds: int, compiled: bool) -> dict[str, Any]:
    case = CASES[name]
    bench = Bench(case, models, device)
    differs = {
        (engine, k): bench.equal(engine, k)
        for engine, k, precision in bench.engines(compiled)
        if precision == "float32" and engine != "loop"
    }
    if wrong := {k: d for k, d in differs.items() if d > 1e-9}:
        raise SystemExit(f"{name}: these do not train what the plain loop trains: {wrong}")
    ways = bench.ways(compiled)
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
    """The table of engines: of each network and batch, by the number of models, what is clearly
    faster than anything simpler.
    """
    rows: list[tuple[object, ...]] = []
    for found in every:
        case = CASES[found["case"]]
        network = engines.spelled(
            Part(case.network, vars(catalog.make("networks", case.network, case.knobs)))
        )
        of = (device, network, "float32", case.batch)
        best, loop, last = 1 / found["ms"]["loop 1"], ("loop", 1), None
        chosen = loop
        for lanes in LANES:
            rate = 1 / found["ms"].get(f"stacked {lanes}", float("inf"))
            if rate * (ENOUGH if chosen != loop else CLEAR) > best:
                best, chosen = rate, ("stacked", lanes)
            if chosen != last and chosen[1] <= lanes:
                rows.append((*of, lanes, *chosen))
                last = chosen
    kept = [row for row in csv.reader(TABLE.open()) if row and row[0] not in (device, "device")]
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([engines.Row._fields, *kept, *rows])


def guard() -> None:
    """That `engine: auto` has not become slower than the plain loop, nor than the published one:
    at a tiny size, with a margin that a busy machine does not eat up.
    """
    bench = Bench(replace(CASES["digits"], epochs=1), 8, "cpu")
    network = Part("mlp", vars(catalog.make("networks", "mlp", {})))
    auto = engines.chosen("cpu", network, Training(), bench.models, "auto")
    ways = {
        "published": bench.published,
        "loop": partial(bench.fitted, "loop", 1),
        "auto": partial(bench.fitted, auto.engine, auto.lanes),
    }
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(5):
        for way, call in ways.items():
            start = bench.clock()
            call()
            taken[way].append(bench.clock() - start)
    ms = {way: 1e3 * statistics.median(each) for way, each in taken.items()}
    print(f"auto is {auto.engine} {auto.lanes}: CPU ms {ms}")
    if ms["auto"] > 0.8 * ms["loop"] or ms["loop"] > ms["published"]:
        raise SystemExit("an engine that `auto` chooses is slower than what it is to replace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compiled", action="store_true", help="the compiled loop too")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--guard", action="store_true", help="only: is auto still the faster one?")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    machine.keep_memory()
    if asked.guard:
        return guard()
    every = []
    for name in asked.case or ("digits", "cnn"):
        every.append(measure(name, asked.models, asked.device, asked.rounds, asked.compiled))
        print(told(every[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(every, indent=1) + "\n")
    if asked.write:
        write(every, asked.device)


if __name__ == "__main__":
    main()
