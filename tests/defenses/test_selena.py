import numpy as np
import pytest
import torch

from raymia.defenses.selena import Selena, left_out
from raymia.errors import SweepError
from raymia.point.catalog import make


def test_each_record_is_left_out_of_so_many() -> None:
    out = left_out(500, 25, 10, np.random.default_rng(0))
    assert (out.sum(1) == 10).all() and abs(out.mean(0) - 0.4).max() < 0.1


def test_a_target_is_the_mean_of_exactly_those_that_left_the_record_out(lesson):  # type: ignore[no-untyped-def]
    seen: list[tuple[np.ndarray, ...]] = []  # type: ignore[type-arg]

    def fit(recipe, lesson, name):  # type: ignore[no-untyped-def]
        """Sub-model j says class j with certainty."""
        seen.append(lesson.members)
        j = len(seen) - 1
        return [
            lambda x: 100 * torch.nn.functional.one_hot(torch.full((len(x),), j), 3).double()
            for _ in lesson.members
        ]

    taught = Selena(sub_models=3, left_out=2).teach(
        lesson(2), fit, [np.random.default_rng(m) for m in range(2)]
    )
    for k in range(2):
        for record in taught.members[k]:
            left = [record not in seen[j][k] for j in range(3)]
            assert taught.target[k, record].tolist() == pytest.approx([0.5 * o for o in left])
            assert sum(left) == 2
        others = np.setdiff1d(np.arange(len(taught.x)), taught.members[k])
        assert not taught.target[k, others].any()
        # of these by two sub-models that left the same member out, drawn anew for each
        said, own = taught.split_ai[k].round(decimals=9), taught.members[k]
        assert torch.equal(taught.split_ai[k, own], taught.target[k, own])
        assert {tuple(row) for row in said[others].sort().values.tolist()} == {(0.0, 0.5, 0.5)}
        assert len({tuple(row) for row in said[others].tolist()}) == 3


def test_someone_must_have_seen_a_record() -> None:
    with pytest.raises(SweepError, match="left_out: got 25"):
        make("defenses", "selena", {"left_out": 25})
