"""What a defense says that it did is what it did."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raymia.laws.defenses import arm, build, lesson
from raymia.point.schedule import Training
from raymia.records.data import Data, load
from raymia.signals import world
from raymia.signals.observe import load as load_signals
from raymia.study import sweep
from raymia.training.defense import Defense, Lesson, Owned
from raymia.training.fit import fit
from raymia.training.model import Model, restored, saved
from raymia.training.recipe import Recipe
from raymia.trial import run as trial

TRAINING = Training(epochs=4, batch_size=8, precision="float64")


def did(recipe: Recipe, models: tuple[int, ...] = (0,), training: Training = TRAINING) -> list[Any]:
    made = fit(recipe, build, lesson(models), training, (0, 0), models)
    return [model.acted for model in made if isinstance(model, Model)]


class Counting(Defense):
    """Says which step it is: 0, 1, 2, ... over the whole run."""

    def acted(self, step: Any) -> dict[str, torch.Tensor]:
        return {"step": torch.tensor(float(step.clock.step))}


def test_means_are_over_all_steps_of_a_run() -> None:
    steps = 4 * 3  # 20 members in batches of 8, over 4 epochs
    (done,) = did(Recipe((Counting(),), ("counting",)))
    assert done == {"counting.step": pytest.approx(np.arange(steps).mean())}
    both = did(Recipe((Counting(), Counting()), ("a", "b")))[0]
    assert set(both) == {"a.step", "b.step"}


class Halved(Defense):
    """Changes the first half of each batch, of one model alone where `only` says so; the targets
    are others and the same.
    """

    def __init__(self, only: int | None = None) -> None:
        object.__setattr__(self, "only", only)

    def batch(self, batch: Any, rngs: Any, clock: Any) -> Any:
        x = batch.x.clone()
        own = slice(None) if self.only is None else slice(self.only, self.only + 1)  # type: ignore[attr-defined]
        x[own, : x.shape[1] // 2] += 1
        return batch._replace(x=x, target=batch.target.clone())


def test_changed_records_are_counted_for_each_model() -> None:
    """In the first step of every epoch, which has 8 records."""
    assert did(Recipe((Halved(),), ("halved",)))[0] == {"halved.changed": 0.5}
    pair = did(Recipe((Halved(1),), ("halved",)), (0, 1))
    assert [one["halved.changed"] for one in pair] == [0.0, 0.5]


def test_a_relaxed_step_is_one_at_or_below_the_threshold() -> None:
    """Beside every threshold that the first loss can have: all steps, or none."""
    for alpha, share in ((1e9, 1.0), (0.0, 0.0)):
        assert did(arm(("relaxloss", {"alpha": alpha})))[0]["relaxloss.relaxed"] == share
    some = did(arm(("relaxloss", {"alpha": 1.1})), training=Training(epochs=30, batch_size=8))
    assert 0 < some[0]["relaxloss.relaxed"] < 1


@pytest.mark.parametrize(
    ("part", "column", "share"),
    [
        (("dropout", {"p": 0.25}), "dropout.dropped", 0.25),
        (("spatial_dropout", {"q": 0.75}), "spatial_dropout.dropped", 0.75),
        (("early_stopping", {"fraction": 0.5}), "early_stopping.schedule", 1.0),
        (("early_stopping", {"fraction": 1.0}), "early_stopping.schedule", 0.0),
        (("label_smoothing", {"epsilon": 0.0}), "label_smoothing.changed", 0.0),
        (("mmd", {"gate": 0.0, "skip_last": False}), "mmd.gates", 1.0),
        (("mmd", {"gate": 1.1, "skip_last": False}), "mmd.gates", 0.0),
        (("srcm", {"r1": 0.0, "d": 1e9}), "srcm.clipped", 0.0),
        (("srcm", {"r1": 1e6, "d": 1.0}), "srcm.clipped", 1.0),
        (("dpsgd", {"max_grad_norm": 1e9, "sigma": 0.0}), "dpsgd.clipped", 0.0),
        (("dpsgd", {"max_grad_norm": 1e-9, "sigma": 0.0}), "dpsgd.clipped", 1.0),
        (("distillation", {}), "distillation.targets", 1.0),
    ],
    ids=lambda value: str(value),
)
def test_shares_at_their_ends(part: Any, column: str, share: float) -> None:
    assert did(arm(part))[0][column] == pytest.approx(share, abs=0.05)


def test_models_of_a_group_say_what_they_say_alone() -> None:
    recipe = arm(("relaxloss", {"alpha": 1.08}), ("mixup", {}), ("dropout", {}))
    together = did(recipe, (0, 1))
    for model in (0, 1):
        alone = did(recipe, (model,))[0]
        assert together[model] == pytest.approx(alone, abs=1e-9)


def test_teachers_and_other_records_are_no_labelled_members() -> None:
    given = lesson((0, 1))
    members = np.concatenate([given.members[0], given.members[1]])
    same = Recipe((Learned(None),), ("learned",))
    assert same.before_training(TRAINING, given, given) == {"learned.targets": 0.0}
    target = torch.eye(3)[given.y].expand(2, -1, -1).clone()
    target[0, given.members[0][:5]] = 1 / 3
    other = Lesson(given.x, given.y, given.members, given.reference, 3, target)
    found = same.before_training(TRAINING, given, other)
    assert found == {"learned.targets": pytest.approx(5 / 20 / 2)}
    moved = Lesson(given.x, given.y, (given.members[1], given.members[1]), given.reference, 3)
    assert same.before_training(TRAINING, given, moved) == {"learned.targets": 0.5}
    assert len(members) == 40


class Learned(Defense):
    def __init__(self, lesson: Any) -> None:
        object.__setattr__(self, "lesson", lesson)

    def teach(self, lesson: Any, fit: Any, rngs: Any) -> Any:
        return lesson


def test_moved_releases_are_those_whose_probabilities_differ() -> None:
    logits = np.array([[20.0, 0.0, 0.0], [1.0, 0.5, 0.0], [2.0, 1.0, 0.5], [30.0, 0.0, 0.0]])
    owned = Owned(logits, np.arange(2), np.arange(2, 4), np.random.default_rng(0))
    _, moves = arm(("rounding", {"digits": 2})).release_and_moves(owned)
    assert moves == {"rounding.moved": 0.5}, "0.9999999 is 1.00"
    _, moves = arm(("top_k", {"k": 3}), ("temperature", {"t": 2.0})).release_and_moves(owned)
    assert moves == {"top_k.moved": 0.0, "temperature.moved": pytest.approx(1.0, abs=0.5)}
    assert moves["temperature.moved"] >= 0.75


def test_what_was_done_is_kept_with_the_weights() -> None:
    recipe = arm(("relaxloss", {"alpha": 1.08}))
    (model,) = fit(recipe, build, lesson((0,)), TRAINING, (0, 0), (0,))
    assert isinstance(model, Model) and model.acted
    assert restored(saved(model), recipe, build, "float64").acted == model.acted
    assert saved(model) == saved(model), "the same bytes"


TEXT = """
name: acted
dataset: {{digits: {{records: 200}}}}
network: {{mlp: {{width: 16}}}}
protocol: {{coin: {{models: 4, targets: 2, reserve: 0.2}}}}
defenses: [[{defense}]]
attacks: [loss]
training: {{epochs: 12, batch_size: 16}}
"""


def _row(defense: str, folder: Path) -> tuple[Any, world.World, Data]:
    file = sweep.parse(TEXT.format(defense=defense))
    data = load(file.dataset, 0)
    point = file.point(0, file.default(0), 0, data)
    return trial.run(point, data, folder), world.of(point, data.units), data


def test_a_row_has_the_means_over_its_targets(tmp_path: Path) -> None:
    row, one, _ = _row("relaxloss: {alpha: 1.0}, top_k: {k: 1}", tmp_path)
    said = load_signals(one, tmp_path, ("acted",)).arrays  # and what else was asked for before
    kept = {name: values for name, values in said.items() if name.startswith("acted")}
    assert set(kept) == {"acted_relaxloss.relaxed", "acted_top_k.moved"}
    for name, values in kept.items():
        assert values.shape == (4,)
        column = name.replace("acted_", "acted.")
        assert row.numbers[column] == pytest.approx(values[one.split.targets].mean())
    assert not [note for note in row.notes if "did nothing" in note]


def test_what_did_nothing_is_in_the_notes(tmp_path: Path) -> None:
    row, _, _ = _row("relaxloss: {alpha: 0.0}, label_smoothing: {epsilon: 0.1}", tmp_path / "a")
    assert [note for note in row.notes if "did nothing" in note] == [
        "relaxloss did nothing here (relaxed: 0%): its numbers are those of the recipe without it"
    ]
    half, _, _ = _row("crl: {alpha_rce: 100.0, alpha_rcl: 0.0}", tmp_path / "c")
    assert half.numbers["acted.crl.relaxed_rcl"] == 0 < half.numbers["acted.crl.relaxed_rce"]
    assert not [note for note in half.notes if "did nothing" in note], "it did something"
    bare, _, _ = _row("", tmp_path / "b")
    assert not any(name.startswith("acted.") for name in bare.numbers)
