"""A whole shadow job: train the models, ask them all records, keep what they say, score targets.

    python benchmarks/job.py [--network resnet18] [--records 50000] [--models 256] [--epochs 100]
        [--batch 128] [--targets 16] [--attacks lira rmia] [--precision float32] [--engine auto]
        [--lanes auto] [--slice 0.01] [--rounds 3] [--device cpu|cuda|fake] [--json FILE]

Images of 3 x 32 x 32 in 10 classes; each model trains on half of them, with crops and flips. What
is measured is a slice, and the rest by proportion: a group of models for that share of their steps
and for twice as many, whose difference is what a step costs (the rest is what a group costs before
its first); one model asked that share of the records and twice as many; the files of one model; and
of each attack one target, all records and models, after a first one that pays for what all share.
The seconds of training stand beside what this machine's own matrix products take for as many
FLOP. On `cpu`: one thread, its own CPU time, so that other work disturbs little; `cuda`: wall time
of work that has ended, the host's included. `fake` measures nothing: a made-up machine, to try the
arithmetic. Runs without Ray.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from raymia import machine
from raymia.attack import attack as attacks
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.protocols.coin import Coin
from raymia.results.local import Local
from raymia.results.store import Store, pack
from raymia.signals.view import Signals
from raymia.study import engines
from raymia.training.defense import Lesson
from raymia.training.fit import fit
from raymia.training.model import Model, predict, saved
from raymia.training.network import Network
from raymia.training.recipe import Recipe
from raymia.trial.judge import verdicts

SHAPE, CLASSES = (3, 32, 32), 10
SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices whose product is the peak
ENGINES = ("auto", "loop", "stacked", "compiled", "graph")
LEAST = 4  # steps, and batches of records asked


@dataclass(frozen=True)
class Job:
    network: str = "resnet18"
    records: int = 50_000
    models: int = 256
    epochs: int = 100
    batch: int = 128
    targets: int = 16
    attacks: tuple[str, ...] = ("lira", "rmia")
    precision: str = "float32"
    engine: str = "auto"
    lanes: int | str = "auto"
    slice: float = 0.01

    @property
    def steps(self) -> int:
        """Of one model."""
        return ceil(self.records // 2 / self.batch) * self.epochs

    @property
    def few(self) -> int:
        """Steps of the slice."""
        return max(LEAST, round(self.slice * self.steps))

    @property
    def some(self) -> int:
        """Records of the slice."""
        return min(self.records // 2, max(LEAST * self.batch, round(self.slice * self.records)))

    def chosen(self, device: str) -> engines.Chosen:
        training = self.training(self.engine, self.epochs)
        return engines.chosen(device, Part(self.network, {}), training, self.models, self.lanes)

    def training(self, engine: str, epochs: int) -> Training:
        return Training(
            epochs=epochs,
            batch_size=self.batch,
            augment="crop_flip",
            precision=self.precision,  # type: ignore[arg-type]
            engine=engine,  # type: ignore[arg-type]
        )

    def build(self) -> Network:
        net: Network = catalog.made("networks", Part(self.network, {})).build(SHAPE, CLASSES)
        return net

    @property
    def flops(self) -> int:
        """Of one record, forward and backward, as torch counts products and convolutions."""
        counter = FlopCounterMode(display=False)
        x, y = torch.rand(2, *SHAPE), torch.arange(2)
        with counter:
            torch.autograd.backward(F.cross_entropy(self.build().train()(x).logits, y))
        return counter.get_total_flops() // 2


class Machine(Protocol):
    """Seconds of parts of a job."""

    @property
    def name(self) -> str: ...
    def train(self, models: int, steps: int) -> float: ...
    def ask(self, records: int) -> float: ...
    def keep(self) -> float: ...
    def score(self, attack: str, target: int) -> float: ...
    def peak(self, precision: str) -> float: ...


@dataclass(frozen=True)
class Fake:
    """Everything by proportion, and something before it."""

    name: str = "fake"
    before: float = 0.5
    step: float = 0.002
    record: float = 1e-6
    target: float = 0.25
    peaks: Mapping[str, float] = field(
        default_factory=lambda: {"float32": 5e13, "tf32": 4e14, "bf16": 8e14}
    )

    def train(self, models: int, steps: int) -> float:
        return self.before + self.step * models * steps

    def ask(self, records: int) -> float:
        return self.before + self.record * records

    def keep(self) -> float:
        return 0.1

    def score(self, attack: str, target: int) -> float:
        return self.target + (self.before if target == 0 else 0.0)

    def peak(self, precision: str) -> float:
        return self.peaks[precision]


class Real:
    """This machine."""

    def __init__(self, job: Job, device: str) -> None:
        self.job, self.device = job, device
        source = torch.Generator().manual_seed(0)
        self.x = torch.rand((job.records, *SHAPE), generator=source).to(device)
        self.y = (torch.arange(job.records) % CLASSES).to(device)
        self.engine = job.chosen(device).engine

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name() if self.device == "cuda" else "cpu, one thread"

    def _seconds(self, call: Callable[[], object]) -> float:
        clock = time.process_time if self.device == "cpu" else self._ended
        start = clock()
        call()
        return clock() - start

    @staticmethod
    def _ended() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    def _fit(self, models: int, steps: int) -> list[Any]:
        """Over one long epoch of so many batches."""
        rng, own = np.random.default_rng(0), steps * self.job.batch
        members = tuple(np.sort(_drawn(rng, self.job.records, own)) for _ in range(models))
        lesson = Lesson(self.x, self.y, members, (np.zeros(0, np.int64),) * models, CLASSES)
        training = self.job.training(self.engine, 1)
        return fit(Recipe(), self.job.build, lesson, training, (0,), range(models))

    def train(self, models: int, steps: int) -> float:
        return self._seconds(lambda: self._fit(models, steps))

    @cached_property
    def _model(self) -> Model:
        model: Model = self._fit(1, LEAST)[0]
        return model

    def ask(self, records: int) -> float:
        model, x = self._model, self.x[:records]
        return self._seconds(lambda: predict(model, x))

    def keep(self) -> float:
        """On this machine's disk, with what is written there on the disk (fsync)."""
        logits = np.zeros((self.job.records, CLASSES), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Local(Path(folder)), "signals")

            def write() -> None:
                store.put("model-0.npz", pack({"logits": logits}))
                store.put("model-0.safetensors", saved(self._model))

            return self._seconds(write)

    @cached_property
    def _signals(self) -> Signals:
        split = Coin(models=self.job.models, targets=self.job.targets).draw(self.job.records, 0, 0)
        rng, labels = np.random.default_rng(0), self.y.cpu().numpy()
        logits = np.empty((*split.member.shape, CLASSES), np.float32)
        for one, member in zip(logits, split.member, strict=True):
            one[:] = rng.standard_normal(one.shape, np.float32)
            one[np.arange(len(labels)), labels] += 3 + member
        return Signals(split, labels, {"logits": logits})

    def score(self, attack: str, target: int) -> float:
        made, signals = attacks.make(Part(attack, {})), self._signals
        start = time.process_time()  # on the host, one thread
        verdicts(made, attack, signals, (target,), (0, 0))
        return time.process_time() - start

    def peak(self, precision: str) -> float:
        """FLOP a second of a product of two square matrices: the best of some."""
        side = SIDE[self.device]
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a = torch.rand(side, side, device=self.device).to(kind)
        out, before = torch.empty_like(a), torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        taken = [self._seconds(lambda: torch.mm(a, a, out=out)) for _ in range(12)]
        torch.backends.cuda.matmul.allow_tf32 = before
        return 2 * side**3 / min(taken)


