"""The numbers of every part, as they were when its `revision` was last raised.

Digests hold the revisions, so a part whose numbers change under an old revision would mix old
rows with new ones. After a change of numbers that is meant: raise the part's `revision`, then
`python tests/test_golden.py`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.laws import synthetic as worlds
from raymia.point import catalog
from raymia.point.point import Point
from raymia.records.data import Data, Dataset
from raymia.records.data import load as load_data
from raymia.signals import ask, world
from raymia.streams import stream
from raymia.study import sweep

GOLDEN = Path(__file__).with_name("golden.json")
SWEEP = """
name: golden
dataset: {{digits: {{records: 320}}}}
network: {network}
protocol: {protocol}
defenses: [[{defense}]]
attacks: [loss]
training: {training}
"""
MLP, COIN = "{mlp: {width: 16}}", "{coin: {models: 4, targets: 1, reserve: 0.4}}"
# in float64 another processor gives the same numbers, whose last bits training would blow up
TRAINING = "{epochs: 2, batch_size: 32, precision: float64}"
TOLERANCE = {"nn_fused": 2e-3}  # its many steps in float32 blow them up, too (measured: 7e-4)
IMAGES = {"spatial_dropout", "random_crop", "cutout", "dmp"}  # they want pictures, or convolutions


def _point(
    defense: str = "", network: str = MLP, protocol: str = COIN, training: str = TRAINING
) -> tuple[Point, Data]:
    said = {"defense": defense, "network": network, "protocol": protocol, "training": training}
    file = sweep.parse(SWEEP.format(**said))
    data = load_data(file.dataset, 0)
    return file.point(0, file.default(0), 0, data), data


def defense(name: str) -> list[float]:
    """Mean log-probability and mean confidence of model 0's released logits, over all records."""
    point, data = _point(name, network="{cnn: {width: 8}}" if name in IMAGES else MLP)
    bench = ask.Bench(world.of(point, len(data)), data, range(1))
    model = bench.train()[0]
    raw = bench.ask(model, 0, ["logits"], bench.recipe)["logits"]
    whole = world.of(point, len(data)).recipe
    logits = bench.ask(model, 0, ["logits"], whole, raw)["logits"].astype(float)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return [
        float(log_p[np.arange(len(data)), data.y].clip(-50).mean()),
        float(np.exp(log_p).max(-1).mean()),
    ]


def network(name: str) -> list[float]:
    """Sum and absolute sum of the initial logits of the first records; of what trains itself, as
    it is trained.
    """
    import torch

    from raymia.streams import seed_of
    from raymia.training.batches import pixels
    from raymia.training.fit import seeded
    from raymia.training.model import predict

    made = catalog.make("networks", name, {})
    if "steps" in made.lacks:
        point, data = _point(network=name, training="{}")
        bench = ask.Bench(world.of(point, len(data)), data, range(1))
        said = torch.as_tensor(predict(bench.train()[0], bench.x[:8])).double()
        return [float(said.sum()), float(said.abs().sum())]
    side = made.smallest()
    if side > 8 or made.documents:  # larger pictures than the digits, or none
        shape = (3, 5, 8) if made.documents else (1, side, side)
        noise = torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))
        net = seeded(lambda: made.build(shape, 10), seed_of("golden")).eval()
        with torch.no_grad():
            said = net(noise).logits.double()
        return [float(said.sum()), float(said.abs().sum())]
    point, data = _point(network=name)
    bench = ask.Bench(world.of(point, len(data)), data, range(1))
    net = seeded(bench.build, seed_of("golden")).eval()
    with torch.no_grad():
        logits = net(pixels(bench.x[:8], torch.float32)).logits.double()
    return [float(logits.sum()), float(logits.abs().sum())]


def protocol(name: str) -> list[float]:
    """The matrix, weighted by position."""
    # its own sizes are those of CIFAR-10
    sized = {"official": {"train": 300, "judged": 100}}.get(name, {})
    split = catalog.make("protocols", name, sized).draw(600, 0, 0)
    weight = np.arange(split.member.size, dtype=float).reshape(split.member.shape)
    return [
        float((split.member * weight).sum()),
        float((split.judged * weight[: len(split.targets)]).sum()),
    ]


def dataset(name: str) -> list[float]:
    data = load_data(sweep.Part(name, {"records": 100}), 0)
    weight = np.arange(100) + 1.0
    return [float(data.x.reshape(100, -1).sum(1, dtype=float) @ weight), float(data.y @ weight)]


def attack(name: str) -> list[float]:
    """Mean and spread of the scores on synthetic signals that leak a little."""
    signals = worlds.world(0.2, worlds.split(records=200))
    made = catalog.make("attacks", name, {})
    scores = made.score(
        signals.view(0, sorted(made.traits().needs), made.traits().informed), stream("golden")
    )
    return [float(scores.mean()), float(scores.std())]


KINDS = {
    "attacks": attack,
    "defenses": defense,
    "networks": network,
    "protocols": protocol,
    "datasets": dataset,
}
# no numbers of their own without a file
OWN_FILES = {"arrays", "image_folder", "table", "cifar10", "cifar100", "svhn", "mnist"}
OWN_FILES |= {"fashion_mnist", "purchase100", "texas100", "location30", "ch_mnist", "arxiv10"}
CASES = [(kind, name) for kind in KINDS for name in catalog.names(kind) if name not in OWN_FILES]


def measure(kind: str, name: str) -> dict[str, Any]:
    return {"revision": catalog.find(kind, name).revision, "numbers": KINDS[kind](name)}


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_numbers_are_those_of_their_revision(kind: str, name: str) -> None:
    golden = json.loads(GOLDEN.read_text()).get(f"{kind}.{name}")
    assert golden is not None, (
        f"{kind}.{name} has no golden numbers: run python {Path(__file__).name}"
    )
    now = measure(kind, name)
    tolerance = TOLERANCE.get(name, 2e-4)
    same = np.allclose(now["numbers"], golden["numbers"], rtol=tolerance, atol=tolerance)
    if now["revision"] == golden["revision"]:
        assert same, (
            f"{kind}.{name} gives {now['numbers']}, revision {golden['revision']} gave "
            f"{golden['numbers']}: raise it"
        )
    else:
        pytest.fail(f"{kind}.{name} has revision {now['revision']}: write its golden numbers anew")


def test_data_sets_that_read_files_have_no_golden_numbers() -> None:
    for name in OWN_FILES:
        assert issubclass(catalog.find("datasets", name), Dataset)


if __name__ == "__main__":
    GOLDEN.write_text(
        json.dumps({f"{k}.{n}": measure(k, n) for k, n in CASES}, indent=1, sort_keys=True) + "\n"
    )
