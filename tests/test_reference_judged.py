"""Records that a defense holds out leak as well, and are attacked beside the members."""

from pathlib import Path

import numpy as np
import pytest

from raymia.attack import attack as attacks
from raymia.laws import synthetic as worlds
from raymia.point import catalog
from raymia.records.data import load
from raymia.records.split import REFERENCE
from raymia.signals.observe import load as load_signals
from raymia.signals.view import Signals, log_odds
from raymia.signals.world import of
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.trial.judge import verdicts
from raymia.verdict import metrics

TEXT = """
name: held
dataset: {{digits: {{records: 300}}}}
network: {{mlp: {{width: 32}}}}
protocol: {{coin: {{models: 4, targets: 2, reserve: 0.2}}}}
defenses: [[{defense}]]
attacks: [baseline, loss, lira]
training: {{epochs: 20, batch_size: 16}}
"""


@pytest.mark.parametrize("defense", ["mmd", "advreg: {share: 0.3}", "dmp"])
def test_the_columns_are_aucs_of_held_out_records_against_non_members(
    defense: str, tmp_path: Path
) -> None:
    file = sweep.parse(TEXT.format(defense=defense))
    data = load(file.dataset, 0)
    point = file.point(0, file.default(0), 0, data)
    row = trial.run(point, data, tmp_path)
    world = of(point, data.units)
    odds = log_odds(load_signals(world, tmp_path, ("logits",)).arrays["logits"], data.y)
    split, found = world.split, []
    for t, m in enumerate(split.targets):
        held = np.flatnonzero(split.held[m] if defense != "mmd" else split.role == REFERENCE)
        assert len(held) and not split.judged[t, held].any()
        others = np.flatnonzero(split.judged[t] & ~split.member[m])
        inside = np.r_[np.ones(len(held), bool), np.zeros(len(others), bool)]
        found.append(metrics.auc(odds[m, np.r_[held, others]], inside))
    assert row.numbers["auc_reference.loss"] == pytest.approx(np.mean(found), abs=1e-9)
    every = [v for k, v in row.numbers.items() if k.startswith("auc_reference.") and v is not None]
    assert len(every) == 3 and row.numbers["max_auc_reference"] == max(every)
    if defense == "dmp":
        assert max(every) > 0.55, "the student was trained on them"


def test_without_held_out_records_there_are_no_columns() -> None:
    file = sweep.parse(TEXT.format(defense=""))
    data = load(file.dataset, 0)
    row = trial.run(file.point(0, {}, 0, data), data)
    assert not any("reference" in name for name in row.numbers)


DEAR = ("nn_fused", "samia", "nn_sorted", "salem")
CHEAP = [name for name in catalog.names("attacks") if name not in DEAR]


@pytest.mark.parametrize("name", CHEAP)
def test_members_are_judged_as_without(name: str) -> None:
    """To ask for more records changes no score of those that are judged anyway."""
    split = worlds.split(records=200)
    role = split.role.copy()
    role[np.flatnonzero(~split.judged.any(0))[:10]] = REFERENCE
    signals = worlds.world(0.3, split)
    signals = Signals(
        split=type(split)(**{**vars(split), "role": role}),
        labels=signals.labels,
        arrays=signals.arrays,
    )
    attack = attacks.make(attacks.unasked(catalog_part(name)))
    key = (0, 0)
    alone = verdicts(attack, name, signals, [0], key)
    beside = verdicts(attack, name, signals, [0], key, reference=True)
    judged = np.isfinite(alone[0].scores)
    assert (np.isfinite(beside[0].scores) == judged).all()
    assert np.allclose(beside[0].scores[judged], alone[0].scores[judged], atol=1e-5)
    assert alone[0].reference_auc is None


def catalog_part(name: str) -> sweep.Part:
    return sweep.Part(name, {"epochs": 2, "pairs": 200} if name == "nn" else {})
