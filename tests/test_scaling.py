"""By what features are standardised: records that tell nothing, or a model's own members."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raymia.errors import SweepError
from raymia.point.schedule import ENOUGH, Training
from raymia.records.data import Data
from raymia.records.split import REFERENCE
from raymia.signals import world
from raymia.signals.ask import Bench
from raymia.study import preflight, sweep
from raymia.training.model import restored, saved
from raymia.trial import run as trial

TEXT = """
name: scaled
dataset: digits
network: {{mlp: {{width: 8}}}}
protocol: {{coin: {{models: 4, targets: 2, reserve: {reserve}}}}}
defenses: [[{defense}]]
attacks: [loss]
training: {{epochs: 2, batch_size: 16, lanes: {lanes}, lr: 0.01, scale: {scale}}}
"""
MEAN, STD = 1000.0, np.array([5.0, 0.01, 300.0], np.float32)


@pytest.fixture(scope="module")
def data() -> Data:
    draw = np.random.default_rng(0).standard_normal((200, 3))
    x = (draw * STD + MEAN).astype(np.float32)
    x = np.concatenate([x, np.full((200, 1), 7.0, np.float32)], axis=1)
    return Data("own", x, (draw[:, 0] > 0).astype(np.int64), 2, image=False)


def asked(scale: str, reserve: float = 0.4, defense: str = "", lanes: int = 1) -> sweep.Sweep:
    return sweep.parse(TEXT.format(scale=scale, reserve=reserve, defense=defense, lanes=lanes))


def constants(data: Data, file: sweep.Sweep) -> tuple[Any, list[tuple[np.ndarray, np.ndarray]]]:
    """The split, and mean and deviation of each model."""
    one = world.of(file.point(0, file.default(0), 0, data), data.units)
    models = [m for group in one.groups for m in Bench(one, data, group).train().values()]
    found = [m.network.normalise for m in models]  # type: ignore[attr-defined]
    return one.split, [(n.mean.numpy(), n.std.numpy()) for n in found]


def near(found: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> bool:
    std = x.astype(np.float64).std(0)
    wanted = x.astype(np.float64).mean(0), np.where(std > 0, std, 1.0)
    return all(np.allclose(a, b, rtol=1e-5) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("scale", ["reference", "members"])
def test_the_constants_are_those_of_the_records_that_are_named(
    scale: str, lanes: int, data: Data
) -> None:
    split, found = constants(data, asked(scale, lanes=lanes))
    reference = np.flatnonzero(split.role == REFERENCE)
    assert not split.member[:, reference].any() and not split.judged[:, reference].any()
    for m, one in enumerate(found):
        assert near(one, data.x[reference if scale == "reference" else split.members(m)])
        assert one[1][3] == 1.0, "a constant column is left as it is"
    assert len({one[0].tobytes() for one in found}) == (1 if scale == "reference" else 4)


def test_none_and_given_constants(data: Data) -> None:
    assert all((m == 0).all() and (s == 1).all() for m, s in constants(data, asked("none"))[1])
    for spelled in ("{mean: [1, 2, 3, 4], std: 2}", "[[1, 2, 3, 4], [2]]"):
        for mean, std in constants(data, asked(spelled))[1]:
            assert mean.tolist() == [1, 2, 3, 4] and std.tolist() == [2, 2, 2, 2]


def test_auto_takes_the_reference_where_it_is_large_enough() -> None:
    training = Training()
    assert training.scaled_by(False, ENOUGH) == "reference"
    assert training.scaled_by(False, ENOUGH - 1) == "members"
    assert training.scaled_by(True, 10**6) == "none", "images have constants of their own"
    assert replace(training, scale="members").scaled_by(True, 0) == "members"


def test_a_network_sees_standardised_features_and_keeps_the_constants(data: Data) -> None:
    """Moving and stretching a column changes nothing but rounding, and the weights that are
    saved carry the constants.
    """
    file = asked("members")
    one = world.of(file.point(0, {}, 0, data), data.units)
    bench = Bench(one, data, range(1))
    model = bench.train()[0]
    again = restored(saved(model), bench.recipe, bench.build, "float32")
    x = torch.tensor(data.x)
    assert torch.equal(model(x), again(x))
    moved = replace(data, x=((data.x.astype(np.float64) - MEAN) * 4).astype(np.float32))
    other = Bench(one, moved, range(1)).train()[0](torch.tensor(moved.x))
    assert torch.allclose(model(x), other, atol=0.05)


def test_images_may_be_scaled_by_channel() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (120, 2, 4, 4)).astype(np.uint8)
    x[:, 1] //= 4
    data = Data("own", x, np.arange(120) % 2, 2, image=True, mean=(0.5,), std=(0.25,))
    split, found = constants(data, asked("members"))
    for m, (mean, std) in enumerate(found):
        own = x[split.members(m)].astype(np.float64) / 255
        assert np.allclose(mean.ravel(), own.mean((0, 2, 3)), rtol=1e-5)
        assert np.allclose(std.ravel(), own.std((0, 2, 3)), rtol=1e-5)
    for mean, std in constants(data, asked("auto"))[1]:
        assert (mean == 0.5).all() and (std == 0.25).all()


def test_members_void_an_epsilon_and_the_reference_does_not(data: Data) -> None:
    rows = {}
    for scale in ("reference", "members"):
        file = asked(scale, defense="dpsgd: {sigma: 1.0}")
        rows[scale] = trial.run(file.point(0, {}, 0, data), data)
    assert (rows["reference"].numbers["epsilon"] or 0) > 0
    assert rows["members"].numbers["epsilon"] is None
    assert any("training.scale: members" in note for note in rows["members"].notes)
    assert not any("training.scale" in note for note in rows["reference"].notes)


@pytest.mark.parametrize(
    ("scale", "reserve", "words"),
    [
        ("reference", 0.0, "training.scale: got 'reference'"),
        ("{mean: [1, 2], std: 1}", 0.4, "got 2 means and 1 deviations; 1 or 4 is allowed"),
    ],
)
def test_what_the_records_do_not_allow(scale: str, reserve: float, words: str, data: Data) -> None:
    with pytest.raises(SweepError, match=words):
        preflight.check(asked(scale, reserve), data)


@pytest.mark.parametrize(
    "scale", ["standard", "{mean: 1}", "{mean: 1, std: 0}", "{mean: a, std: 1}", "[1, 2, 3]", "7"]
)
def test_other_scales_are_refused(scale: str) -> None:
    with pytest.raises(SweepError, match=r"training\.scale: got .*allowed"):
        asked(scale)


def test_a_scale_survives_the_sweep_file_and_the_row(data: Data) -> None:
    from raymia.point.point import Point

    file = asked("{mean: [1, 2, 3, 4], std: 2}")
    assert sweep.parse(sweep.dump(file.resolved())) == file
    point = file.point(0, {}, 0, data)
    assert Point.from_json(point.to_json()) == point
    assert point.training.scale == ((1.0, 2.0, 3.0, 4.0), (2.0,))


def test_own_data_get_a_thousand_steps(tmp_path: Path) -> None:
    """Of the rule: the largest power of two at most n / 25, from 4 to 256."""
    from raymia.point import catalog
    from raymia.point.space import Part

    own = catalog.made("datasets", Part("arrays", {"path": "x"}))
    for n, batch in {8: 4, 150: 4, 178: 4, 569: 16, 1797: 64, 60_000: 256}.items():
        training = own.training(n)
        assert training.batch_size == batch and training.optimizer == "adam"
    for n in (150, 178, 569, 1797, 6000):
        members = round(0.4 * n)
        assert own.training(n).epochs * -(-members // own.training(n).batch_size) >= 1000


def test_grouped_copies_share_their_membership(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 3)).astype(np.float32), np.arange(60) % 2
    order = rng.permutation(180)
    np.savez(tmp_path / "a.npz", x=np.tile(x, (3, 1))[order], y=np.tile(y, 3)[order])
    text = TEXT.replace(
        "digits", f"{{{{arrays: {{{{path: {tmp_path / 'a.npz'}, copies: group}}}}}}}}"
    )
    for defense in ("", "advreg: {share: 0.3}"):
        file = sweep.parse(text.format(scale="auto", reserve=0.2, defense=defense, lanes=1))
        data = preflight.datasets.load(file.dataset, 0)
        split = world.of(file.point(0, file.default(0), 0, data), data.units).split
        unit = order % 60
        for u in range(60):
            own = np.flatnonzero(unit == u)
            for name in "member held fit judged role half".split():
                values = getattr(split, name)[..., own]
                assert (values == values[..., :1]).all(), name
        assert 0 < split.member.mean() < 1
    row = trial.run(file.point(0, file.default(0), 0, data), data, tmp_path / "signals")
    from raymia.signals import observe

    kept = observe.kept(file.point(0, file.default(0), 0, data), tmp_path / "signals").world
    assert row.state == "done" and (kept.split.member == split.member).all()


@pytest.mark.parametrize("lanes", [1, 4])
def test_noise_is_in_deviations_of_each_feature(lanes: int, data: Data) -> None:
    """The batch seam sees standardised features, and what it adds reaches the network so."""
    from raymia.training.defense import Batch, Defense
    from raymia.training.fit import fit
    from raymia.training.recipe import Recipe

    seen: list[torch.Tensor] = []

    class Spy(Defense):
        def batch(self, batch: Batch, rngs: Any, clock: Any) -> Batch:
            seen.append(batch.x)
            return batch

    one = world.of(asked("members", lanes=lanes).point(0, {}, 0, data), data.units)
    bench = Bench(one, data, one.groups[0])
    training = replace(one.point.training, epochs=1, batch_size=1000)
    recipe = Recipe((Spy(),))
    made = fit(recipe, bench.build, bench.lesson(), training, (0,), list(one.groups[0]))
    plain = fit(Recipe(), bench.build, bench.lesson(), training, (0,), list(one.groups[0]))
    for k in range(lanes):
        mean, std = seen[0][k].mean(0), seen[0][k].std(0, correction=0)
        assert torch.allclose(mean, torch.zeros(4), atol=1e-2)
        assert torch.allclose(std[:3], torch.ones(3), atol=1e-2) and std[3] == 0
        x = torch.tensor(data.x)
        assert torch.allclose(made[k](x), plain[k](x), atol=1e-2), "and back again"
