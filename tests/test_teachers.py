"""Teachers are kept for the next point, under all that determines them."""

from typing import Any

import pytest
import torch

from raymia.records.data import load
from raymia.signals import ask, world
from raymia.study import sweep
from raymia.training import teachers
from raymia.training.defense import Predictor
from raymia.training.group import Group
from raymia.training.model import Model
from raymia.training.network import classifier

TEACHING = """name: x
dataset: {digits: {records: 120}}
network: {mlp: {width: 8}}
protocol: {coin: {models: 12, targets: 2}}
attacks: [loss]
training: {epochs: 20}
defenses: [%s]
"""


def bench(arms: str, i: int, group: range, knobs: dict[str, Any] | None = None) -> ask.Bench:
    file = sweep.parse(TEACHING % arms)
    data = load(file.dataset, 0)
    point = file.point(i, knobs or {}, 0, data)
    return ask.Bench(world.of(point, len(data)), data, group)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many models each call to train has trained, from an empty shelf on."""
    out: list[int] = []
    plain = Group.train
    monkeypatch.setattr(
        Group, "train", lambda self: out.append(len(self.batch_streams)) or plain(self)
    )
    monkeypatch.setattr(ask, "TEACHERS", teachers.Shelf(1 << 29))
    return out


def test_teachers_are_trained_once_for_all_that_they_teach(trained: list[int]) -> None:
    arms = "[distillation: {t: 2}], [distillation: {t: 9}], [distillation: {t: 9}, mixup: {}], "
    arms += "[distillation: {t: 2}, early_stopping: {}]"
    for i, knobs in enumerate(({}, {}, {"mixup.alpha": 1.0}, {"early_stopping.fraction": 0.5})):
        bench(arms, i, range(2), knobs).train()
    assert trained == [2] * 5  # the teachers, of the full schedule for all, and four students


def test_teachers_of_many_groups_are_kept(trained: list[int]) -> None:
    groups = [range(k, k + 1) for k in range(12)]  # as with `lanes: 1`
    for i in range(2):
        for group in groups:
            bench("[distillation: {t: 2}], [distillation: {t: 9}]", i, group).train()
    assert trained == [1] * (12 + 12 + 12)


def test_sub_models_are_kept(trained: list[int]) -> None:
    arms = (
        "[selena: {sub_models: 8, left_out: 3}], [selena: {sub_models: 8, left_out: 3}, mixup: "
        "{alpha: 1.0}]"
    )
    for i in range(2):
        for group in (range(1), range(1, 2)):
            bench(arms, i, group).train()
    assert sum(trained) == 2 * 8 + 2 * 2


def test_a_shelf_lets_go_of_what_was_longest_not_asked_for() -> None:
    shelf, asked = teachers.Shelf(2 * 44), []

    def model(key: str) -> list[Predictor]:
        asked.append(key)
        # 11 numbers, 44 bytes
        return [Model(classifier(torch.nn.Identity(), 10, 1), torch.float32)]

    for key in ("a", "b", "a", "c", "a", "b", "c"):
        assert len(shelf.get(key, lambda key=key: model(key))) == 1  # type: ignore[misc]
    assert asked == ["a", "b", "c", "b", "c"]


def test_teachers_of_another_schedule_are_others(trained: list[int]) -> None:
    """`stacking` is trained on the schedule that early stopping cut short, whoever was there
    before.
    """
    arms = "[stacking: {trees: 3}], [stacking: {trees: 3}, early_stopping: {fraction: 0.05}]"

    def found(i: int) -> torch.Tensor:
        own = bench(arms, i, range(1))
        return own.train()[0](own.x)

    shared = [found(i) for i in (0, 1)]
    assert trained == [1, 1] and not torch.equal(*shared)
    for i in (0, 1):
        ask.TEACHERS = teachers.Shelf(1 << 29)  # the fixture puts the old one back
        assert torch.equal(found(i), shared[i])
