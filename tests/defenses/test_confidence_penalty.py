from math import log

import pytest

from raymia.defenses.confidence_penalty import ConfidencePenalty


def test_minus_alpha_times_the_entropy_of_each_record(said, labelled, at):  # type: ignore[no-untyped-def]
    found = ConfidencePenalty(alpha=0.5).penalty(
        said([[0.5, 0.5], [0.9, 0.1]]), None, labelled([0, 0], 2), {}, at(0)
    )
    assert found.tolist() == pytest.approx([-0.5 * log(2), 0.5 * (0.9 * log(0.9) + 0.1 * log(0.1))])
