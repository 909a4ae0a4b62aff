"""Points of a sweep and their digests, and how a folder goes on."""

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from study_fakes import DATA, GOOD, edited

from raymia.errors import SweepError
from raymia.networks.mlp import Mlp
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.study import continues, engines, strict_yaml, sweep
from raymia.study.sweep import Point, Sweep

# ---- points ------------------------------------------------------------------------------------


def a_point(text: str = GOOD, arm: int = 2, replicate: int = 0, **knobs: Any) -> Point:
    study = sweep.parse(text)
    return study.point(
        arm,
        study.default(arm) | {k.replace("_", "."): v for k, v in knobs.items()},
        replicate,
        DATA,
    )


def test_a_point_is_resolved() -> None:
    point = a_point(soft_alpha=2, soft_steps=3.0)
    assert point.knobs["soft.alpha"] == 2.0 and isinstance(point.knobs["soft.alpha"], float)
    assert (
        isinstance(point.knobs["soft.steps"], int)
        and point.defense == "soft+swap"
        and a_point(arm=0).defense == "none"
    )
    assert point.training.epochs == 5 and point.training.lr == 1e-3 and point.data == "ab" * 32
    assert (
        point.training.batch_size
        == catalog.make("datasets", "digits", {}).training(1797).batch_size
    )
    assert (point.lanes, point.device, point.seed, point.replicate) == (ENGINE.lanes, "cpu", 0, 0)
    assert a_point(edited("gpu: 0", "gpu: 0.25")).device == "cuda"
    assert a_point(edited("lanes: auto", "lanes: 2")).lanes == 2


def test_a_point_survives_json_and_pickle() -> None:
    point = a_point()
    assert Point.from_json(json.loads(json.dumps(point.to_json()))) == point
    assert Point.from_json(json.loads(json.dumps(point.to_json()))).digest() == point.digest()
    assert pickle.loads(pickle.dumps(point)) == point
    hash(point)  # nothing in it can be changed, so a copy may be itself
    assert copy.deepcopy({"point": point})["point"] is point


@pytest.mark.parametrize(
    "knobs", [{}, {"soft.alpha": 1}, {"soft.alpha": 1, "soft.steps": 3, "swap.low": 0.1}]
)
def test_a_point_takes_exactly_the_free_knobs(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="free knobs"):
        sweep.parse(GOOD).point(2, knobs, 0, DATA)


@pytest.mark.parametrize(
    "knobs",
    [{"soft_alpha": 2.1}, {"soft_alpha": -0.1}, {"soft_steps": 2.5}, {"soft_alpha": float("nan")}],
)
def test_a_point_takes_no_knob_outside_its_domain(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is allowed|NaN"):
        a_point(**knobs)


def test_the_digest_does_not_depend_on_spelling() -> None:
    first = a_point()
    shuffled = "\n".join(sorted(GOOD.replace("\n  ", "\0").splitlines(), reverse=True)).replace(
        "\0", "\n  "
    )
    assert a_point(shuffled).digest() == first.digest()
    assert a_point(edited("{low: 0.25}", "{high: 1, low: 0.25}")).digest() == first.digest()
    assert a_point(edited("{low: 0.25}", "{low: 2.5e-1}")).digest() == first.digest()
    assert (
        a_point(edited("attacks: standard", "attacks: [cheap: {mode: a}, online]")).digest()
        == first.digest()
    )
    # resources and the number of trials decide no number; neither does where the records lie
    assert a_point(edited("cpu: 1", "cpu: 2")).digest() == first.digest()
    assert a_point(edited("trials: 10", "trials: 20")).digest() == first.digest()
    moved = dataclasses.replace(
        first, dataset=Part("arrays", {"path": "elsewhere.npz", "records": None})
    )
    assert moved.digest() == first.digest() and len(first.digest()) == 64


CHANGES: dict[str, Any] = {
    "data": "cd" * 32,
    "network": Part("mlp", {"width": 8, "depth": 2, "activation": "relu"}),
    "protocol": Part("coin", {"reserve": 0.2, "models": 10, "targets": 4}),
    "recipe": (Part("swap", {"low": 0.25, "high": 1.0}),),
    "attacks": (Part("cheap", {"mode": "a"}),),
    "attacker": "plain",
    "training": Training(epochs=6),
    "canaries": {"records": 1},
    "seed": 1,
    "replicate": 1,
    "lanes": 1,
    "device": "cuda",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Point) if f.name != "dataset"])
