"""The records of a group's steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raymia.training import batches
from raymia.training.batches import Batches
from raymia.training.defense import Lesson

NOBODY = np.zeros(0, np.int64)


def lesson(features: int) -> Lesson:
    x = torch.arange(60 * features).view(60, features) % 251
    members = (np.arange(40), np.arange(20, 60))
    return Lesson(x.to(torch.uint8), torch.arange(60) % 3, members, (NOBODY,) * 2, 3)


@pytest.mark.parametrize(
    ("features", "given", "calls"),
    # steps of 16, 16 and 8 records of two models: 16 features of 4 bytes are 64
    [(16, False, 2), (16, True, 2), (1, False, 2), (15, False, 2), (600, False, 3)],
)
def test_steps_gathered_at_once_are_those_gathered_one_by_one(
    monkeypatch: pytest.MonkeyPatch, features: int, given: bool, calls: int
) -> None:
    monkeypatch.setattr(batches, "_AHEAD", 1 << 16)
    own = lesson(features)
    if given:
        own = replace(own, target=torch.rand((2, 60, 3)))
    one = Batches(own, torch.float32, [np.random.default_rng(k) for k in (0, 1)], [])
    steps = list(one.shuffled(16))
    assert [s.shape for s in steps] == [(2, 16), (2, 16), (2, 8)]
    alone, asked = [one.gather(idx) for idx in steps], list[int]()
    plain = one.gather
    monkeypatch.setattr(one, "gather", lambda idx: asked.append(idx.size) or plain(idx))
    together = list(one.gathered(steps))
    assert len(asked) == calls and sum(asked) == 80
    for a, b in zip(alone, together, strict=True):
        assert all(torch.equal(s, t) for s, t in zip(a, b, strict=True))
        assert b.x.is_contiguous() and b.x.data_ptr() % 64 == 0


def test_steps_that_would_begin_elsewhere_in_memory_are_gathered_alone() -> None:
    one = Batches(lesson(15), torch.float32, [], [])
    steps = [np.zeros((1, 7), np.int64)] * 3  # 420 bytes each
    assert [len(run) for run in one._alike(steps)] == [1, 1, 1]
    assert [len(run) for run in one._alike([np.zeros((1, 16), np.int64)] * 3)] == [3]
