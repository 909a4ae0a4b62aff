"""What each attack costs: CPU seconds of one thread and peak memory, one target and its shadows.

The signals are made up, of every need, and written as a trial writes them. Each attack runs in a
process of its own, as the first one there: it reads and verifies the files, scores, and is judged.
`read`: what of it is reading; `peak`: the memory of the process, less what it had before it read.

    python benchmarks/attacks.py [--records 50000] [--models 16] [--classes 100] [--only NAME ...]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from raymia.attack.attack import column, make
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
protocol: {{coin: {{models: {models}, targets: 1, reserve: 0.2}}}}
defenses: [[]]
attacks: all
training: {{lanes: 1}}
"""
NUMBERS = (
    *("input_grad_l1", "input_grad_l2", "weight_grad_l1", "weight_grad_l2", "confident_distance"),
    *("augmented_right", "adversarial_distance_l2", "adversarial_distance_linf"),
    *("boundary_distance", "adversarial_l1_distance", "boundary_norms_l1", "boundary_norms_linf"),
)


def made(records: int, models: int, classes: int) -> tuple[World, Data]:
    """The world of such signals, and records of two features."""
    rng = np.random.default_rng(0)
    x, y = rng.random((records, 2), np.float32), np.arange(records) % classes
    data = Data("cost", x, y, classes, image=False)
    return world.of(sweep.parse(SWEEP.format(models=models)).point(0, {}, 0, data), records), data


def write(of: World, data: Data, root: Path) -> int:
    """Mildly leaking answers of all models; how many bytes they are."""
    rng, n = np.random.default_rng(1), len(data)
    store = Store(Local(root), of.key)
    observe.keep_split(of, data, root)
    keys = {m: key for group in of.groups for m, key in of.model_keys(group).items()}
    for m, key in keys.items():
        member = of.split.member[m]
        logits = rng.normal(size=(n, data.classes)).astype(np.float32)
        logits[np.arange(n), data.y] += 4 + member
        one = {name: rng.random(n) - 0.1 * member for name in NUMBERS}
        one |= {"random_confidence": -rng.exponential(size=n), "record": data.x}
        one |= {"sensitivity": rng.random((n, data.classes))}
        one |= {"view_log_odds": rng.normal(size=(n, 18)).astype(np.float32)}
        store.put(f"model-{m}.npz", pack({"logits": logits, **one}), key)
    return sum(f.stat().st_size for f in (root / of.key).iterdir())


def parts() -> list[Part]:
    """Every attack as `attacks: all` holds it."""
    return list(sweep.parse(SWEEP.format(models=16)).attacks)


def peak() -> float:
    """MB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(part: Part, of: World, root: Path) -> dict[str, Any]:
    """What one attack costs, in this process."""
    import scipy.stats  # noqa: F401 -- what is imported once a process is no attack's cost
    import sklearn.ensemble  # noqa: F401
    import torch

    import raymia.training.perceptrons  # noqa: F401

    torch.set_num_threads(1)
    attack, before, begin = make(part), peak(), time.process_time()
    signals = observe.load(of, root, tuple(sorted(attack.traits().needs)))
    read = time.process_time()
    found = trial.verdicts(attack, column(part), signals, [0], (0,))
    done = time.process_time()
    return {
        "attack": column(part),
        "cpu_s": round(done - begin, 2),
        "read_s": round(read - begin, 2),
        "peak_mb": round(peak() - before),
        "auc": found[0].line["auc"],
    }


def main(records: int, models: int, classes: int, only: list[str], as_json: bool) -> None:
    of, data = made(records, models, classes)
    with tempfile.TemporaryDirectory() as folder:
        size = write(of, data, Path(folder))
        facts = {"records": records, "models": models, "classes": classes, "mb": size // 2**20}
        rows = []
        for i, part in enumerate(parts()):
            if only and part.name not in only:
                continue
            sizes = [f"--{name}={facts[name]}" for name in ("records", "models", "classes")]
            asked = [sys.executable, __file__, f"--one={i}", f"--root={folder}", *sizes]
            alone = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(asked, env=alone, check=True, stdout=subprocess.PIPE)
            rows.append(json.loads(done.stdout))
            print(f"... {rows[-1]['attack']}", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps({**facts, "attacks": rows}))
        return
    print(f"{records} records, {classes} classes, {models} models, {facts['mb']} MB of signals\n")
    print("| attack | CPU seconds | of them reading | peak MB |\n|---|---|---|---|")
    for row in sorted(rows, key=lambda row: row["cpu_s"]):
        print(f"| `{row['attack']}` | {row['cpu_s']} | {row['read_s']} | {row['peak_mb']} |")


if __name__ == "__main__":
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--case", choices=("cost",), default="cost")
    options.add_argument("--records", type=int, default=50_000)
    options.add_argument("--models", type=int, default=16)
    options.add_argument("--classes", type=int, default=100)
    options.add_argument("--only", nargs="*", choices=catalog.names("attacks"), default=[])
    options.add_argument("--json", action="store_true")
    options.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one is None:
        main(given.records, given.models, given.classes, given.only, given.json)
    else:
        of, _ = made(given.records, given.models, given.classes)
        print(json.dumps(one(parts()[given.one], of, given.root)))
