"""What each attack costs: one target and 16 shadows on 10,000 records of 10 classes, its
signals read from disk, one core.

The goal: all attacks without a network together under 3 s; each that trains one under 15 s. CPU
seconds, so that other work on the machine counts little; reading the files is counted with the
attack that first asks for them.

    python benchmarks/attacks.py [--records 10000] [--classes 10]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from raymia.attack.attack import make
from raymia.attack.learned import Learned
from raymia.point import catalog
from raymia.point.space import Part
from raymia.records.data import Data
from raymia.results.local import Local
from raymia.results.store import Store, pack
from raymia.signals import observe, world
from raymia.signals.world import World
from raymia.study import sweep
from raymia.trial import run as trial

SWEEP = """
name: cost
dataset: digits
network: mlp
protocol: {coin: {models: 18, targets: 1, reserve: 0.2}}
defenses: [[selena: {}]]
attacks: all
training: {lanes: 1}
"""


def signals(records: int, classes: int, root: Path) -> tuple[World, int]:
    """Signals of every need, mildly leaking, written as a trial writes them; their world, and
    how many bytes.
    """
    rng = np.random.default_rng(0)
    data = Data(
        "cost",
        rng.random((records, 2), np.float32),
        np.arange(records) % classes,
        classes,
        image=False,
    )
    made = world.of(sweep.parse(SWEEP).point(0, {}, 0, data), records)
    store = Store(Local(root), made.key)
    observe.keep_split(made, data, root)
    for group in made.groups:
        for m, key in made.model_keys(group).items():
            member = made.split.member[m]
            logits = rng.normal(size=(records, classes))
            logits[np.arange(records), data.y] += 4 + member
            one = {
                name: rng.random(records) - 0.1 * member
                for name in ("input_grad_l1", "input_grad_l2", "weight_grad_l1")
            }
            one |= {
                name: rng.random(records)
                for name in ("weight_grad_l2", "confident_distance", "augmented_right")
            }
            one |= {
                name: rng.random(records)
                for name in ("adversarial_distance_l2", "adversarial_distance_linf")
            }
            one |= {
                "boundary_distance": rng.random(records),
                "sensitivity": rng.random((records, classes)),
            }
            one |= {"split_ai": rng.dirichlet(np.ones(classes), records).astype(np.float32)}
            one |= {"view_log_odds": rng.normal(size=(records, 18)).astype(np.float32)}
            store.put(f"model-{m}.npz", pack({"logits": logits.astype(np.float32), **one}), key)
    return made, sum(f.stat().st_size for f in (root / made.key).iterdir())


def main(records: int, classes: int) -> None:
    torch.set_num_threads(1)
    import scipy.special  # noqa: F401 -- what is imported once a process is no attack's cost
    import sklearn.metrics  # noqa: F401

    import raymia.training.fit  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        made, size = signals(records, classes, Path(folder))
        print(
            f"{records} records, {classes} classes, 16 shadows, {size / 1e6:.0f} MB of signals; "
            f"load {os.getloadavg()[0]:.1f}"
        )
        print("\n| attack | CPU seconds | wall |\n|---|---|---|")
        observe.load.cache_clear()
        plain = 0.0
        for name in sorted(
            catalog.names("attacks"), key=lambda n: isinstance(make(Part(n, {})), Learned)
        ):
            attack = make(Part(name, {}))
            wall, cpu = time.perf_counter(), time.process_time()
            asked = tuple(sorted(attack.traits().needs))
            trial.verdicts(attack, name, observe.load(made, Path(folder), asked), [0], (0,))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            plain += 0.0 if isinstance(attack, Learned) else cpu
            print(f"| {name} | {cpu:.2f} | {wall:.2f} |", flush=True)
        print(f"\nall without a network: {plain:.2f} CPU seconds")


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--records", type=int, default=10_000)
    options.add_argument("--classes", type=int, default=10)
    given = options.parse_args()
    main(given.records, given.classes)
