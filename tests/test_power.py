"""Where networks learned random labels by heart, an attack that does not see it is broken.
Larger: benchmarks/null.py.
"""

from typing import Any

import numpy as np
import pytest

from raymia.point import catalog
from raymia.records.data import load
from raymia.results.row import Row
from raymia.study import sweep
from raymia.trial import run as trial

# nn_fused: a tenth of these records is too few for its million weights; augmentation: shifted
# noise was never learned; selena_adaptive: of one defense (attacks/test_selena_adaptive.py)
ELSEWHERE = {"nn_fused", "augmentation", "selena_adaptive"}
QUICK: dict[str, Any] = {"samia": {"pairs": 1500}}
TEXT = """
name: power
dataset: {{arrays: {{path: {path}}}}}
network: {{mlp: {{width: 64}}}}
protocol: {{coin: {{models: 4, targets: 1, reserve: 0.2}}}}
defenses: [[]]
attacks: {attacks}
training: {{optimizer: sgd, epochs: 200, batch_size: 64, lr: 0.1, weight_decay: 0.0, lanes: 4}}
"""


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Row:
    """A whole trial on uniform noise, 20 random labels, undefended."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("power") / "x.npz"
    np.savez(path, x=rng.random((400, 1, 28, 28), np.float32), y=rng.integers(0, 20, 400))
    attacks = [
        {name: QUICK.get(name, {})} for name in catalog.names("attacks") if name not in ELSEWHERE
    ]
    file = sweep.parse(TEXT.format(path=path, attacks=attacks))
    data = load(file.dataset, 0)
    return trial.run(file.point(0, {}, 0, data), data)


def test_the_networks_know_their_members_by_heart_and_nothing_else(row: Row) -> None:
    assert row.numbers["train_accuracy"] == 1.0 and (row.numbers["test_accuracy"] or 1.0) < 0.15


@pytest.mark.parametrize(
    "name", [name for name in catalog.names("attacks") if name not in ELSEWHERE]
)
def test_every_attack_sees_it(row: Row, name: str) -> None:
    found = [line["auc"] for line in row.attacks if str(line["attack"]).split("[")[0] == name]
    assert len(found) == 1 and found[0] > 0.95
    assert not any(note.startswith(name) for note in row.notes)


def test_the_maximum_says_so(row: Row) -> None:
    assert (row.numbers["max_attack_auc_lo"] or 0.0) > 0.95
