"""Quantile regression on records that are no members, and the records that it reads."""

from typing import Any

import numpy as np
import pytest
import torch

from raymia.attack.attack import make
from raymia.point import catalog
from raymia.point.space import Part
from raymia.signals.queries import QUERIES, Subject, components
from raymia.signals.view import Signals
from raymia.streams import stream
from raymia.study import sweep
from raymia.verdict import metrics

Array = np.ndarray[Any, Any]


def official(leak: float, seed: int = 0, records: int = 4000) -> Signals:
    """One model: how likely it finds a record's label depends on the record, and on membership."""
    knobs = {"train": records // 2, "judged": 0, "reserve": 0.3}
    drawn = catalog.made("protocols", Part("official", knobs)).draw(records, seed, 0)
    rng = np.random.default_rng(seed)
    record, label = rng.standard_normal((records, 3)), rng.integers(0, 4, records)
    odds = 3 * record[:, 0] + 2.0 * (label == 1) + 0.5 * rng.standard_normal(records)
    odds += leak * drawn.member[0]
    logits = np.zeros((1, records, 4))
    logits[0, np.arange(records), label] = odds + np.log(3)
    return Signals(drawn, label, {"logits": logits, "record": record[None].astype(np.float32)})


def area(name: str, signals: Signals) -> float:
    attack = make(Part(name, {}))
    view = signals.view(0, attack.traits().needs)
    return metrics.auc(attack.score(view, stream(1)), signals.split.member[0, view.asked])


def test_it_knows_how_hard_a_record_is_without_any_shadow() -> None:
    signals = official(1.0)
    assert area("quantile", signals) > area("loss", signals) + 0.15
    assert area("quantile", signals) > 0.8


def test_it_finds_nothing_where_there_is_nothing() -> None:
    found = [area("quantile", official(0.0, seed, 1000)) for seed in range(12)]
    assert abs(np.mean(found) - 0.5) < 3 * np.std(found) / np.sqrt(len(found)) + 1e-9


def test_of_few_records_it_is_the_loss() -> None:
    """No leaf holds fewer than ten records, and of 18 there are none to part: what is usual is the
    mean of three quantiles of all.
    """
    signals = official(1.0, records=120)
    view = signals.view(0, {"logits", "record"})
    assert view.population.sum() == 18
    attack = make(Part("quantile", {}))
    usual = view.log_odds[view.asked] - attack.score(view, stream(0))
    known = view.log_odds[view.population]
    np.testing.assert_allclose(usual, np.quantile(known, (0.5, 0.75, 0.9)).mean(), atol=1e-9)


def test_it_is_fitted_on_the_population_alone() -> None:
    signals = official(1.0)
    view = signals.view(0, {"logits", "record"})
    before = make(Part("quantile", {})).score(view, stream(0))
    moved = int(view.asked[5])
    logits = signals.arrays["logits"].copy()
    logits[0, moved, signals.labels[moved]] += 2.0
    other = Signals(signals.split, signals.labels, {**signals.arrays, "logits": logits})
    after = make(Part("quantile", {})).score(other.view(0, {"logits", "record"}), stream(0))
    assert after[5] - before[5] == pytest.approx(2.0)
    np.testing.assert_array_equal(np.delete(after, 5), np.delete(before, 5))


def test_the_records_are_their_principal_components() -> None:
    x = torch.randn(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = (x * torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])).float()
    found = components(x, most=4)
    centred = (x - x.mean(0)).numpy().astype(float)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes *= np.sign(axes[np.arange(6), np.abs(axes).argmax(1)])[:, None]
    np.testing.assert_allclose(found, centred @ axes[:4].T, atol=1e-4)
    # of many features they come from random directions, and are the same
    wide = torch.cat([x, torch.zeros(200, 700)], 1)
    np.testing.assert_allclose(components(wide, most=4), found, atol=1e-3)


def test_bytes_are_read_as_pixels_and_each_data_set_once() -> None:
    x = torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator())
    np.testing.assert_allclose(components(x), components(x.float() / 255), atol=1e-6)
    nobody: Any = None

    def subject(of: torch.Tensor) -> Subject:
        return Subject(nobody, lambda z: z, of, of[:, 0, 0, 0], stream(0), np.arange(3))

    first, second = (QUERIES["record"](subject(x))["record"] for _ in range(2))
    assert first is second and first.shape == (50, 16)
    assert not first.flags.writeable
    other = QUERIES["record"](subject(x.flip(0)))["record"]
    assert not np.allclose(other, first)
    x.copy_(x.flip(0))  # the same tensor, with other records in it
    np.testing.assert_array_equal(QUERIES["record"](subject(x))["record"], other)


def test_standard_holds_it_where_there_are_no_shadows() -> None:
    text = "{name: q, dataset: digits, network: mlp, defenses: [[]], protocol: %s, attacks: %s}"

    def names(protocol: str, attacks: str) -> set[str]:
        return {part.name for part in sweep.parse(text % (protocol, attacks)).attacks}

    alone = "{official: {train: 900, reserve: 0.2}}"
    assert "quantile" in names(alone, "standard") and "lira" not in names(alone, "standard")
    assert "quantile" not in names("coin", "standard") and "quantile" in names("coin", "all")
