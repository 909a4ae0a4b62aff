"""A point is decoded once where a process meets it."""

import json
import pickle
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.attack.attack import SHADOWS, traits
from raymia.laws import synthetic
from raymia.point import catalog
from raymia.point.point import Point
from raymia.point.space import Part
from raymia.protocols.coin import Coin
from raymia.records.data import Data, load
from raymia.results.local import Local
from raymia.results.store import unpack
from raymia.signals import observe, world
from raymia.study import sweep
from raymia.trial import run as trial

TINY = """
name: tiny
dataset: {digits: {records: 200}}
network: mlp
protocol: {coin: {models: 8, targets: 4, reserve: 0.2}}
defenses: [[relaxloss: {alpha: 0.5}, temperature: {t: 2.0}]]
attacks: [baseline, loss, entropy, modified_entropy, confidence, lira, rmia, probability]
attacker: plain
training: {epochs: 1, lanes: 4}
"""


@pytest.fixture
def tiny() -> tuple[Point, Data]:
    file = sweep.parse(TINY)
    data = load(file.dataset, 0)
    return file.point(0, file.default(0), 0, data), data


def forget() -> None:
    """As in a process that has met no point yet."""
    for cached in (world.of, world._drawn, catalog._made, observe.loaded):
        cached.cache_clear()


