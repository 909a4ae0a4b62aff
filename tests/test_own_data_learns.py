"""Tables in their own units are learned by the defaults, as well as by scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from raymia.records.data import load
from raymia.study import pilot, sweep

TEXT = """
name: own
dataset: {{table: {{path: {path}, label: y}}}}
network: mlp
protocol: {{coin: {{models: 8, targets: 4, reserve: 0.2}}}}
defenses: [[]]
"""


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_the_undefended_network_is_near_logistic_regression(name: str, tmp_path: Path) -> None:
    """One model on some 70 to 230 records: its accuracy is known to a few points."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    rows = np.column_stack([x, y])
    head = ",".join([*(f"f{i}" for i in range(x.shape[1])), "y"])
    np.savetxt(tmp_path / "t.csv", rows, "%.10g", ",", header=head, comments="")
    asked = sweep.parse(TEXT.format(path=tmp_path / "t.csv"))
    data = load(asked.dataset, 0)
    found = pilot.fly(pilot.of(asked, data), data)
    reached = found["baselines"]["scaled logistic regression"]
    assert found["learned"] == 1 and reached > 0.9
    assert found["test_accuracy"] > reached - 0.03
