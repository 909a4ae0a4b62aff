"""Every attack keeps the laws, its variants included."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from raymia.attack.attack import Attack, Rng, column
from raymia.laws import attacks
from raymia.laws.attacks import scores
from raymia.laws.synthetic import Array, split, world
from raymia.point import catalog
from raymia.point.space import Part
from raymia.signals.view import View
from raymia.verdict import metrics

NAMES = catalog.names("attacks")
VARIANTS = [
    *(
        Part(name, {"per_class": True})
        for name in NAMES
        if "per_class" in catalog.knobs(catalog.find("attacks", name))
    ),
    Part("confidence", {"threshold": "percentile"}),
    *(Part("loss", {"threshold": threshold}) for threshold in ("mean_loss", "known")),
    *(
        Part("lira", {"mode": mode, "variance": v})
        for mode in ("offline", "online")
        for v in ("per_example", "shrunken")
    ),
    *(
        Part("lira", knobs)
        for knobs in ({"mode": "online"}, {"views": 2}, {"views": 18, "mode": "online"})
    ),
    *(Part("rmia", knobs) for knobs in ({"mode": "online"}, {"likelihood": "taylor"})),
    *(Part("nn", {"optimizer": optimizer}) for optimizer in ("sgd", "sgd_cifar")),
    Part("class_vector", {"classifier": "network", "epochs": 10, "pairs": 1500}),
    Part("selena_adaptive", {"distance": "square"}),
    *(
        Part(name, {"norm": norm})
        for name, norm in (
            *(("grad_x", "l1"), ("grad_w", "l1"), ("boundary", "l1"), ("boundary", "linf")),
            *(("adversarial_distance", "linf"), ("adversarial_distance", "l1")),
        )
    ),
]
CASES = [*(Part(name, {}) for name in NAMES), *VARIANTS]


@pytest.mark.parametrize("law", attacks.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("part", CASES, ids=column)
def test_law(law: Callable[..., None], part: Part) -> None:
    law(part.name, part.knobs)


@dataclass(frozen=True)
class Counting(Attack):
    """How many shadows trained on the record."""

    def score(self, view: View, rng: Rng) -> Array:
        counts: Array = view.member.sum(0)[view.asked]
        return counts.astype(float)


@dataclass(frozen=True)
class Regression(Attack):
    """The best that linear regression makes of the shadows' membership: fitted on each shadow
    by the others.
    """

    def score(self, view: View, rng: Rng) -> Array:
        x, y = [], []
        for k in range(len(view.member)):
            stand_in, known = view.as_target(k)
            x.append(np.sort(stand_in.member[:, stand_in.asked], 0).T)
            y.append(known)
        features, answer = np.concatenate(x).astype(float), np.concatenate(y).astype(float)
        weights = np.linalg.lstsq(features, answer, rcond=None)[0]
        own = np.sort(view.member[:, view.asked], 0).T[:, : features.shape[1]]
        return np.asarray(own @ weights)


@pytest.mark.parametrize("attack", [Counting(), Regression()], ids=["counting", "regression"])
@pytest.mark.parametrize("seed", range(5))
def test_a6_membership_of_the_others_says_nothing(attack: Attack, seed: int) -> None:
    signals = world(1.0, split(seed=seed))
    for score, m in zip(scores(attack, signals), signals.split.targets, strict=True):
        asked = np.isfinite(score)
        assert metrics.auc(score[asked], signals.split.member[m, asked]) == 0.5


def test_a6_would_catch_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken on purpose: the complement stays among the shadows."""
    drawn = split()
    shadows = drawn.shadows.copy()
    shadows[np.arange(len(drawn.targets)), drawn.twin[drawn.targets]] = True
    signals = world(1.0, replace(drawn, shadows=shadows))
    for score, m in zip(scores(Counting(), signals), drawn.targets, strict=True):
        asked = np.isfinite(score)
        assert metrics.auc(-score[asked], drawn.member[m, asked]) == 1.0