def test_a_point_is_decoded_once(
    tiny: tuple[Point, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 models, 8 attacks, 4 targets and 3 worlds: each part is made once, and one split is
    drawn.
    """
    point, data = tiny
    calls: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **named: Any) -> Any:
            calls[name] += 1
            return original(*args, **named)

        monkeypatch.setattr(owner, name, call)

    counted(catalog, "make")
    counted(Coin, "draw")
    counted(Point, "to_json")
    forget()
    row = trial.run(point, data, tmp_path)
    plain = sum(1 for line in row.attacks if line["attack"].endswith("@plain"))
    assert row.state == "done" and len(row.attacks) == 8 * 4 + plain
    assert plain == 4 * sum(bool(traits(part).wants & SHADOWS) for part in point.attacks) > 0
    assert calls["make"] == 8 + 2 + 1 + 1  # the attacks, the recipe, the protocol, the network
    assert calls["draw"] == 1
    assert calls["to_json"] == 1  # the row: keys and digest read the point as it is


def test_no_text_of_a_point_is_made_but_for_digests_and_files(
    tiny: tuple[Point, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point, data = tiny
    dumps, texts = json.dumps, []

    def dumped(value: Any, **how: Any) -> str:
        if isinstance(value, dict) and "recipe" in value:
            texts.append(value)
        return dumps(value, **how)

    monkeypatch.setattr(json, "dumps", dumped)
    forget()
    trial.run(point, data, tmp_path)
    assert len(texts) == 3 + 1  # the keys of three worlds, and the digest


def test_a_world_travels_as_its_point(tiny: tuple[Point, Data]) -> None:
    point, data = tiny
    one = world.of(point, len(data))
    assert one.split.models == 8
    sent = pickle.dumps(one)
    # neither the split nor anything made is in it
    assert len(sent) < 4000 and pickle.loads(sent) is one
    forget()
    other = pickle.loads(sent)
    assert (
        other is not one and (other.split.member == one.split.member).all() and other.key == one.key
    )


def test_the_worlds_of_a_trial(tiny: tuple[Point, Data]) -> None:
    point, data = tiny
    one = world.of(point, len(data))
    assert [part.name for part in one.base.point.recipe] == [
        "relaxloss"
    ] and one.base.base is one.base
    assert one.plain.point.recipe == () and one.plain.base is one.plain
    assert (one.plain.split.member == one.split.member).all()
    assert (
        one.model_keys(range(4)) == one.base.model_keys(range(4)) != one.plain.model_keys(range(4))
    )
    assert len({one.key, one.base.key, one.plain.key}) == 3


def test_every_model_is_in_one_group(tiny: tuple[Point, Data]) -> None:
    point, data = tiny
    groups = world.of(replace(point, lanes=3), len(data)).groups
    assert groups == [range(3), range(3, 6), range(6, 8)]


def test_a_need_is_answered_by_its_name_or_by_its_parts() -> None:
    assert observe.answered(["logits"], "logits")
    assert observe.answered(["logits", "weight_grad_l1", "weight_grad_l2"], "weight_grad")
    assert not observe.answered(["weight_gradient", "logit"], "weight_grad")


def test_who_attacks_does_not_name_the_signals(tiny: tuple[Point, Data]) -> None:
    point, data = tiny
    key = world.of(point, len(data)).key
    for other in (
        replace(point, attacker="adaptive"),
        replace(point, attacks=point.attacks[:1]),
        replace(point, protocol=Part("coin", {**point.protocol.knobs, "models": 12})),
    ):
        assert other != point and world.of(other, len(data)).key == key
    assert world.of(replace(point, seed=1), len(data)).key != key


@pytest.mark.parametrize("pair", list(combinations((1, 1.0, True), 2)))
def test_values_of_different_types_are_different_values(pair: tuple[Any, Any]) -> None:
    """A digest tells 1, 1.0 and true apart; so must what is kept by a part."""
    one, other = (Part("x", {"knob": value}) for value in pair)
    assert one != other and len({one, other}) == 2 and one == Part("x", dict(one.knobs))


def test_a_process_reads_each_file_once_for_the_same_needs(
    tiny: tuple[Point, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many attacks ask; where much is kept, what is not needed now goes."""
    point, data = tiny
    made = world.of(replace(point, recipe=()), data.units)
    needs = ("acted", "input_grad", "logits")
    for group in made.groups:
        observe.Work(made, data, needs, tmp_path)(group)
    observe.keep_split(made, data, tmp_path)
    read: list[str] = []
    original = Local.read

    def count(self: Local, name: str) -> bytes | None:
        read.append(name)
        return original(self, name)

    monkeypatch.setattr(Local, "read", count)
    observe.loaded.cache_clear()
    first = observe.load(made, tmp_path, ("logits",))
    files = [name for name in read if "model-" in name]
    assert len(files) == len(set(files)) == made.split.models
    read.clear()
    assert observe.load(made, tmp_path, ("logits",)) is first and not read
    both = observe.load(made, tmp_path, ("input_grad", "logits"))
    assert len([name for name in read if "model-" in name]) == made.split.models
    assert {"logits", "input_grad_l1", "input_grad_l2"} <= both.arrays.keys()
    for m in range(made.split.models):
        content = original(Local(tmp_path), f"{made.key}/model-{m}.npz")
        assert content is not None
        for name, array in unpack(content).items():
            if name in both.arrays:
                np.testing.assert_array_equal(both.arrays[name][m], array)
    monkeypatch.setattr(observe, "ROOM", 10)
    observe.load(made, tmp_path, ("acted",))
    assert "logits" not in first.arrays
    assert observe.load(made, tmp_path, ("logits",)).arrays["logits"].shape[0] == made.split.models


def test_answers_at_pairs_are_those_of_the_whole() -> None:
    """In the order of the view, of the models that it shows and of those that are left."""
    signals = synthetic.world(1.0, synthetic.split(records=60))
    view = signals.view(0, {"logits"}, order=np.random.default_rng(0).permutation(60))
    rng = np.random.default_rng(1)
    for shown in (view, view.as_target(2)[0]):
        models, records = rng.integers(0, len(shown.member), 30), rng.integers(0, 60, 30)
        whole = shown.shadows["logits"]
        np.testing.assert_array_equal(
            shown.shadows.at("logits", models, records), whole[models, records]
        )
        np.testing.assert_array_equal(shown.shadows.at("logits", 1, records), whole[1, records])
    with pytest.raises(KeyError, match="was not asked for"):
        view.shadows.at("record", models, records)