def test_the_digest_changes_with_every_field(name: str) -> None:
    point = a_point()
    assert dataclasses.replace(point, **{name: CHANGES[name]}).digest() != point.digest()


def test_the_digest_changes_with_the_order_of_the_parts_and_their_revision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = a_point()
    assert dataclasses.replace(point, recipe=point.recipe[::-1]).digest() != point.digest()
    assert point.canonical()["revisions"]["defenses.swap"] == 3
    before = point.digest()
    monkeypatch.setattr(catalog.find("defenses", "swap"), "revision", 4)
    assert point.digest() != before


ENGINE = engines.chosen("cpu", Part("mlp", Mlp().__dict__), Training(), 8, "auto")

TABLE = """device,network,precision,batch_at_most,models_at_least,engine,lanes
cpu,mlp,float32,64,1,stacked,1
cpu,mlp,float32,64,8,stacked,8
cpu,mlp,float32,256,8,stacked,2
cpu,mlp depth=4 width=9,float32,64,1,compiled,1
"""


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "engines.csv").write_text(TABLE)
    monkeypatch.setattr(engines.resources, "files", lambda package: tmp_path)
    engines._table.cache_clear()
    yield
    engines._table.cache_clear()


@pytest.mark.parametrize(
    ("knobs", "how", "models", "lanes", "expected"),
    [
        ({}, {}, 4, "auto", ("stacked", 1)),
        ({}, {}, 64, "auto", ("stacked", 8)),
        ({}, {"batch_size": 65}, 64, "auto", ("stacked", 2)),
        ({}, {"batch_size": 65}, 7, "auto", ("loop", 1)),
        ({}, {"batch_size": 257}, 64, "auto", ("loop", 1)),
        ({}, {"precision": "float64"}, 64, "auto", ("loop", 1)),
        ({"width": 8}, {}, 64, "auto", ("loop", 1)),
        ({"width": 9, "depth": 4}, {}, 64, "auto", ("compiled", 1)),
        ({}, {}, 64, 3, ("stacked", 3)),
        ({}, {}, 64, 1, ("loop", 1)),
        ({}, {"engine": "loop"}, 64, "auto", ("loop", 1)),
        ({}, {"engine": "stacked"}, 64, "auto", ("stacked", 8)),
        ({"width": 8}, {"engine": "stacked"}, 64, "auto", ("stacked", 1)),
        ({}, {"engine": "graph"}, 64, 5, ("graph", 5)),
    ],
)
def test_the_engine_comes_from_the_file_else_from_the_committed_table(
    measured: None,
    knobs: dict[str, Any],
    how: dict[str, Any],
    models: int,
    lanes: int | str,
    expected: tuple[str, int],
) -> None:
    network = Part("mlp", Mlp(**knobs).__dict__)
    found = engines.chosen("cpu", network, Training(**how), models, lanes)
    assert found[:2] == expected
    assert ("never measured" in found.why) == (
        (lanes, how.get("engine")) == ("auto", None) and expected == ("loop", 1)
    )
    assert engines.chosen("cuda", network, Training(), models, "auto")[:2] == ("loop", 1)


@pytest.mark.parametrize(
    ("device", "images", "precision", "units", "offered"),
    [
        ("cpu", True, "float32", True, "this processor"),
        ("cpu", True, "float32", False, ""),
        ("cuda", True, "float32", False, "a GPU"),
        ("cpu", True, "bf16", True, ""),
        ("cpu", False, "float32", True, ""),
    ],
)
def test_bfloat16_is_offered_where_it_pays_and_never_chosen(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    images: bool,
    precision: Any,
    units: bool,
    offered: str,
) -> None:
    monkeypatch.setattr(engines.machine, "multiplies_bf16", lambda: units)
    said = engines.offer(device, images, Training(precision=precision))
    assert offered in said and bool(said) == bool(offered)


