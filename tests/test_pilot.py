"""One undefended model before a sweep: what it says is what the sweep will find."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_rows import invoke

from raymia.records.data import load
from raymia.study import pilot, sweep
from raymia.trial import run as trial
from raymia.verdict import learning

TEXT = """
name: flight
dataset: {{table: {{path: {path}, label: y}}}}
network: {{mlp: {{width: 16}}}}
protocol: {{coin: {{models: 4, targets: 1, reserve: 0.2}}}}
defenses: [[{{relaxloss: {{alpha: 1.0}}}}], []]
attacks: [baseline]
training: {{epochs: 20, lanes: 1}}
search: {{trials: 10}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two columns of very different size, which decide the label, and one that says nothing."""
    draw = np.random.default_rng(0).standard_normal((300, 3))
    y = (draw[:, 0] + draw[:, 1] > 0).astype(int)
    x = draw * [1e5, 1e-3, 1.0] + [1e6, 0.0, 5.0]
    rows = [f"{a:.2f},{b:.7f},{c:.3f},{one}" for (a, b, c), one in zip(x, y, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,y", *rows]))
    (tmp_path / "s.yaml").write_text(TEXT.format(path=tmp_path / "t.csv"))
    return tmp_path / "s.yaml"


def test_it_says_what_the_undefended_trial_says(file: Path) -> None:
    asked = sweep.load(file)
    data = load(asked.dataset, 0)
    found = pilot.fly(pilot.of(asked, data), data)
    row = trial.run(asked.point(1, {}, 0, data), data)
    for name in ("train_accuracy", "test_accuracy", learning.MAJORITY, learning.LEARNED):
        assert found[name] == pytest.approx(row.numbers[name]), name
    assert found["members"] == row.members and found["judged"] == row.nonmembers
    assert found["test_accuracy"] > 0.8 and not pilot.warning(found), "the scale does not matter"
    baselines = found["baselines"]
    assert baselines["scaled logistic regression"] > 0.9 and baselines["gradient boosting"] > 0.8
    said = pilot.sentences(found | {"seconds_a_model": 90.0}, asked, 2)
    assert "10 trials x 4 models, 2 at once: about 30 minutes" in said[1]


def test_points_with_a_pilot(file: Path) -> None:
    result = invoke("points", str(file), "--pilot")
    assert result.exit_code == 0 and "pilot:     one undefended mlp on " in result.output
    asked = invoke("points", str(file), "--pilot", "--json")
    assert json.loads(asked.output)["pilot"]["learned"] == 1.0
    text = file.parent / "t.csv"
    rng, rows = np.random.default_rng(0), text.read_text().splitlines()
    shuffled = rng.permutation([row.rsplit(",", 1)[1] for row in rows[1:]])
    mixed = [f"{r.rsplit(',', 1)[0]},{y}" for r, y in zip(rows[1:], shuffled, strict=True)]
    text.write_text("\n".join([rows[0], *mixed]))
    result = invoke("points", str(file), "--pilot", "--set", "training.lr=1e-9")
    assert result.exit_code == 0 and "the undefended network did not learn" in result.output


def test_known_data_need_none(file: Path) -> None:
    assert pilot.wanted(sweep.load(file))
    digits = "dataset=digits"
    assert not pilot.wanted(sweep.load(file, [digits]))
