"""What it costs to ask a model what attacks want to know: CPU milliseconds a record, one thread.

    python benchmarks/queries.py [--network cnn] [--records 1024] [--only NAME ...]

A network of its first weights, images of 3 x 32 x 32 (`cnn`: 1 x 28 x 28) in 10 classes; the
smaller of two calls.
"""

import argparse
import time

import numpy as np
import torch

from raymia import machine
from raymia.point import catalog
from raymia.point.space import Part
from raymia.signals.queries import QUERIES, Subject
from raymia.streams import stream
from raymia.training.model import Model

NOT_OF_A_MODEL = {"record", "split_ai"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    networks = [n for n in catalog.names("networks") if catalog.find("networks", n).images]
    parser.add_argument("--network", default="cnn", choices=networks)
    parser.add_argument("--records", type=int, default=1024)
    names = [name for name in QUERIES if name not in NOT_OF_A_MODEL]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    machine.keep_memory()
    shape = (1, 28, 28) if asked.network == "cnn" else (3, 32, 32)
    torch.manual_seed(0)
    net = catalog.made("networks", Part(asked.network, {})).build(shape, 10)
    model = Model(net.eval().requires_grad_(False), torch.float32)
    x, y = torch.rand(asked.records, *shape), torch.arange(asked.records) % 10
    print(f"{asked.network}, {asked.records} records, torch {torch.__version__}\n")
    print("| asked | ms a record |\n|---|---|")
    for name in asked.only:
        taken = []
        for _ in range(2):
            own = np.arange(asked.records // 2)
            subject = Subject(model, lambda logits: logits, x, y, stream(0), own)
            start = time.process_time()
            QUERIES[name](subject)
            taken.append(time.process_time() - start)
        print(f"| `{name}` | {1e3 * min(taken) / asked.records:.3f} |", flush=True)


if __name__ == "__main__":
    main()
