"""Loss and top-5 accuracy of members and of non-members, on numbers by hand."""

import math

import numpy as np
import pytest

from raymia.verdict import utility

ALL = np.ones((1, 4), bool)
MEMBER = np.array([[True, True, False, False]])


def test_losses_are_of_the_true_class_by_side_with_their_spread_over_records() -> None:
    """p of the true class: 1/2 and 1/8 of the members, 1/4 and 1/4 of the others; the other two
    share the rest.
    """
    own, label = np.array([1 / 2, 1 / 8, 1 / 4, 1 / 4]), np.array([0, 1, 2, 0])
    p = np.repeat((1 - own)[:, None] / 2, 3, 1)
    p[np.arange(4), label] = own
    found = utility.numbers((np.log(p) + 7.0)[None], label, MEMBER, ALL)
    assert found == pytest.approx(
        {
            "train_loss": 2 * math.log(2),
            "train_loss_sd": math.log(2),  # 1 and 3 times log 2
            "test_loss": 2 * math.log(2),
            "test_loss_sd": 0.0,
        }
    )


def test_targets_count_alike_whatever_they_are_judged_on() -> None:
    logits = np.zeros((2, 4, 2))
    logits[1, :, 0] = math.log(3)  # p of the true class: 1/2 of one target, 3/4 of the other
    judged = np.array([[True, True, True, False], [True, False, True, True]])
    found = utility.numbers(logits, np.zeros(4, int), np.repeat(MEMBER, 2, 0), judged)
    mean = (math.log(2) + math.log(4 / 3)) / 2
    assert found["train_loss"] == pytest.approx(mean) == found["test_loss"]


def test_top_five_are_the_five_most_probable_classes() -> None:
    """Of seven classes, in falling order: places 5 and 6 of the members, 1 and 7 of the others."""
    logits = np.tile(-np.arange(7.0), (1, 4, 1))
    found = utility.numbers(logits, np.array([4, 5, 0, 6]), MEMBER, ALL)
    assert found["train_top5_accuracy"] == 0.5 and found["test_top5_accuracy"] == 0.5
    one = utility.numbers(logits, np.array([4, 3, 5, 6]), MEMBER, ALL)
    assert one["train_top5_accuracy"] == 1.0 and one["test_top5_accuracy"] == 0.0


def test_a_constant_answer_has_five_classes_and_not_all_of_them() -> None:
    found = utility.numbers(np.zeros((1, 4, 7)), np.array([0, 4, 5, 6]), MEMBER, ALL)
    assert found["train_top5_accuracy"] == 1.0 and found["test_top5_accuracy"] == 0.0


@pytest.mark.parametrize("classes", [2, 5])
def test_five_of_five_say_nothing_and_are_left_out(classes: int) -> None:
    found = utility.numbers(np.zeros((1, 4, classes)), np.zeros(4, int), MEMBER, ALL)
    assert not [name for name in found if "top5" in name]


def test_logits_far_apart_have_finite_losses() -> None:
    logits = np.zeros((1, 4, 2), np.float32)
    logits[0, :, 1] = 2000.0
    found = utility.numbers(logits, np.zeros(4, int), MEMBER, ALL)
    assert found["train_loss"] == 2000.0 and found["train_loss_sd"] == 0.0
