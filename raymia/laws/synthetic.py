"""Synthetic signals: what models would say that leak, or do not leak, their members. Nothing is
trained.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from raymia.protocols.coin import Coin
from raymia.records.split import Split
from raymia.signals.view import Signals

CLASSES = 5
Array = np.ndarray[Any, Any]


def split(records: int = 600, models: int = 10, targets: int = 2, seed: int = 0) -> Split:
    return Coin(models=models, targets=targets).draw(records, seed, 0)


def world(leak: float, drawn: Split | None = None, seed: int = 0) -> Signals:
    """Signals of every need. With `leak` 0 nothing depends on membership; with 1 members are
    plain to see.

    Records differ in how hard they are, the same for all models, and models in nothing but
    noise and their members.
    """
    drawn = drawn or split()
    rng = np.random.default_rng(seed)
    models, records = drawn.member.shape
    labels = np.asarray(rng.integers(0, CLASSES, records))
    member, hard = leak * drawn.member, 0.5 * rng.normal(size=records)
    logits = rng.normal(size=(models, records, CLASSES))
    logits[:, np.arange(records), labels] += 9 * member + hard - 1

    def noise() -> Array:
        return hard + 0.5 * rng.normal(size=(models, records)) - 4 * member

    odds = rng.normal(size=(models, records, 18)) / 2 + (6 * member - hard)[..., None]
    arrays = {
        "logits": logits.astype(np.float32),
        **{
            name: np.exp(noise())
            for name in ("input_grad_l1", "input_grad_l2", "weight_grad_l1", "weight_grad_l2")
        },
        "confident_distance": np.exp(noise()),
        **{
            name: np.exp(-noise())
            for name in (
                "adversarial_distance_l2",
                "adversarial_distance_linf",
                "boundary_distance",
            )
        },
        "augmented_right": 1 / (1 + np.exp(noise())),
        "sensitivity": np.exp(noise()[..., None] + rng.normal(size=logits.shape) / 2),
        "view_log_odds": odds.astype(np.float32),
        # of random inputs: the same whatever is a member
        "random_confidence": -np.random.default_rng(seed + 2).exponential(size=(models, records)),
        "record": np.broadcast_to(
            np.random.default_rng(seed + 1).normal(size=(records, 4)).astype(np.float32),
            (models, records, 4),
        ),
    }
    # after all others, whose numbers stay as they are
    for name in (
        "adversarial_l1_distance",
        "boundary_norms_l1",
        "boundary_norms_linf",
        "feature_norm",
    ):
        arrays[name] = np.exp(-noise())
    # sub-models without the record: nearly always right, whatever is a member
    said = np.exp(rng.normal(size=logits.shape) + 7 * np.eye(CLASSES)[labels])
    arrays["split_ai"] = (said / said.sum(-1, keepdims=True)).astype(np.float32)
    return Signals(drawn, labels, arrays)


def permuted(signals: Signals, order: Array) -> Signals:
    """The same, its records in another order."""
    columns = {
        n: getattr(signals.split, n)[..., order]
        for n in ("member", "held", "fit", "judged", "known", "role", "half")
    }
    arrays = {n: a[:, order] for n, a in signals.arrays.items()}
    return Signals(
        replace(signals.split, **columns),
        signals.labels[order],
        arrays,
        np.arange(len(order))[order],
    )
