"""What only the records can say: whether a sweep can run on them at all. Nothing is trained,
Ray is not started.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from raymia import cli
from raymia.errors import SweepError
from raymia.records import data as datasets
from raymia.study import preflight, sweep
from raymia.study.sweep import Sweep

FLAT, IMAGES, TINY = (120, 5), (120, 1, 8, 8), (120, 1, 3, 8)
ADVREG = "defenses=[[], [advreg: {share: %s}]]"


def arrays(folder: Path, shape: tuple[int, ...], *sets: str) -> Sweep:
    """A sweep of random arrays of a shape; three classes."""
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", x=rng.random(shape, np.float32), y=np.arange(shape[0]) % 3)
    text = (
        f"{{name: a, dataset: {{arrays: {{path: {folder / 'x.npz'}}}}}, network: mlp, "
        f"defenses: [[]]}}"
    )
    return sweep.parse(text, "x.yaml", ["protocol={coin: {models: 4, targets: 2}}", *sets])


def checked(study: Sweep) -> dict[str, Any]:
    return preflight.outline(study)


REFUSED = [
    (
        FLAT,
        ["network=cnn"],
        "network: got 'cnn'; boosted_trees, forest, logistic_regression, mlp is allowed: the "
        "records of arrays are no images",
    ),
    (
        FLAT,
        ["network=resnet18"],
        "network: got 'resnet18'; boosted_trees, forest, logistic_regression, mlp is",
    ),
    (
        TINY,
        ["network=cnn"],
        "network: got 'cnn'; it is for images of at least 4x4 pixels, those of arrays have 8x3",
    ),
    (
        FLAT,
        ["defenses=[[], [random_crop: {}]]"],
        "defenses.1: got 'random_crop'; random_crop needs records that are images",
    ),
    (
        FLAT,
        ["defenses=[[dmp: {source: synthetic}]]"],
        "defenses.0: got 'dmp'; dmp needs records that are images",
    ),
    (
        FLAT,
        ["training.augment=crop_flip"],
        "training.augment: got 'crop_flip'; none is allowed: the records of arrays are no",
    ),
    (
        FLAT,
        ["attacks=[loss, augmentation]"],
        "attacks: got 'augmentation'; it cannot apply: the records are not images",
    ),
    (
        FLAT,
        ["attacks=[lira: {views: 18}]"],
        "attacks: got 'lira[views=18]'; it cannot apply: the records are not images",
    ),
    (
        FLAT,
        ["canaries={mislabelled: 10000}"],
        "canaries: got {'mislabelled': 10000}; at most 48 in all, half of the judged",
    ),
    (
        FLAT,
        ["canaries={blank: 30, mislabelled: 30}"],
        "canaries: got {'mislabelled': 30, 'blank': 30}; at most 48 in all",
    ),
    (
        FLAT,
        [ADVREG % "0.001"],
        "defenses.1.0.advreg.share: got 0.001; a share of 0.001 of the 48 members",
    ),
    (
        FLAT,
        [ADVREG % "0.99"],
        "defenses.1.0.advreg.share: got 0.99; less is allowed, or more records: target 0 needs",
    ),
    (
        FLAT,
        ["defenses=[[weight_decay: {}, dmp: {split: 0.01}]]"],
        "defenses.0.1.dmp.split: got 0.01; a share of 0.01 of",
    ),
    (
        FLAT,
        ["protocol.coin.reserve=0.001"],
        "attacks: got 'rmia'; it cannot apply: no population is",
    ),
    (
        FLAT,
        ["protocol.coin.reserve=0.001", "attacks=[loss]", "defenses=[[mmd]]"],
        "defenses.0: got 'mmd'; mmd needs",
    ),
    (
        (8, 5),
        [],
        "dataset.arrays: got 8 records; more are allowed: target 0 needs members and non-members "
        "on both halves",
    ),
    (
        (16, 5),
        ["protocol=halves"],
        "dataset.arrays: got 16 records; more are allowed: target 0 needs",
    ),
    (
        (20, 5),
        ["canaries={blank: 8}"],
        "dataset.arrays: got 20 records; more, or fewer canaries, are allowed: target 0 needs",
    ),
    (
        (16, 5),
        ["protocol=overlap"],
        "dataset: got 16 records; more are allowed: target 0 has no members",
    ),
    (
        FLAT,
        ["protocol={overlap: {members: 100}}"],
        "protocol.overlap: got members=100; of 96 audited records 8 are judged, 16 are",
    ),
    (
        FLAT,
        ["protocol={official: {train: 500}}"],
        "protocol.official.train: got 500; the data set has 120 records",
    ),
]


@pytest.mark.parametrize(
    ("shape", "sets", "said"), REFUSED, ids=[f"{len(s)}d {' '.join(o)}" for s, o, _ in REFUSED]
)
def test_what_can_never_run_is_refused(
    shape: tuple[int, ...], sets: list[str], said: str, tmp_path: Path
) -> None:
    study = arrays(tmp_path, shape, *sets)  # no fault can be found in the file alone
    with pytest.raises(SweepError) as caught:
        checked(study)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value), str(caught.value)
    with pytest.raises(SweepError, match="^" + said.split(":")[0]):
        preflight.check(study, datasets.load(study.dataset, 0))


def test_a_reserve_that_reserves_nothing_is_named(tmp_path: Path) -> None:
    for sets in (["attacks=[population]"], ["attacks=[loss]", "defenses=[[mmd]]"]):
        with pytest.raises(
            SweepError, match=r"protocol.coin.reserve: 0.001 sets none of 120 records aside"
        ):
            checked(arrays(tmp_path, FLAT, "protocol.coin.reserve=0.001", *sets))


PASSED = [
    (
        IMAGES,
        [
            "network=cnn",
            "training.augment=crop_flip",
            "defenses=[[random_crop: {}], [dmp: {source: synthetic}]]",
        ],
    ),
    (IMAGES, ["network={resnet18: {width: 4}}", "attacks=[augmentation, lira: {views: 18}]"]),
    (TINY, ["network=resnet18"]),
    (FLAT, ["canaries={mislabelled: 20, blank: 20}"]),
    (FLAT, [ADVREG % "0.5"]),
    (FLAT, ["defenses=[[advreg: {share: [0.001, 0.5]}]]"]),  # one choice can run
    (FLAT, ["defenses=[[dmp: {source: [split, synthetic]}]]"]),
    # carved
    (
        FLAT,
        ["protocol.coin.reserve=0.001", "attacks=[loss]", "defenses=[[mmd, advreg: {share: 0.5}]]"],
    ),
    ((20, 5), []),
]


@pytest.mark.parametrize(
    ("shape", "sets"), PASSED, ids=[f"{len(s)}d {' '.join(o)}" for s, o in PASSED]
)
def test_what_can_run_is_let_through(
    shape: tuple[int, ...], sets: list[str], tmp_path: Path
) -> None:
    assert checked(arrays(tmp_path, shape, *sets))["dataset"]["records"] == shape[0]


@pytest.mark.parametrize("asked", ["standard", "all"])
@pytest.mark.parametrize("shape", [FLAT, IMAGES])
def test_attacks_on_images_are_left_out_where_nobody_asked_for_them(
    asked: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    study = arrays(tmp_path, shape, f"attacks={asked}")
    found = checked(study)
    # the same points, whatever the file turns out to hold
    assert "augmentation" not in [part.name for part in study.attacks]
    if asked == "all":
        why = found["left_out"]["augmentation"]
        assert (
            ("asked for by name" in why) if shape == IMAGES else why == "the records are not images"
        )


def test_what_is_left_out_for_another_reason_says_that_reason(tmp_path: Path) -> None:
    found = checked(arrays(tmp_path, IMAGES, "protocol=halves", "attacks=standard"))["left_out"]
    online = {why for name, why in found.items() if name.startswith("lira[mode=online")}
    assert online == {"the protocol's shadows never train on the judged records"}


def test_run_refuses_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raymia.cluster import driver, execution

    def started(*_: Any) -> None:
        raise AssertionError("Ray was to be started")

    monkeypatch.setattr(execution, "execute", started)
    study = arrays(tmp_path, FLAT)
    with pytest.raises(SweepError, match="network: got 'cnn'"):
        driver.run(
            replace(study, network=replace(study.network, name="cnn", knobs={"width": 8})),
            tmp_path / "out",
        )
    assert (
        not (tmp_path / "out" / "sweep.yaml").exists()
        and not (tmp_path / "out" / "trials").exists()
    )


def test_points_exits_with_2(tmp_path: Path) -> None:
    study = arrays(tmp_path, FLAT)
    (tmp_path / "x.yaml").write_text(sweep.dump(study.resolved()))
    result = CliRunner().invoke(
        cli.main, ["points", str(tmp_path / "x.yaml"), "--set", "network=cnn"]
    )
    assert result.exit_code == 2 and "raymia: network: got 'cnn'" in result.stderr, result.output
