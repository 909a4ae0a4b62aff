"""Which pairs `nn` is fitted on, and which of them stand in a batch."""

import numpy as np
import pytest

from raymia.attack.pairs import _nth, draw_matched, draw_pairs
from raymia.attacks.nn import FEW, Nn
from raymia.laws.synthetic import split, world
from raymia.streams import stream


def test_the_nth_of_equal_ones() -> None:
    assert _nth(np.array([5, 3, 5, 5, 3, 9])).tolist() == [0, 0, 1, 2, 1, 0]


def test_some_pairs_are_couples_of_a_member_and_another_of_one_record() -> None:
    view = world(0.2, split(records=200, models=8)).view(0, {"logits"})
    every = set(zip(*draw_pairs(view, 0, stream()), strict=True))
    drawn = [draw_matched(view, 300, stream(k)) for k in range(2)]
    for shadow, column in drawn:
        assert len(set(zip(shadow, column, strict=True)) & every) == 300
        inside = view.member[shadow, column]
        at = np.unique(column, return_inverse=True)[1]
        assert (np.bincount(at, inside) == np.bincount(at, ~inside)).all()
    assert not np.array_equal(*(column for _, column in drawn))
    assert set(zip(*draw_matched(view, 0, stream()), strict=True)) == every


def test_all_couples_are_equally_probable() -> None:
    view = world(0.2, split(records=40, models=8)).view(0, {"logits"})
    total = np.zeros(view.member.shape)
    for k in range(600):
        np.add.at(total, draw_matched(view, 30, stream("couples", k)), 1)
    there = total[view.fit]
    mean = 600 * 30 / view.fit.sum()
    assert there.sum() == 600 * 30 and abs(there - mean).max() < 5 * np.sqrt(mean)


@pytest.mark.parametrize(
    ("attack", "pairs", "whole"),
    [(Nn(), FEW, True), (Nn(), FEW + 1, False), (Nn(optimizer="sgd"), 100, False)],
)
def test_few_pairs_stand_by_record_and_the_papers_form_does_not(
    attack: Nn, pairs: int, whole: bool
) -> None:
    assert attack.by_record(pairs) == whole
    assert attack.training(pairs).batch_size == (192 if whole else 128 if attack == Nn() else 256)
