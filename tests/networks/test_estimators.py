"""Estimators where a network would be: what they say, what they are taught, and what of a sweep
can be made of them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.records.data import Data
from raymia.signals import world as worlds
from raymia.signals.ask import Bench
from raymia.signals.observe import Work
from raymia.streams import seed_of
from raymia.study import preflight, sweep
from raymia.training.estimators import Fitted
from raymia.training.model import predict
from raymia.trial.run import run

X, Y = load_breast_cancer(return_X_y=True)
DATA = Data("breast", X[::4].astype(np.float32), Y[::4].astype(np.int64), 2, image=False)
NAMES = ("boosted_trees", "forest", "logistic_regression")
FILE = """
name: tables
dataset: {digits: {records: 200}}
network: NETWORK
protocol: {coin: {models: 4, targets: 1, reserve: 0.2}}
defenses: [ARM]
attacks: ATTACKS
"""


def asked(network: str = "forest", arm: str = "[]", attacks: str = "[loss]") -> sweep.Sweep:
    text = FILE.replace("NETWORK", network).replace("ARM", arm).replace("ATTACKS", attacks)
    return sweep.parse(text, "x.yaml")


def bench(file: sweep.Sweep, data: Data = DATA) -> Bench:
    world = worlds.of(file.point(0, file.default(0), 0, data), data.units)
    return Bench(world, data, range(1))


def by_hand(one: Bench) -> tuple[Any, Any, int]:
    """Members and all records, standardised by the members, and the seed."""
    own = one.split.members(0)
    x = DATA.x.astype(np.float64)
    mean, std = (getattr(x[own], f)(0).astype(np.float32) for f in ("mean", "std"))
    return (DATA.x - mean) / std, own, seed_of(0, 0, "init", 0) % 2**32


@pytest.mark.parametrize(
    ("network", "made", "floor"),
    [
        ("{forest: {trees: 20, leaf: 3}}", RandomForestClassifier(20, min_samples_leaf=3), 1 / 40),
        (
            "{boosted_trees: {iterations: 9, lr: 0.3}}",
            HistGradientBoostingClassifier(max_iter=9, learning_rate=0.3),
            1e-7,
        ),
        ("{logistic_regression: {c: 100.0}}", LogisticRegression(C=100, max_iter=5000), 1e-7),
    ],
)
def test_it_says_what_scikit_learn_says_of_standardised_members(
    network: str, made: Any, floor: float
) -> None:
    one = bench(asked(network))
    said = predict(one.train()[0], one.x)
    x, own, seed = by_hand(one)
    p = made.set_params(random_state=seed).fit(x[own], DATA.y[own]).predict_proba(x)
    assert said == pytest.approx(np.log(p.clip(floor)), abs=2e-3)
    assert (p < floor).any() == ("boosted" not in network)


def test_soft_targets_are_weights() -> None:
    """Distillation without temperature: each member counts as one of each class."""
    file = asked("logistic_regression", "[distillation: {t: 1.0, form: kaya}]")
    one = bench(file)
    said = predict(one.train()[0], one.x)
    x, own, _ = by_hand(one)
    teacher = LogisticRegression(max_iter=5000).fit(x[own], DATA.y[own]).predict_proba(x[own])
    twice, labels = np.concatenate([x[own]] * 2), np.repeat([0, 1], len(own))
    student = LogisticRegression(max_iter=5000).fit(twice, labels, teacher.T.ravel())
    assert said == pytest.approx(np.log(student.predict_proba(x).clip(1e-7)), abs=2e-3)
    hard = LogisticRegression(max_iter=5000).fit(x[own], DATA.y[own]).predict_log_proba(x)
    assert abs(said - hard).max() > 0.05


def test_half_a_vote_never_reaches_a_class() -> None:
    forest = catalog.make("networks", "forest", {"trees": 4})
    assert forest.floor(2) == 1 / 8 and forest.floor(10) == 1 / 20


@pytest.mark.parametrize("arm", ["[]", "[selena: {sub_models: 3, left_out: 1}]", "[stacking: {}]"])
def test_a_trial_keeps_no_weights_and_is_the_same_again(arm: str, tmp_path: Path) -> None:
    file = asked("{forest: {trees: 10}}", arm, "[loss, rmia]")
    point = file.point(0, file.default(0), 0, DATA)
    row, again = run(point, DATA, tmp_path / "a"), run(point, DATA, tmp_path / "b")
    assert row.state == "done" and row.numbers == again.numbers
    kept = {path.suffix for path in (tmp_path / "a").rglob("model-*")}
    assert kept == {".npz"}
    # what is asked later is asked of the same models, trained again
    world = worlds.of(point, DATA.units)
    before = [path.read_bytes() for path in sorted((tmp_path / "a").rglob("model-*"))]
    Work(world, DATA, ("logits", "random_confidence"), tmp_path / "a")(range(1))
    bench_again = Bench(world, DATA, range(1)).train()[0]
    raw = np.load(next((tmp_path / "a").rglob("model-0.npz")))
    assert np.array_equal(raw["logits"], predict(bench_again, torch.as_tensor(DATA.x)))
    assert "random_confidence" in raw.files
    assert before[1:] == [p.read_bytes() for p in sorted((tmp_path / "a").rglob("model-*"))][1:]


def test_selena_shows_its_own_attacker_the_sub_models() -> None:
    one = bench(asked("{forest: {trees: 10}}", "[selena: {sub_models: 3, left_out: 1}]"))
    model = one.train()[0]
    assert isinstance(model, Fitted) and model.split_ai is not None
    assert model.acted["selena.targets"] > 0.1
    said = one.ask(model, 0, ["split_ai"], one.recipe)["split_ai"]
    assert said.sum(-1) == pytest.approx(1.0)


OF_STEPS = sorted(
    {
        *("advreg", "confidence_penalty", "crl", "disturb_label", "dmp", "dpsgd", "dropout"),
        *("early_stopping", "gaussian_noise", "hamp", "label_smoothing", "mixup", "mmd"),
        *("relaxloss", "srcm", "weight_decay"),
    }
)
APPLY = ("distillation", "memguard", "rounding", "selena", "stacking", "temperature", "top_k")


@pytest.mark.parametrize("name", NAMES)
def test_what_changes_steps_is_refused_and_the_rest_is_not(name: str) -> None:
    for defense in OF_STEPS:
        with pytest.raises(SweepError, match=f"defenses.0: got '{defense}'; .*step by step"):
            asked(name, f"[{defense}: {{}}]")
    for defense in APPLY:
        assert asked(name, f"[{defense}: {{}}]").arms[0][0].name == defense
    rest = set(catalog.names("defenses")) - {*OF_STEPS, *APPLY}
    assert rest == {"cutout", "random_crop", "spatial_dropout", "training"}


def test_two_that_put_the_model_together_are_refused_as_ever() -> None:
    with pytest.raises(SweepError, match="stacking"):
        asked("forest", "[stacking: {}, selena: {}]")


def test_a_schedule_of_steps_is_refused() -> None:
    text = FILE.replace("NETWORK", "forest").replace("ARM", "[]").replace("ATTACKS", "[loss]")
    with pytest.raises(SweepError, match=r"x.yaml:8: training.epochs: got 3; only scale is"):
        sweep.parse(text + "training: {epochs: 3}\n", "x.yaml")
    scaled = sweep.parse(text + "training: {scale: none}\n", "x.yaml")
    assert scaled.training == {"scale": "none"}
    assert sweep.parse(sweep.dump(scaled.resolved())) == scaled


def test_points_leaves_white_box_attacks_out_and_says_so() -> None:
    found = preflight.outline(asked(attacks="standard"))
    assert found["left_out"]["grad_x"] == "no network is released"
    assert not any("grad_x" in attack for attack in found["attacks"])
    assert "engine:    loop, model by model: forest trains itself" in preflight.sentences(found)
    with pytest.raises(SweepError, match="grad_x.*no network is released"):
        asked(attacks="[grad_x]")


def test_members_of_one_class_are_refused() -> None:
    data = Data("one", DATA.x, (np.arange(len(DATA)) == 0).astype(np.int64), 2, image=False)
    one = bench(asked(), data)
    with pytest.raises(SweepError, match="one class only"):
        for m in range(2):
            Bench(one.world, data, [m]).train()
