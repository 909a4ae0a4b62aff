"""Samples per second of `fit`, by network and lanes; `--write` turns the medians into
raymia/study/lanes.csv.

    python benchmarks/lanes.py [--device cpu] [--rounds 3] [--write]

The table is what `lanes: auto` reads: a stopwatch never decides inside a run. Rounds alternate
over lanes, so that a machine that slows down slows all of them.
"""

import argparse
import csv
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.training.defense import Lesson
from raymia.training.fit import fit
from raymia.training.network import Network
from raymia.training.recipe import Recipe

CASES = {  # network: (knobs, input shape, records a model, batch)
    "mlp": ({}, (1, 8, 8), 240, 64),
    "cnn": ({}, (1, 28, 28), 256, 64),
    "resnet18": ({"width": 16}, (3, 32, 32), 64, 32),
}
MODELS = 8
LANES = (1, 2, 4, 8)
TABLE = Path(__file__).parents[1] / "raymia" / "study" / "lanes.csv"


def seconds(network: str, lanes: int, device: str, epochs: int) -> float:
    knobs, shape, records, batch = CASES[network]
    torch.set_num_threads(1)
    x = torch.rand((2 * records, *shape), generator=torch.Generator().manual_seed(0)).to(device)
    y = (torch.arange(2 * records) % 10).to(device)
    rng = np.random.default_rng(0)
    members = [rng.permutation(2 * records)[:records] for _ in range(MODELS)]

    def build() -> Network:
        net: Network = catalog.make("networks", network, knobs).build(shape, 10)
        return net

    start = time.perf_counter()
    for first in range(0, MODELS, lanes):
        mine = tuple(members[first : first + lanes])
        lesson = Lesson(x, y, mine, (np.zeros(0, np.int64),) * lanes, 10)
        fit(
            Recipe(),
            build,
            lesson,
            Training(epochs=epochs, batch_size=batch),
            (0,),
            range(first, first + lanes),
        )
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rows = []
    for network, (_, _, records, _) in CASES.items():
        epochs = 10 if network == "mlp" else 2
        taken = defaultdict(list)
        seconds(network, 1, asked.device, 1)
        for _ in range(asked.rounds):
            for lanes in LANES:
                taken[lanes].append(seconds(network, lanes, asked.device, epochs))
        rate = {
            lanes: MODELS * records * epochs / statistics.median(times)
            for lanes, times in taken.items()
        }
        print(
            f"{asked.device} {network}: "
            + ", ".join(f"lanes {k}: {v:,.0f} samples/s" for k, v in rate.items()),
            flush=True,
        )
        best = max(LANES, key=lambda k: rate[k])
        # a wider group is worth its memory and its coarser unit of work only where it is
        # clearly faster
        narrow = next(k for k in LANES if rate[k] >= 0.9 * rate[best])
        rows += [(asked.device, network, narrow, narrow)] if narrow > 1 else []
    if asked.write:
        kept = [
            row
            for row in csv.reader(TABLE.open())
            if row and row[0] not in (asked.device, "device")
        ]
        with TABLE.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("device", "network", "models_at_least", "lanes"), *kept, *rows])


if __name__ == "__main__":
    main()
