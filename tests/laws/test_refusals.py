"""Defenses that cannot work are refused when the sweep file loads, on one line."""

import pytest

from raymia.errors import SweepError
from raymia.study import sweep

SWEEP = """name: x
dataset: {table: {path: none.csv, label: y}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: %s}}
attacks: [loss]
defenses: [[%s]]
"""


@pytest.mark.parametrize(
    ("part", "reserve", "why"),
    [
        ("random_crop", 0.2, "random_crop needs records that are images"),
        ("spatial_dropout", 0.2, "spatial_dropout needs a network with convolutions"),
        ("dropout: {where: convs}", 0.2, "dropout needs a network with convolutions"),
        ("dmp: {source: synthetic}", 0.2, "dmp needs records that are images"),
        ("mmd", 0, "mmd needs the defender's reference; a protocol with reserve > 0 is allowed"),
        ("memguard", 0, "memguard needs the defender's reference"),
        ("advreg: {share: 0}", 0, "advreg needs the defender's reference"),
        (
            "dmp: {source: synthetic}, mmd: {}",
            0.2,
            "mmd compares members with a reference, dmp trains on made-up records",
        ),
        (
            "advreg: {}, dmp: {source: synthetic}",
            0.2,
            "advreg compares members with a reference, dmp trains on made-up",
        ),
        (
            "distillation: {form: squared}, mixup: {}",
            0.2,
            "mixup changes a batch's targets, distillation reads its labels",
        ),
        (
            "label_smoothing, distillation: {form: squared}",
            0.2,
            "label_smoothing changes a batch's targets, distillation reads",
        ),
        ("dpsgd, mmd", 0.2, "mmd couples the records of a batch, which dpsgd cannot clip"),
    ],
)
def test_what_cannot_work_is_refused_when_the_file_loads(
    part: str, reserve: float, why: str
) -> None:
    with pytest.raises(SweepError, match=why):
        sweep.parse(SWEEP % (reserve, part))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("memguard: {steps: 0}", "steps=0, .*steps of at least 1"),
        ("memguard: {iterations: -1}", "iterations=-1, .*iterations of at least 0"),
        ("memguard: {lr: 0}", r"lr=0.0\); .*lr more than 0"),
        ("mmd: {sigma: 0}", "got sigma 0.0, gate 0.03; sigma more than 0"),
        ("mmd: {gate: -0.1}", "gate -0.1; .*gate 0 or more"),
        ("crl: {upper_rce: 0}", "upper_rce: got 0.0; more than 0 and at most 1"),
        ("crl: {upper_rcl: 1.2}", "upper_rcl: got 1.2; more than 0 and at most 1"),
        ("temperature: {t: 1001}", "at least 0.01 and at most 1000 is allowed"),
        ("label_smoothing: {epsilon: 1.1}", "at most 1 is allowed"),
    ],
)
def test_a_knob_that_cannot_work_is_refused_on_one_line(part: str, why: str) -> None:
    with pytest.raises(SweepError, match=why) as refused:
        sweep.parse(SWEEP % (0.2, part))
    assert "\n" not in str(refused.value) and part.split(":")[0] in str(refused.value)


@pytest.mark.parametrize(
    "part", ["advreg: {share: 0.5}", "dmp", "dropout", "mmd: {}, advreg: {share: 0.5}"]
)
def test_a_reference_that_is_carved_needs_no_reserve(part: str) -> None:
    sweep.parse(SWEEP % (0, part))
