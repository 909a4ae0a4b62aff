"""Numbers that break: each is a row with a state and a reason, or a note, never on the front."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raymia.point import catalog, origins
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.records.data import load as load_data
from raymia.results.row import Row, best, decode, encode
from raymia.results.tables import tables
from raymia.study import sweep
from raymia.training import group
from raymia.training.network import Network
from raymia.trial import run as trial

PARTS = '''
from dataclasses import dataclass

import numpy as np
import torch

from raymia.attack.attack import Attack
from raymia.records.data import Data, Dataset
from raymia.training.architecture import Architecture
from raymia.training.defense import Defense
from raymia.lazy import network


@dataclass(frozen=True)
class Penalty(Defense):
    """Adds `value` to the loss.

    Source: this test.
    """

    value: str = "0"

    def penalty(self, outputs, reference, batch, extra, clock):
        if self.value == "raise":
            raise ValueError("broken\\nover two lines")
        if self.value == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if self.value == "cpu":
            raise MemoryError("Unable to allocate 9 TiB")
        return outputs.logits.sum(-1) * 0 + float(self.value)


@dataclass(frozen=True)
class Released(Defense):
    """Releases nothing but `value`.

    Source: this test.
    """

    value: str = "0"

    def release(self, owned):
        return lambda logits: np.full_like(logits, float(self.value))


@dataclass(frozen=True)
class Scores(Attack):
    """Gives every record the score `value`.

    Source: this test.
    """

    value: str = "0"

    def score(self, view, rng):
        if self.value == "raise":
            raise RuntimeError("no score")
        if self.value == "text":
            return np.full(len(view.asked), "high")
        if self.value == "shape":
            return np.zeros((len(view.asked), 2))
        if self.value == "short":
            return np.zeros(3)
        out = rng.normal(size=len(view.asked))
        out[: 5 if "some" in self.value else None] = float(self.value.split()[-1])
        return out


@dataclass(frozen=True)
class Deaf(Architecture):
    """Says the same whatever it sees.

    Source: this test.
    """

    def build(self, shape, classes):
        class Nothing(torch.nn.Module):
            def forward(self, x):
                return x.flatten(1)[:, :1] * 0

        return network.classifier(Nothing(), 1, classes)


@dataclass(frozen=True, kw_only=True)
class Gap(Dataset):
    """Of four classes one has `rare` records.

    Source: this test.
    """

    rare: int = 0

    def read(self):
        draw = np.random.default_rng(0)
        y = np.arange(160) % 3
        y[: self.rare] = 3
        x = draw.normal(size=(160, 4)).astype(np.float32) + y[:, None].astype(np.float32)
        return Data("gap", x, y, 4, image=False)
'''
TINY = """
name: breaking
dataset: %s
network: %s
protocol: {coin: {models: 4, targets: 2}}
defenses: [[%s]]
attacks: [%s]
training: {epochs: 2%s}
"""


@pytest.fixture(scope="module", autouse=True)
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("breaking")
    (folder / "parts.py").write_text(PARTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(origins, "_FILES", {})
        yield
    catalog._found.cache_clear()


def asked(
    defense: str = "",
    attack: str = "",
    network: str = "{mlp: {width: 8}}",
    dataset: str = "{digits: {records: 160}}",
    training: str = "",
) -> tuple[Point, Data]:
    attacks = f"baseline, loss, {attack}" if attack else "baseline, loss"
    file = sweep.parse(TINY % (dataset, network, defense, attacks, training))
    data = load_data(file.dataset, 0)
    return file.point(0, file.default(0), 0, data), data


def of_class(kind: str, value: object, knob: str = "value") -> str:
    return f"'parts.py:{kind}': {{{knob}: {value!r}}}"


def attempted(**parts: str) -> Row:
    """The row, as it is after it was on the disk."""
    row = trial.attempt(*asked(**parts))
    return decode(encode(row), "here")


def is_no_result(row: Row, state: str, *reason: str) -> None:
    assert row.state == state, row.reason
    assert all(word in row.reason for word in reason), row.reason
    assert row.reason == " ".join(row.reason.split()) and row.numbers == {}
    assert best([row]) == []
    made = tables([row], [])
    assert len(made["pareto.csv"].splitlines()) == 1  # its header
    assert f",{state},".encode() in made["trials.csv"].splitlines()[1]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_loss_that_is_no_number_is_invalid(value: str) -> None:
    row = attempted(defense=of_class("Penalty", value))
    is_no_result(row, "invalid", "Diverged", "the training loss is not a number in epoch 1 of 2")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_logits_that_are_no_numbers_are_invalid(value: str) -> None:
    row = attempted(defense=of_class("Released", value))
    is_no_result(row, "invalid", "Diverged: model 0: ", " logits, as released, are not finite")


@pytest.mark.parametrize("value", ["nan", "inf", "some nan", "some -inf"])
def test_scores_that_are_no_numbers_are_invalid_and_name_the_attack(value: str) -> None:
    row = attempted(attack=f"{of_class('Scores', value)}")
    is_no_result(row, "invalid", "ScoreError", "scores", "not finite", "target 0")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("raise", "no score"),
        ("text", "could not convert"),
        ("shape", "scores"),
        ("short", "scores"),
    ],
)
def test_an_attack_that_raises_or_says_something_else(value: str, reason: str) -> None:
    row = attempted(attack=of_class("Scores", value))
    assert row.state in ("failed", "invalid")
    is_no_result(row, row.state, reason)


def test_a_defense_that_raises_is_one_line() -> None:
    row = attempted(defense=of_class("Penalty", "raise"))
    is_no_result(row, "failed", "ValueError: broken over two lines")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("cuda", "CUDA out of memory"), ("cpu", "MemoryError: Unable to allocate")],
)
def test_what_does_not_fit_one_by_one_has_failed(value: str, reason: str) -> None:
    row = attempted(defense=of_class("Penalty", value), training=", lanes: 4")
    is_no_result(row, "failed", reason)


def test_constant_scores_are_half_exactly_and_noted() -> None:
    row = attempted(attack=of_class("Scores", "3"))
    assert row.state == "done" and row.numbers["auc.scores[value=3]"] == 0.5
    (note,) = [n for n in row.notes if "same score" in n]
    assert note.startswith("scores[value=3]: ") and "target 0, 1" in note


def test_a_constant_network_leaks_nothing_and_stands_on_no_front() -> None:
    row = attempted(network="{'parts.py:Deaf': {}}", attack="entropy")
    assert row.state == "done" and not any(
        value is None or not math.isfinite(value)
        for name, value in row.numbers.items()
        if name.startswith("auc.") and "_" not in name
    )
    assert row.numbers["auc.entropy"] == 0.5
    assert any(n.startswith("entropy: all records get the same score") for n in row.notes)
    assert best([row]) == []  # everybody has the most frequent class for free


@pytest.mark.parametrize("rare", [0, 1, 3])
def test_a_class_that_is_missing_or_rare_gives_numbers_or_a_reason(rare: int) -> None:
    row = attempted(dataset=f"{{'parts.py:Gap': {{rare: {rare}}}}}", attack="modified_entropy")
    assert row.state == "done", row.reason
    known = [value for value in row.numbers.values() if value is not None]
    assert known and np.isfinite(known).all()


# ---- memory ------------------------------------------------------------------------------------


HUNGRY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    MemoryError("Unable to allocate 9 TiB"),
]


def holds(models: int, error: Exception, patch: pytest.MonkeyPatch) -> list[int]:
    """From now on memory holds so many models at a time; the sizes of the groups that trained."""
    tried, train = [], group.Group.train

    def trained(one: group.Group) -> list[Network]:
        if len(one.batch_streams) > models:
            raise error
        tried.append(len(one.batch_streams))
        return train(one)

    patch.setattr(group.Group, "train", trained)
    return tried


@pytest.mark.parametrize("error", HUNGRY, ids=lambda e: type(e).__name__)
def test_a_group_that_memory_does_not_hold_is_halved_with_the_same_numbers(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, data = asked(attack="rmia", training=", lanes: 4")
    one = replace(one, training=replace(one.training, precision="float64"))
    whole = trial.run(one, data)
    sizes = holds(1, error, monkeypatch)
    halves = trial.run(one, data)
    assert sizes == [1, 1, 1, 1]
    assert halves.digest == whole.digest and halves.numbers.keys() == whole.numbers.keys()
    for name, value in whole.numbers.items():
        assert halves.numbers[name] == pytest.approx(value, abs=1e-9), name
    (note,) = set(halves.notes) - set(whole.notes)
    assert note.startswith(trial.BACKED_OFF) and "4 of 4 models" in note


@pytest.mark.parametrize("defense", ["", "stacking", "selena: {sub_models: 3, left_out: 1}"])
def test_a_model_says_of_itself_that_its_group_was_halved(
    defense: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attacks added later read models that were kept, and the row still says so."""
    one, data = asked(defense, training=", lanes: 4")
    with pytest.MonkeyPatch.context() as patch:
        assert holds(2, HUNGRY[0], patch) == []
        trial.run(one, data, tmp_path)
    more, _ = asked(defense, attack="entropy", training=", lanes: 4")
    monkeypatch.setattr(group.Group, "train", None)  # nothing is trained
    row = trial.run(more, data, tmp_path)
    assert any(note.startswith(trial.BACKED_OFF) for note in row.notes)
    assert not any("memory" in name for name in row.numbers)


def test_what_is_no_lack_of_memory_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def broken(one: group.Group) -> list[Network]:
        calls.append(len(one.batch_streams))
        raise RuntimeError("a shape is wrong")

    monkeypatch.setattr(group.Group, "train", broken)
    one, data = asked(training=", lanes: 4")
    is_no_result(trial.attempt(one, data), "failed", "a shape is wrong")
    assert calls == [4]
