"""A whole trial without Ray: the gap law, what is trained twice (nothing), and that the map
does not matter.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raymia.point.point import Point
from raymia.point.space import Part
from raymia.records.data import Data
from raymia.records.data import load as load_data
from raymia.results.local import Local
from raymia.results.store import Store
from raymia.signals import observe, world
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.verdict import metrics
from raymia.verdict.metrics import ScoreError

TINY = """
name: tiny
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [relaxloss: {alpha: 0.5}]]
attacks: [baseline, loss, lira, rmia]
training: {epochs: 2, lanes: 2}
search: {trials: 2}
"""


@pytest.fixture(scope="module")
def tiny() -> tuple[Point, Data]:
    file = sweep.parse(TINY)
    data = load_data(file.dataset, 0)
    return file.point(0, {}, 0, data), data


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns)
        for p in root.rglob("model-*")
    }


def test_the_gap_law_and_the_row(tiny: tuple[Point, Data]) -> None:
    row = trial.run(*tiny)
    n = row.numbers
    assert n["train_accuracy"] is not None and n["test_accuracy"] is not None
    assert n["auc.baseline"] == pytest.approx(
        0.5 + (n["train_accuracy"] - n["test_accuracy"]) / 2, abs=1e-6
    )
    # 2 epochs of 16 units on 10 classes: hardly better than guessing, which costs log 10
    assert n["train_loss"] == pytest.approx(np.log(10), abs=0.7) and n["train_loss_sd"]
    for side in ("train", "test"):
        assert n[f"{side}_accuracy"] < n[f"{side}_top5_accuracy"] < 1
    assert {line["attack"] for line in row.attacks} == {"baseline", "loss", "lira", "rmia"}
    assert sorted({line["target"] for line in row.attacks}) == [0, 2]
    assert row.members == row.nonmembers == 48 and row.models == 4 and row.state == "done"


def test_the_gap_law_is_checked(tiny: tuple[Point, Data], monkeypatch: pytest.MonkeyPatch) -> None:
    right = metrics.auc
    monkeypatch.setattr(metrics, "auc", lambda score, member: 1 - right(score, member) + 1e-3)
    row = trial.attempt(*tiny)
    assert row.state == "failed" and "baseline" in row.reason


def test_nothing_is_trained_twice_and_the_map_does_not_matter(
    tiny: tuple[Point, Data], tmp_path: Path
) -> None:
    point, data = tiny
    first = trial.run(point, data, tmp_path)
    before = files(tmp_path)
    assert len(before) == 8  # a file of signals and one of weights a model
    with ThreadPoolExecutor(2) as pool:
        again = trial.run(point, data, tmp_path, map=pool.map)
    alone = trial.run(point, data)
    assert files(tmp_path) == before
    assert replace(first, timing={}) == replace(again, timing={}) == replace(alone, timing={})


def test_more_attacks_and_more_models_train_only_what_is_new(
    tiny: tuple[Point, Data], tmp_path: Path
) -> None:
    point, data = tiny
    trial.run(point, data, tmp_path)
    before = files(tmp_path)
    more = replace(
        point, protocol=Part("coin", {**point.protocol.knobs, "models": 8, "targets": 4})
    )
    trial.run(more, data, tmp_path)
    after = files(tmp_path)
    assert {k: after[k] for k in before} == before and len(after) == 16
    grads = replace(point, attacks=(*point.attacks, Part("grad_x", {"norm": "l2"})))
    trial.run(grads, data, tmp_path)
    final = files(tmp_path)
    weights = {k: v for k, v in before.items() if k.endswith(".safetensors")}
    assert {k: final[k] for k in weights} == weights


def test_a_damaged_or_missing_model_is_made_again(tiny: tuple[Point, Data], tmp_path: Path) -> None:
    point, data = tiny
    first = trial.run(point, data, tmp_path)
    folder = tmp_path / first.signals
    content = bytearray((folder / "model-1.npz").read_bytes())
    content[len(content) // 2] ^= 4
    (folder / "model-1.npz").write_bytes(bytes(content))
    (folder / "model-2.safetensors").unlink()
    (folder / "model-2.npz").unlink()
    observe.loaded.cache_clear()
    assert replace(trial.run(point, data, tmp_path), timing={}) == replace(first, timing={})


def test_only_what_the_contract_names_stands_in_signals(
    tiny: tuple[Point, Data], tmp_path: Path
) -> None:
    row = trial.run(*tiny, tmp_path)
    names = {p.name for p in (tmp_path / row.signals).iterdir()}
    assert names == {"index.json", "split.npz"} | {
        f"model-{m}.{end}" for m in range(4) for end in ("npz", "safetensors")
    }
    assert [p.name for p in tmp_path.iterdir()] == [row.signals]
    with np.load(tmp_path / row.signals / "split.npz") as split:
        assert {"records", "labels", "member", "role", "fit", "targets", "judged"} <= set(
            split.files
        )
        assert split["judged"].shape == (2, 120) and split["member"].shape == (4, 120)
    with np.load(tmp_path / row.signals / "model-0.npz") as model:
        assert model["logits"].shape == (120, 10) and model["logits"].dtype == np.float32
    index = Store(Local(tmp_path), row.signals).index()
    assert set(index) == names - {"index.json"} and all(
        len(note["sha256"]) == 64 for note in index.values()
    )


def test_replicates_share_nothing_and_points_share_the_split(tiny: tuple[Point, Data]) -> None:
    point, data = tiny
    other = replace(
        point, recipe=(Part("relaxloss", {"alpha": 0.5, "upper": 1.0, "variant": "paper"}),)
    )
    assert (world.of(point, 120).split.member == world.of(other, 120).split.member).all()
    fresh = replace(point, replicate=1)
    assert (world.of(point, 120).split.member != world.of(fresh, 120).split.member).any()
    assert len({p.digest() for p in (point, other, fresh)}) == 3


def test_the_plain_attacker_stands_in_columns_of_its_own(
    tiny: tuple[Point, Data], tmp_path: Path
) -> None:
    point, data = tiny
    defended = replace(
        point,
        recipe=(Part("relaxloss", {"alpha": 3.0, "upper": 1.0, "variant": "paper"}),),
        attacker="plain",
    )
    row = trial.run(defended, data, tmp_path)
    adaptive = trial.run(replace(defended, attacker="adaptive"), data, tmp_path)
    assert row.numbers["auc.lira@plain"] != row.numbers["auc.lira"]
    for name in ("max_attack_auc", "plain_max_auc", "auc.lira"):
        assert row.numbers[name] == adaptive.numbers[name]


def test_scores_that_are_not_numbers_are_refused(
    tiny: tuple[Point, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    from raymia.attacks.loss import Loss

    honest = Loss.score

    def broken(self: Loss, view: object, rng: object) -> np.ndarray:
        scores = honest(self, view, rng).copy()  # type: ignore[arg-type]
        scores[:: max(1, len(scores) // 5)] = np.nan
        return scores

    monkeypatch.setattr(Loss, "score", broken)
    with pytest.raises(ScoreError, match="loss, target 0: .* not finite"):
        trial.run(*tiny)
    assert trial.attempt(*tiny).state == "invalid"


def test_a_diverged_point_is_invalid(tiny: tuple[Point, Data]) -> None:
    point, data = tiny
    row = trial.attempt(replace(point, training=replace(point.training, lr=1e30, epochs=20)), data)
    assert row.state == "invalid" and "epoch" in row.reason and row.numbers == {}


def test_a_row_says_what_a_defense_costs_in_records() -> None:
    file = sweep.parse(TINY.replace("120", "400"))
    data = load_data(file.dataset, 0)
    point = file.point(0, {}, 0, data)
    split = world.of(point, len(data)).split
    with_mmd = trial.run(replace(point, recipe=(Part("mmd", {"weight": 1.0}),)), data)
    assert with_mmd.numbers["reference_records"] == len(split.reference(0)) == 40
    assert "reference_records" not in trial.run(point, data).numbers
    loose = trial.run(replace(point, recipe=(Part("dpsgd", {"sigma": 0.3}),)), data)
    assert (loose.numbers["epsilon"] or 0) > 30
    assert not any("epsilon" in note for note in loose.notes)


def test_an_index_loses_no_entry_to_other_processes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from raymia.results.local import Local;from "
        "raymia.results.store import Store; s = Store(Local(Path(sys.argv[1])), "
        "'k');[s.put(f'{sys.argv[2]}-{i}', b'x') for i in range(20)]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(3)
    ]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    assert set(Store(Local(tmp_path), "k").index()) == {
        f"{n}-{i}" for n in range(3) for i in range(20)
    }
    assert len(list((tmp_path / "k").iterdir())) == 61  # and the index


def test_the_models_key_holds_the_revision_of_training(
    tiny: tuple[Point, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    point = tiny[0]
    before = point.digest(), world.signals_key(point)
    monkeypatch.setattr(type(point.training), "revision", point.training.revision + 1)
    assert point.digest() != before[0] and world.signals_key(point) != before[1]
