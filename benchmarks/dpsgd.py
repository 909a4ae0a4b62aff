"""What a private step costs: a model trained by DP-SGD against the same network without it.

    python benchmarks/dpsgd.py [--case digits] [--models 2] [--rounds 5] [--json FILE]

Milliseconds of the process's own time on one thread, a step and model, and ratios to the step
without privacy: medians over rounds, which alternate over the ways, with the smallest and the
largest. All ways train the same network, with GroupNorm where it has BatchNorm. `opacus`: a loop of
Opacus's ghost clipping, as its documentation writes it, in the memory order in which its norms are
right. No time is printed where the clipped sum is not that of single gradients in float64.
"""

import argparse
import json
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from training import CASES, Case, ratios

from raymia import machine
from raymia.defenses.dpsgd import Dpsgd
from raymia.point.schedule import Training
from raymia.training.clipping import Clipping
from raymia.training.defense import Lesson
from raymia.training.fit import fit
from raymia.training.network import Network
from raymia.training.recipe import Recipe

PRIVATE = Dpsgd(accountant="rdp")


class Bench:
    """The records of a case, and the ways to train so many models on all of them."""

    def __init__(self, case: Case, models: int) -> None:
        self.case, self.models = case, models
        source = torch.Generator().manual_seed(0)
        self.x = torch.rand((case.records, *case.shape), generator=source)
        self.y = torch.arange(case.records) % case.classes

    def build(self) -> Network:
        return PRIVATE.network(self.case.build())

    def fitted(self, recipe: Recipe) -> None:
        how = Training(epochs=self.case.epochs, batch_size=self.case.batch)
        none = np.zeros(0, np.int64)
        for k in range(self.models):  # one model at a time, as DP-SGD trains
            members = (np.arange(self.case.records),)
            lesson = Lesson(self.x, self.y, members, (none,), self.case.classes)
            fit(recipe, self.build, lesson, how, (0,), [k])

    def opacus(self) -> None:
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping
        from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

        draw = np.random.default_rng(0)
        for _ in range(self.models):
            net: Any = GradSampleModuleFastGradientClipping(self.build().train(), strict=False)
            optimizer = DPOptimizerFastGradientClipping(
                torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4),
                noise_multiplier=PRIVATE.sigma,
                max_grad_norm=PRIVATE.max_grad_norm,
                expected_batch_size=self.case.batch,
            )
            for _ in range(self.case.steps * self.case.epochs):
                rows = torch.as_tensor(draw.random(len(self.y)) < 1 / self.case.steps)
                optimizer.zero_grad()
                losses = F.cross_entropy(net(self.x[rows]).logits, self.y[rows], reduction="none")
                DPTensorFastGradientClipping(net, optimizer, losses).backward()
                optimizer.step()

    def differs(self, records: int = 8) -> float:
        """How far the clipped sum of some records is from that of single gradients, relative."""
        net, x, y = self.build().double().train(), self.x[:records].double(), self.y[:records]
        net = net.to(memory_format=torch.channels_last)

        def losses(some: slice = slice(None)) -> Tensor:
            return F.cross_entropy(net(x[some]).logits, y[some], reduction="none")

        parameters = list(net.parameters())
        single = [torch.autograd.grad(losses(slice(i, i + 1)), parameters) for i in range(records)]
        flat = torch.stack([torch.cat([g.flatten() for g in grads]) for grads in single])
        norms = flat.norm(dim=1)
        bound = float(norms.median())
        clip = Clipping(net, bound)
        sums, _ = clip(losses)
        clip.close()
        expected = (bound / norms).clamp(max=1) @ flat
        found = torch.cat([sums[p].flatten() for p in parameters])
        return float((found - expected).norm() / expected.norm())


def measure(name: str, models: int, rounds: int) -> dict[str, Any]:
    case = CASES[name]
    bench = Bench(case, models)
    if (apart := bench.differs()) > 1e-9:
        raise SystemExit(f"{name}: the clipped sum differs from that of single gradients: {apart}")
    ways: dict[str, Callable[[], None]] = {
        "not private": lambda: bench.fitted(Recipe()),
        "private": lambda: bench.fitted(Recipe((PRIVATE,))),
        "opacus": bench.opacus,
    }
    taken: dict[str, list[float]] = defaultdict(list)
    for i in range(rounds + 1):
        for way, call in ways.items():
            start = time.process_time()
            call()
            if i:  # the first round warms up
                spent = time.process_time() - start
                taken[way].append(1e3 * spent / (models * case.steps * case.epochs))
    base = taken["not private"]
    return {
        "case": name,
        "models": models,
        "torch": torch.__version__,
        "float64_difference": apart,
        "ms": {way: statistics.median(each) for way, each in taken.items()},
        "ratio": {way: ratios(each, base) for way, each in taken.items()},
    }


def told(found: dict[str, Any]) -> str:
    lines = [
        f"{found['case']}, {found['models']} models, torch {found['torch']}; float64 difference "
        f"{found['float64_difference']:.1e}"
    ]
    for way, ms in found["ms"].items():
        middle, low, high = found["ratio"][way]
        lines.append(
            f"  {way:12} {ms:9.3f} ms a step and model   x{middle:.2f} [{low:.2f}, {high:.2f}]"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    machine.keep_memory()
    # records need no gradient, which Opacus's hooks are told of
    warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
    every = []
    for name in asked.case or ("digits", "cnn"):
        every.append(measure(name, asked.models, asked.rounds))
        print(told(every[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