def _drawn(rng: np.random.Generator, records: int, many: int) -> np.ndarray:
    """Records, each as often as it takes: a slice may be longer than an epoch."""
    whole = [rng.permutation(records) for _ in range(ceil(many / records))]
    return np.concatenate(whole)[:many]


def by_two(measure: Callable[[int], float], few: int, rounds: int) -> tuple[float, float]:
    """(before, each): what `few` and twice as many take says of one, and of what comes before it;
    medians over rounds. Raises SystemExit where they say nothing.
    """
    pairs = [(measure(few), measure(2 * few)) for _ in range(rounds)]
    each = statistics.median((b - a) / few for a, b in pairs)
    if each <= 0:
        raise SystemExit(f"{2 * few} took no longer than {few}: noise; a larger --slice is needed")
    return max(0.0, statistics.median(2 * a - b for a, b in pairs)), each


def measure(job: Job, here: Machine, lanes: int, rounds: int) -> dict[str, Any]:
    """Seconds of every part of the whole job, and of it what was measured."""
    first = here.train(lanes, 2)  # what a process pays once: kernels are chosen and compiled
    before, step = by_two(lambda steps: here.train(lanes, steps), job.few, rounds)
    start, record = by_two(here.ask, job.some, rounds)
    groups = ceil(job.models / lanes)
    seconds = {
        "start": first,
        "train": groups * (before + step * job.steps),
        "ask": job.models * (start + record * job.records),
        "keep": job.models * here.keep(),
    }
    for attack in job.attacks:
        shared, one = here.score(attack, 0), here.score(attack, 1)
        seconds[f"score {attack}"] = max(0.0, shared - one) + job.targets * one
    work = float(job.flops) * (job.records // 2) * job.epochs * job.models
    kinds = ("float32", "bf16") if "cpu" in here.name else ("float32", "tf32", "bf16")
    peaks = {kind: here.peak(kind) for kind in kinds}
    return {
        "job": asdict(job),
        "machine": here.name,
        "torch": torch.__version__,
        "lanes": lanes,
        "slice": {
            "steps": [3 * job.few, job.steps],
            "models": [lanes, job.models],
            "records": [3 * job.some, job.records],
            "targets": [1, job.targets],
        },
        "ms_a_step_and_model": 1e3 * step / lanes,
        "seconds": seconds,
        "flop": work,
        "peaks": peaks,
        "of_peak": {kind: work / seconds["train"] / peak for kind, peak in peaks.items()},
    }


def told(found: Mapping[str, Any], engine: str) -> str:
    job, part, total = found["job"], found["slice"], sum(found["seconds"].values())
    lines = [
        f"{job['models']} x {job['network']}, {job['records']} records, {job['epochs']} epochs in "
        f"batches of {job['batch']}, {job['precision']}, {engine}, {found['lanes']} at a time; "
        f"{found['machine']}, torch {found['torch']}",
        "measured: "
        + ", ".join(f"{few:,} of {all_:,} {what}" for what, (few, all_) in part.items())
        + "; the rest by proportion",
        f"{found['ms_a_step_and_model']:.3f} ms a step and model",
        "",
        "| part | seconds | share |",
        "|---|---|---|",
        *(f"| {k} | {s:,.1f} | {s / total:.1%} |" for k, s in found["seconds"].items()),
        f"| all, one after another | {total:,.1f} ({total / 3600:.2f} h) | |",
        "",
        f"training is {found['flop']:.3g} FLOP: "
        + ", ".join(
            f"{share:.2f} of {found['peaks'][kind] / 1e12:.3g} TFLOP/s ({kind})"
            for kind, share in found["of_peak"].items()
        ),
    ]
    return "\n".join(lines)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Job()
    parser.add_argument("--network", default=usual.network, choices=catalog.names("networks"))
    for name in ("records", "models", "epochs", "batch", "targets"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--attacks", nargs="+", default=usual.attacks)
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bf16"))
    parser.add_argument("--engine", default="auto", choices=ENGINES)
    parser.add_argument("--lanes", type=lambda word: word if word == "auto" else int(word))
    parser.add_argument("--slice", type=float, default=usual.slice)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "fake"))
    parser.add_argument("--json", type=Path)
    asked = vars(parser.parse_args(given))
    device, rounds, file = (asked.pop(name) for name in ("device", "rounds", "json"))
    job = Job(**{**asked, "attacks": tuple(asked["attacks"]), "lanes": asked["lanes"] or "auto"})
    try:
        Coin(models=job.models, targets=job.targets)
    except ValueError as refusal:
        parser.error(str(refusal))
    torch.set_num_threads(1)
    machine.keep_memory()
    chosen = job.chosen("cuda" if device == "fake" else device)
    here: Machine = Fake() if device == "fake" else Real(job, device)
    found = measure(job, here, chosen.lanes, rounds)
    print(told(found, chosen.engine))
    if device == "cuda":
        print(f"at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of the GPU's memory")
    if file:
        file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
