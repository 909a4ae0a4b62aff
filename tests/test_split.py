"""Laws of the membership matrix: complementary pairs, prefix stability, nothing that gives the
target away.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.records.split import AUDITED, POPULATION, REFERENCE, Split

PROTOCOLS = [
    ("coin", {}),
    ("halves", {}),
    ("overlap", {"targets": 2, "shadows": 4}),
    ("slices", {}),
    ("official", {"train": 400, "reserve": 0.2}),
]


def draw(name: str, n: int = 600, seed: int = 0, replicate: int = 0, **knobs: object) -> Split:
    split: Split = catalog.make("protocols", name, knobs).draw(n, seed, replicate)
    return split


def test_every_protocol_is_tested() -> None:
    assert sorted(name for name, _ in PROTOCOLS) == sorted(catalog.names("protocols"))


@pytest.mark.parametrize(("name", "knobs"), PROTOCOLS)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_no_record_is_where_it_may_not_be(name: str, knobs: dict[str, int], share: float) -> None:
    split = draw(name, **knobs).carve(share, 0, 0)
    models, targets = catalog.make("protocols", name, knobs).shape
    assert split.member.shape == (models, 600) and split.judged.shape == (targets, 600)
    reserve = split.role != AUDITED
    assert (
        not split.member[:, reserve].any()
        and not split.judged[:, reserve].any()
        and not split.fit[:, reserve].any()
    )
    assert not (split.held & split.member).any() and not (split.held & split.fit).any()
    for t, m in enumerate(split.targets):
        assert not split.shadows[t, m] and split.shadows[t].any() == (name != "official")
        assert not (split.judged[t] & split.held[m]).any()
        assert (split.judged[t] & split.member[m]).any() and (
            split.judged[t] & ~split.member[m]
        ).any()
        assert not (split.known[t] & ~split.judged[t]).any()
        own = split.reference(m)
        assert not split.member[m, own].any() and not split.judged[t, own].any()


@given(
    pairs=st.integers(2, 10),
    n=st.integers(60, 200),
    seed=st.integers(0, 9),
    replicate=st.integers(0, 3),
)
@settings(max_examples=40)
def test_coin_draws_complementary_pairs(pairs: int, n: int, seed: int, replicate: int) -> None:
    split = draw("coin", n, seed, replicate, models=2 * pairs, targets=pairs)
    audited = split.role == AUDITED
    assert (split.member[0::2] ^ split.member[1::2])[:, audited].all()
    for t in range(pairs):
        inside = split.member[split.shadows[t]][:, audited]
        assert (
            inside.sum(0) == pairs - 1
        ).all()  # counting the shadows says nothing about the target
    sizes = split.member.sum(1)
    assert abs(sizes[0::2] - sizes[1::2]).max() <= 1


def test_coin_is_prefix_stable() -> None:
    few, many = draw("coin", models=8, targets=4), draw("coin", models=32, targets=16)
    assert (
        (few.member == many.member[:8]).all()
        and (few.role == many.role).all()
        and (few.known == many.known[:4]).all()
    )


def test_replicates_are_fresh_draws_with_the_same_halves() -> None:
    first, second = draw("coin", replicate=0), draw("coin", replicate=1)
    assert (first.member != second.member).any() and (first.half == second.half).all()
    assert abs(int(first.half.sum()) - 300) <= 1


def test_reserve_is_halved_between_defender_and_attacker() -> None:
    split = draw("coin", reserve=0.2)
    assert (split.role == REFERENCE).sum() == (split.role == POPULATION).sum() == 60


def test_halves_are_scikit_learns_own() -> None:
    from sklearn.model_selection import train_test_split

    split = draw("halves", n=400, reserve=0.0, shadows=3)
    own, pool = train_test_split(np.arange(400), test_size=0.5, random_state=0)
    assert set(split.members(0)) == set(train_test_split(own, test_size=0.5, random_state=0)[0])
    for i in range(3):
        assert set(split.members(1 + i)) == set(
            train_test_split(pool, test_size=0.5, random_state=i)[0]
        )
    assert split.member.sum(1).tolist() == [100] * 4
    assert set(np.flatnonzero(split.judged[0])) == set(own) and not split.member[1:, own].any()


def test_overlap_has_the_papers_sizes() -> None:
    split = draw("overlap", n=60_000, reserve=0.0, targets=1, shadows=2)
    evaluation = split.judged[0]
    assert evaluation.sum() == 5_000
    assert (split.member & evaluation).sum(1).tolist() == [2_500] * 3
    assert (split.member & ~evaluation).sum(1).tolist() == [7_500] * 3
    assert not (
        split.member[0] & split.member[1:].any(0) & ~evaluation
    ).any()  # targets and shadows: other pools


PAPERS = {
    "cifar": (60_000, 10_000, 10_000, 7_500),
    "purchase": (197_324, 20_000, 147_324, 17_500),
    "figure 5": (60_000, 30_000, 27_500, 27_500),
}


@pytest.mark.parametrize("name", PAPERS)
def test_overlap_in_counts_has_the_papers_sizes(name: str) -> None:
    n, members, pool, each = PAPERS[name]
    counts = {"members": members, "judged": 5_000, "pool": pool}
    split = draw("overlap", n=n, reserve=0.0, targets=8, shadows=12, **counts)
    evaluation, own = split.judged[0], split.member & ~split.judged[0]
    assert split.judged.sum(1).tolist() == [5_000] * 8 and not split.role.any()
    assert (split.member & evaluation).sum(1).tolist() == [2_500] * 20
    assert own.sum(1).tolist() == [each] * 20 and members == 2_500 + each
    inner, outer = own[:8].any(0), own[8:].any(0)
    assert not (inner & outer).any()
    assert inner.sum() <= pool and outer.sum() <= n - 5_000 - pool


def test_counts_equal_to_the_fractions_draw_what_the_fractions_draw() -> None:
    counts = {"members": 100, "judged": 50, "pool": 100, "reference": 60}
    for knob, count in counts.items():
        same, today = (
            draw("overlap", n=720, reserve=1 / 6, **{knob: count}),
            draw("overlap", n=720, reserve=1 / 6),
        )
        assert (same.member == today.member).all() and (same.judged == today.judged).all()
        assert (same.role == today.role).all()


@pytest.mark.parametrize(("reserve", "population"), [(0.0, 0), (0.1, 0), (0.5, 200)])
def test_the_reference_has_exactly_its_count_and_the_population_the_rest(
    reserve: float, population: int
) -> None:
    split = draw("overlap", reserve=reserve, reference=100)
    assert (split.role == REFERENCE).sum() == 100
    assert (split.role == POPULATION).sum() == population
    made = catalog.make("protocols", "overlap", {"reserve": reserve, "reference": 100})
    assert ("population" in made.offers) == (reserve > 0) and "reference" in made.offers


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            {"members": 200, "judged": 60},
            "got members=200, judged=60; of 600 audited records 60 are judged, 100 are the "
            "targets' pool and 440 the shadows': a model takes 170 of its side's pool, 0 to 100 "
            "are allowed",
        ),
        ({"members": 20, "judged": 50}, "got members=20, judged=50; .* a model takes -5 of"),
        ({"pool": 500}, "got pool=500; .* 50 the shadows': a model takes 75 .* 0 to 50 are"),
        ({"judged": 580}, "got judged=580; .* 0 the shadows': a model takes 75 .* 0 to 0 are"),
        ({"reference": 600}, "got reference=600; of 0 audited records 0 are judged"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts: dict[str, int], said: str) -> None:
    with pytest.raises(SweepError, match=f"^protocol.overlap: {said}"):
        draw("overlap", reserve=0.0, **counts)


def test_slices_are_five_equal_ones() -> None:
    split = draw("slices", n=1_000)
    order = np.random.RandomState(1000).permutation(1_000)
    assert set(split.members(0)) == set(order[:200]) and set(split.members(1)) == set(
        order[400:600]
    )
    assert set(np.flatnonzero(split.role == REFERENCE)) == set(order[800:])
    assert set(np.flatnonzero(split.judged[0])) == set(order[:400])


def test_official_trains_on_the_train_file_and_judges_as_many_of_each() -> None:
    split = draw("official", train=500, judged=80)
    assert split.member.tolist() == [[True] * 500 + [False] * 100] and not split.fit.any()
    assert split.judged[0, :500].sum() == split.judged[0, 500:].sum() == 80
    other = draw("official", train=500, judged=80, replicate=1)
    assert (other.judged != split.judged).any() and (other.member == split.member).all()
    assert (
        draw("official", train=500, judged=0).judged.all()
        and draw("official", train=500, judged=300).judged.sum() == 200
    )
    with pytest.raises(
        SweepError, match="protocol.official.train: got 600; the data set has 600 records"
    ):
        draw("official", train=600)


def test_carving_takes_the_share_from_each_model() -> None:
    whole = draw("coin")
    carved = whole.carve(0.25, 0, 0)
    assert (
        carved.member.sum(1) == whole.member.sum(1) - (whole.member.sum(1) * 0.25).astype(int)
    ).all()
    assert ((carved.member | carved.held) == whole.member).all()


def test_only_of_records_that_somebody_judges_or_fits_on_is_asked() -> None:
    split = catalog.make("protocols", "official", {"train": 60, "judged": 10}).draw(100, 0, 0)
    assert split.asked is not None and len(split.asked) == 20
    assert np.array_equal(split.asked, np.flatnonzero(split.judged[0]))
    overlap = catalog.make("protocols", "overlap", {"reserve": 0.2}).draw(480, 0, 0)
    wanted = overlap.judged.any(0) | overlap.fit.any(0) | (overlap.role != AUDITED)
    assert overlap.asked is not None and np.array_equal(overlap.asked, np.flatnonzero(wanted))
    assert catalog.make("protocols", "coin", {}).draw(100, 0, 0).asked is None
