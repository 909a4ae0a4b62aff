"""What a defense costs at inference: milliseconds for one batch, from records on the device to
released logits on the host, beside the undefended network's.

    python benchmarks/latency.py [--network resnet20] [--defenses srcm rounding ...]
        [--batch 256] [--rounds 7] [--calls 1] [--shape 3 32 32] [--classes 10] [--device cpu]
        [--threads 1] [--clock wall]

Source: Fang & Kim, SRCM, AIES 2024, table 3 (ResNet18, VGG11 and MobileNetV3-Large, a batch of
256; it names no number of threads and no image size).

Every model is trained for one epoch of one batch: what a network computes for a record does not
depend on its weights (how many steps `memguard` takes does). Rounds go through all defenses in
turn, so that a machine that slows down slows all of them; `x none` is the median over rounds of
the ratio within one. `--clock cpu` counts the process's own CPU time, for one thread of a machine
with other work. A stopwatch's numbers stand in no row.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.streams import stream
from raymia.training.defense import Lesson, Owned
from raymia.training.fit import fit
from raymia.training.model import predict
from raymia.training.recipe import recipe

Answer = Callable[[], object]
NONE = "none"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
DEFENSES = ("srcm", "temperature", "rounding", "top_k", "hamp")


def answers(
    defense: str, network: str, batch: int, shape: tuple[int, ...], classes: int, device: str
) -> Answer:
    """Answers one batch as the defense, its knobs at their defaults, releases it."""
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.random((batch, *shape), np.float32), device=device)
    y = torch.as_tensor(np.arange(batch) % classes, device=device)
    members, reference = np.arange(batch // 2), np.arange(batch // 2, batch)
    parts = [] if defense == NONE else [Part(defense, {})]
    made, build = recipe(parts), catalog.make("networks", network, {}).build
    lesson = Lesson(x, y, (members,), (reference,), classes)
    training = Training(epochs=1, batch_size=len(members))
    (model,) = fit(made, lambda: build(shape, classes), lesson, training, ("latency",), [0])

    def noise(n: int) -> np.ndarray:
        drawn = rng.random((n, *shape), np.float32)
        return predict(model, torch.as_tensor(drawn, device=device))

    release = made.release(
        Owned(predict(model, x), members, reference, stream("latency", "release"), noise)
    )
    return lambda: release(predict(model, x))


def rounds(
    asked: Mapping[str, Answer],
    times: int,
    calls: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Milliseconds a call [times] of each, in turn; the first of each, which may set things up,
    are not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for answer in asked.values():
        answer()
    for _ in range(times):
        for name, answer in asked.items():
            start = clock()
            for _ in range(calls):
                answer()
            taken[name].append(1000 * (clock() - start) / calls)
    return taken


def lines(taken: Mapping[str, list[float]]) -> list[str]:
    """A table: the median with the quartiles over rounds, and the median ratio to none."""
    out = ["| defense | ms a batch | quartiles | x none |", "|---|---|---|---|"]
    for name, found in taken.items():
        low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
        ratio = statistics.median(a / b for a, b in zip(found, taken[NONE], strict=True))
        out.append(f"| {name} | {middle:.2f} | {low:.2f} to {high:.2f} | {ratio:.3f} |")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="resnet20", choices=catalog.names("networks"))
    parser.add_argument(
        "--defenses", nargs="+", default=DEFENSES, choices=catalog.names("defenses")
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1, help="of each in one round")
    parser.add_argument("--shape", type=int, nargs="+", default=(3, 32, 32))
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    given = parser.parse_args()
    if given.clock == "cpu" and (given.threads > 1 or given.device != "cpu"):
        parser.error("--clock cpu is for one thread on the cpu")
    if given.rounds < 2 or given.calls < 1 or given.batch < 2:
        parser.error("--rounds 2, --calls 1 and --batch 2 are the least that is allowed")
    torch.set_num_threads(given.threads)
    size = (given.network, given.batch, tuple(given.shape), given.classes, given.device)
    asked = {name: answers(name, *size) for name in (NONE, *given.defenses)}
    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else "cpu"
    print(
        f"{given.network}, batch {given.batch} of {'x'.join(map(str, given.shape))}, {where}, "
        f"{given.threads} threads, {given.rounds} rounds, {given.clock} time\n"
    )
    taken = rounds(asked, given.rounds, given.calls, CLOCKS[given.clock])
    print("\n".join(lines(taken)))


if __name__ == "__main__":
    main()