def test_the_committed_table_is_read() -> None:
    assert (ENGINE.engine, ENGINE.why) == ("stacked", "the fastest that was measured")
    assert ENGINE.lanes > 1


# ---- going on ----------------------------------------------------------------------------------


def resolved(*sets: str) -> dict[str, Any]:
    return sweep.parse(GOOD, "x", sets).resolved()


ALLOWED = [
    "search.trials=20",
    "protocol.coin.models=12",
    "attacks=[cheap]",
    "attacks=all",
    "resources.cpu=2",
]
ALLOWED += ["resources.time_limit=9", "keep_signals=none", "resources.spread=2"]
FORBIDDEN = {
    "search.trials=9": "search.trials",
    "protocol.coin.models=10": "",
    "protocol.coin.targets=2": "protocol.coin.targets",
    "protocol=halves": "protocol.coin",
    "search.seed=1": "search.seed",
    "search.sampler=random": "search.sampler",
    "search.lag=4": "search.lag",
    "name=other": "name",
    "dataset.digits.records=99": "dataset.digits.records",
    "network.mlp.width=8": "network.mlp.width",
    "defenses.1.0.soft.alpha.high=5": "defenses.1.0.soft.alpha.high",
    "defenses=[[]]": "defenses",
    "attacker=plain": "attacker",
    "training.epochs=6": "training.epochs",
    "training.lanes=1": "training.lanes",
    "resources.gpu=1": "resources.gpu",
}


@pytest.mark.parametrize("spelled", ALLOWED)
def test_a_folder_may_go_on_with_this_changed(spelled: str) -> None:
    assert continues.changed(resolved(), resolved(spelled))
    continues.check_continues(resolved(), sweep.parse(GOOD, "x", [spelled]))


@pytest.mark.parametrize("spelled", FORBIDDEN)
def test_a_folder_may_not_go_on_with_that_changed(spelled: str) -> None:
    new = sweep.parse(
        GOOD, "x", [spelled, "search.trials=20"] if "trials" not in spelled else [spelled]
    )
    base = resolved("protocol.coin.models=12") if "models=10" in spelled else resolved()
    with pytest.raises(SweepError) as caught:
        continues.check_continues(base, new)
    key = FORBIDDEN[spelled] or "protocol.coin.models"
    assert f"another sweep: {key}" in str(caught.value) and "may change" in str(caught.value)


def test_changed_names_the_dotted_keys() -> None:
    assert continues.changed(resolved(), resolved()) == []
    assert continues.changed(resolved(), resolved("search.seed=1", "training.epochs=6")) == [
        "training.epochs",
        "search.seed",
    ]
    assert continues.changed({"a": [1, {"b": 1}]}, {"a": [1, {"b": True}]}) == ["a.1.b"]


def test_the_resolved_file_goes_on_with_itself() -> None:
    study = sweep.parse(GOOD)
    continues.check_continues(
        strict_yaml.parse(sweep.dump(study.resolved()), "sweep.yaml").plain(), study
    )


# ---- what it costs to be refused ---------------------------------------------------------------

HEAVY = (
    "{'torch', 'ray', 'sklearn', 'scipy', 'optuna', 'opacus', 'torchvision', 'pandas', "
    "'matplotlib'}"
)


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "{name: a, dataset: digits, network: mlp, defenses: [[], [relaxloss, srcm]]}"
    )
    code = (
        f"import sys; from raymia.study import sweep; sweep.load(sys.argv[1]); print({HEAVY} & "
        "set(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.yaml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "set()"


def test_a_sweep_is_frozen() -> None:
    study: Sweep = sweep.parse(GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.name = "x"  # type: ignore[misc]
