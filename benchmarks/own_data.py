"""Tables as people have them, by README's example with path and label changed: does the
undefended network learn them? Beside it scikit-learn's scaled logistic regression on the same
members, the mean over the targets of one trial.

python benchmarks/own_data.py > table.md
"""

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raymia.records.data import Data, load
from raymia.records.split import REFERENCE
from raymia.signals import world
from raymia.study import pilot, sweep
from raymia.trial import run as trial

EXAMPLE = """
name: own
dataset: {{table: {{path: {path}, label: {label}}}}}
network: mlp
protocol: {{coin: {{models: 16, targets: 4}}}}
defenses: [[]]
attacks: [baseline]
"""


def files(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """(what, file, label): scikit-learn's tables in their own units, digits also as pixels
    0..255.
    """
    for name in ("breast_cancer", "wine", "iris", "digits"):
        found: Any = getattr(datasets, f"load_{name}")()
        yield _written(folder, name, found.feature_names, found.data, found.target)
    bytes_ = np.round(found.data * 255 / 16).astype(int)
    names = [f"pixel{i}" for i in range(64)]
    yield _written(folder, "pixels 0..255", names, bytes_, found.target)


def _written(folder: Path, what: str, names: Any, x: Any, y: Any) -> tuple[str, Path, str]:
    path = folder / f"{what.split()[0]}.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*names, "target"])
        rows.writerows([*record.tolist(), int(label)] for record, label in zip(x, y, strict=True))
    return what, path, "target"


def logistic(data: Data, split: Any) -> float:
    """Test accuracy on each target's judged non-members, fitted on its members."""
    found = []
    for t, model in enumerate(split.targets):
        members, others = split.members(model), split.judged[t] & ~split.member[model]
        fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(
            data.x[members], data.y[members]
        )
        found.append((fitted.predict(data.x[others]) == data.y[others]).mean())
    return float(np.mean(found))


def main() -> None:
    head = ["table", "records", "scaled by", "batch", "train", "test", "logistic regression"]
    print(f"| {' | '.join([*head, 'pilot: test'])} |\n|{'---|' * (len(head) + 1)}")
    with tempfile.TemporaryDirectory() as folder:
        for what, path, label in files(Path(folder)):
            asked = sweep.parse(EXAMPLE.format(path=path, label=label))
            data = load(asked.dataset, 0)
            point = asked.point(0, {}, 0, data)
            row = trial.run(point, data).numbers
            split = world.of(point, data.units).split
            flown = pilot.fly(pilot.of(asked, data), data)
            cells = [
                what,
                f"{len(data)}",
                str(point.training.scaled_by(False, int((split.role == REFERENCE).sum()))),
                f"{point.training.batch_size}",
                f"{row['train_accuracy']:.3f}",
                f"{row['test_accuracy']:.3f}",
                f"{logistic(data, split):.3f}",
                f"{flown['test_accuracy']:.3f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
