"""The results folder: written once, verified, derived whole, held by one."""

import csv
import errno
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.errors import EnvironmentFault, Locked
from raymia.results import folder as results
from raymia.results import local as storage
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.results.store import Store
from raymia.results.tables import tables


def row(trial: int, accuracy: float | None = 0.9, auc: float | None = 0.6, **changes: Any) -> Row:
    numbers = {
        "test_accuracy": accuracy,
        "max_attack_auc": auc,
        "auc.loss": auc,
        "epsilon": None,
        "canary": 0.25,
    }
    given: dict[str, Any] = dict(
        trial=trial,
        digest=f"{trial + 0xABC0:064x}",
        signals="5" * 64,
        state="done",
        reason="",
        point={"seed": 0, "recipe": [{"relaxloss": {"alpha": 0.1}}]},
        dataset="digits",
        network="mlp",
        defense="relaxloss",
        knobs={"relaxloss.alpha": 0.1 + 0.2},
        seed=0,
        models=8,
        targets=4,
        members=240,
        nonmembers=None,
        numbers=numbers,
        worst_attack="loss",
        attacks=[{"target": 0, "attack": "loss", "auc": auc, "tpr_at_fpr_0.01": None}],
        timing={"train": 1.5},
        versions={"python": "3.11"},
        notes=["nonmembers: one model"],
    )
    return Row(**given | changes)


def written(folder: Path, rows: Sequence[Row]) -> Folder:
    out = Folder(folder)
    for one in rows:
        out.write(one)
    out.derive()
    return out


def cells(folder: Folder, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder.path / name).read_text())))


def bytes_of(folder: Folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.glob("*.csv")}


def test_a_row_survives_its_file(tmp_path: Path) -> None:
    rows = [row(1), row(0, None, None, state="failed", reason="killed: out of memory")]
    assert written(tmp_path, rows).rows() == sorted(rows, key=lambda r: r.trial)
    text = json.loads((tmp_path / "trials" / f"{rows[0].digest}.json").read_text())
    assert text["digest"] == rows[0].digest and len(text["sha256"]) == 64


def test_numbers_are_pythons_own() -> None:
    one = row(0, np.float64(0.1), np.float32(0.5))  # type: ignore[arg-type]
    assert results.decode(results.encode(one), "here").numbers["max_attack_auc"] == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan")])
def test_no_row_holds_what_is_no_number(bad: Any) -> None:
    for changes in (
        {"accuracy": bad},
        {"attacks": [{"auc": bad}]},
        {"timing": {"train": bad}},
        {"knobs": {"a.b": bad}},
    ):
        with pytest.raises(ValueError, match="finite|JSON"):
            results.encode(row(0, **changes))


@pytest.mark.parametrize("digest", ["../../x", "", "g" * 64, "a" * 65, "A" * 64, "abc\n"])
def test_a_digest_is_never_a_path(digest: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        row(0, digest=digest)


def test_every_flipped_bit_and_every_cut_is_seen(tmp_path: Path) -> None:
    written(tmp_path, [row(0)])
    path = next((tmp_path / "trials").iterdir())
    whole = path.read_bytes()
    for i in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(EnvironmentFault, match=path.name):
            Folder(tmp_path).rows()
        path.write_bytes(whole[:i])
        with pytest.raises(EnvironmentFault, match=path.name):
            Folder(tmp_path).rows()
    path.write_bytes(whole)
    path.rename(path.with_name("f" * 64 + ".json"))
    with pytest.raises(EnvironmentFault, match="renamed"):
        Folder(tmp_path).rows()


def test_a_row_written_anew_by_other_hands_verifies_where_its_values_do(tmp_path: Path) -> None:
    written(tmp_path, [row(0)])
    path = next((tmp_path / "trials").iterdir())
    plain = json.loads(path.read_bytes())
    path.write_text(json.dumps(plain, indent=2))
    assert Folder(tmp_path).rows() == [row(0)]
    path.write_text(json.dumps(plain | {"seed": 1}, indent=2))
    with pytest.raises(EnvironmentFault, match="sha256"):
        Folder(tmp_path).rows()


def test_a_folder_reads_a_row_once_and_anew_where_it_is_to_keep_none(tmp_path: Path) -> None:
    written(tmp_path, [row(0), row(1)])
    folder = Folder(tmp_path)
    first = folder.rows()
    for path in (tmp_path / "trials").iterdir():
        path.write_bytes(b"damaged")
    assert folder.rows() == first == folder.first_rows()
    with folder.lean(), pytest.raises(EnvironmentFault, match="damaged"):
        folder.rows()


def test_a_run_of_days_makes_the_same_tables_of_rows_that_are_packed(tmp_path: Path) -> None:
    folder = written(tmp_path, [row(0), row(1)])
    before, whole = bytes_of(folder), folder.rows()
    with folder.lean():
        packed = folder.rows()
        assert tables(packed) == tables(whole)
        (tmp_path / "attacks.csv").write_text("torn")
        assert folder.derive() == ["attacks.csv"] and bytes_of(folder) == before
    assert whole[0].attacks and not isinstance(packed[0].attacks, list)
    assert list(packed[0].attacks) == list(whole[0].attacks) == packed[0].attacks[:]
    assert packed[0].attacks[-1] == whole[0].attacks[-1]
    assert not isinstance(packed[0].point, dict) and {**packed[0].point} == whole[0].point
    assert len(packed[0].point) == len(whole[0].point) > 0


def test_csvs_of_the_same_rows_are_not_made_again_but_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, [row(0), row(1)])
    before = bytes_of(folder)
    made = []
    monkeypatch.setattr(results, "tables", lambda *given: made.append(1) or tables(*given))
    assert folder.derive() == [] and made == []
    (tmp_path / "trials.csv").write_text("torn")
    assert folder.derive() == ["trials.csv"] and bytes_of(folder) == before
    folder.write(row(2))
    assert "trials.csv" in folder.derive() and len(made) == 2
    assert "trials.csv" in folder.derive([row(0).digest]) and len(made) == 3


def test_a_written_row_is_final(tmp_path: Path) -> None:
    folder = written(tmp_path, [row(0)])
    with pytest.raises(EnvironmentFault, match="final"):
        folder.write(row(0, 0.1))
    assert folder.rows() == [row(0)]


def test_the_search_sees_the_first_and_the_tables_the_newest(tmp_path: Path) -> None:
    failed = row(0, None, None, state="failed", reason="out of memory")
    folder = written(tmp_path, [failed, row(1)])
    for n in range(1, 12):  # past 9: the newest by number, not by name
        folder.write(row(0, n / 20), retry=True)
    assert (tmp_path / "trials" / f"{failed.digest}.retry-11.json").exists()
    assert folder.first_rows() == [failed, row(1)]
    assert folder.rows() == [row(0, 11 / 20), row(1)]
    folder.derive()
    assert [line["test_accuracy"] for line in cells(folder, "trials.csv")] == ["0.55", "0.9"]


def test_the_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    folder = written(tmp_path, [row(0), row(1, knobs={"srcm.r1": 3, "crl.lam": True})])
    head = (tmp_path / "trials.csv").read_text().splitlines()[0]
    assert head == (
        "trial,digest,signals,state,reason,dataset,network,defense,crl.lam,relaxloss.alpha,srcm.r1,seed,models,targets,members,nonmembers,train_accuracy,test_accuracy,test_accuracy_lo,test_accuracy_hi,max_attack_auc,max_attack_auc_lo,max_attack_auc_hi,worst_attack,plain_max_auc,auc.loss,epsilon,delta,canary,notes"
    )
    first, second = cells(folder, "trials.csv")
    assert (
        first["relaxloss.alpha"] == "0.30000000000000004"
        and float(first["relaxloss.alpha"]) == 0.1 + 0.2
    )
    assert (
        first["nonmembers"] == first["epsilon"] == first["srcm.r1"] == first["train_accuracy"] == ""
    )
    assert second["srcm.r1"] == "3" and second["crl.lam"] == "true"
    attacks = (tmp_path / "attacks.csv").read_text().splitlines()
    assert attacks[0].startswith(
        "trial,digest,target,attack,auc,auc_lo,auc_hi,balanced_accuracy,advantage,tpr_at_fpr_0.01,tpr_at_fpr_0.01_lo,tpr_at_fpr_0.01_hi,tpr_at_fpr_0.001,tpr_at_fpr_0.001_lo,tpr_at_fpr_0.001_hi"
    )
    assert attacks[1].startswith(f"0,{row(0).digest},0,loss,0.6,,")
    assert "1.5" not in (tmp_path / "trials.csv").read_text()
    assert cells(folder, "timing.csv")[0] == {"trial": "0", "digest": row(0).digest, "train": "1.5"}


def test_an_empty_folder_has_empty_tables(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    assert sorted(folder.derive()) == ["attacks.csv", "pareto.csv", "timing.csv", "trials.csv"]
    assert cells(folder, "trials.csv") == [] and folder.read_sweep() is None


def test_bytes_do_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    rows = [row(i, 0.9 - i / 10, 0.8 - i / 10) for i in range(4)]
    made = [
        bytes_of(written(tmp_path / str(n), order))
        for n, order in enumerate(itertools.permutations(rows))
    ]
    assert all(one == made[0] for one in made)


def test_torn_stale_and_missing_tables_are_rebuilt(tmp_path: Path) -> None:
    folder = written(tmp_path, [row(0), row(1, 0.8, 0.5)])
    whole = bytes_of(folder)
    assert folder.derive() == []
    for name, text in whole.items():
        for cut in range(0, len(text), 97):
            (tmp_path / name).write_bytes(text[:cut])
            assert folder.derive() == [name] and bytes_of(folder) == whole
        (tmp_path / name).unlink()
        assert folder.derive() == [name] and bytes_of(folder) == whole


def test_only_the_current_sweep_is_shown(tmp_path: Path) -> None:
    folder = written(tmp_path, [row(0), row(1)])
    folder.derive([row(1).digest])
    assert [line["trial"] for line in cells(folder, "trials.csv")] == ["1"]
    assert len(cells(folder, "attacks.csv")) == len(cells(folder, "timing.csv")) == 1


PAYLOADS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("x")',
    "=cmd|' /C calc'!A0",
    "-2+3",
    "@x,y",
]


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_cell_is_a_formula(text: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("reason", "dataset", "network", "defense", "signals", "worst_attack"), text
    )
    one = row(
        0,
        **fields,
        notes=[text],
        knobs={"a.b": text, "a.c": -0.5},
        attacks=[{"attack": text, "target": 0}],
    )
    folder = written(tmp_path, [one])
    for name in ("trials.csv", "attacks.csv"):
        found = cells(folder, name)
        assert len(found) == 1
        assert not [
            v
            for k, v in found[0].items()
            if k != "a.c" and v.startswith(("=", "+", "-", "@", "\t", "\r"))
        ]
    assert cells(folder, "trials.csv")[0]["a.c"] == "-0.5"
    assert cells(folder, "trials.csv")[0]["reason"] == "'" + text.replace("\t", " ").replace(
        "\r", " "
    )


def test_a_row_is_one_line(tmp_path: Path) -> None:
    folder = written(
        tmp_path, [row(0, state="failed", reason='Traceback:\n  File "x, y"\r\nError\x00')]
    )
    assert len((tmp_path / "trials.csv").read_bytes().split(b"\n")) == 3
    assert cells(folder, "trials.csv")[0]["reason"] == 'Traceback:   File "x, y" Error '


def test_the_front_and_what_confirms_it(tmp_path: Path) -> None:
    rows = [
        row(0, 0.9, 0.8),
        row(1, 0.8, 0.9),
        row(2, 0.7, 0.6),
        row(3, 0.99, 0.5, state="stopped"),
        row(4, None, 0.1),
    ]
    folder = written(tmp_path, rows)
    whole = (tmp_path / "trials.csv").read_text().splitlines()
    assert (tmp_path / "pareto.csv").read_text().splitlines() == [whole[0], whole[1], whole[3]]
    folder.confirm(row(2, 0.1, 0.1))
    folder.confirm(replace(row(2, 0.6875, 0.625)))  # confirmed again: the newest counts
    assert folder.derive() == ["pareto.csv"]
    first, second = cells(folder, "pareto.csv")
    assert first["confirmed_test_accuracy"] == ""
    assert float(second["confirmed_max_attack_auc"]) == 0.625
    assert float(second["confirmed_test_accuracy_change"]) == pytest.approx(-0.0125)
    assert float(second["confirmed_max_attack_auc_change"]) == pytest.approx(0.025)


def test_one_holds_the_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "held")
    with folder.lock():
        with pytest.raises(Locked, match=rf"process {os.getpid()} on .* since 20"):
            with Folder(tmp_path / "held").lock():
                pass
    with folder.lock():
        pass


def test_what_is_kept_of_another_model_is_not_there(tmp_path: Path) -> None:
    kept = Store(Local(tmp_path), "signals/x")
    kept.put("model-0.npz", b"said", "one model")
    assert kept.get("model-0.npz", "one model") == b"said"
    assert kept.get("model-0.npz", "another") is None


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_a_file_where_the_folder_should_be_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    with (
        pytest.raises(EnvironmentFault, match="taken.*: a file stands where a folder is needed"),
        Folder(tmp_path / "taken" / below).lock(),
    ):
        pass
    assert (tmp_path / "taken").read_text() == "not a folder"


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    hold = f"with Folder({str(tmp_path)!r}).lock():\n print('held', flush=True)\n input()"
    code = f"from raymia.results.folder import Folder\n{hold}"
    root = Path(results.__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match=f"process {child.pid} "), Folder(tmp_path).lock():
            pass
    finally:
        child.kill()
        child.communicate()
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / ".left.tmp").write_text("torn")
    with Folder(tmp_path).lock():
        assert not list((tmp_path / "trials").iterdir())


@pytest.mark.parametrize(
    "code, word", [(errno.ENOSPC, "full"), (errno.EROFS, "read-only"), (errno.EIO, "")]
)
@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_a_failing_disk_leaves_old_or_new(
    step: str, code: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, [row(0)])
    before = bytes_of(folder)

    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, step, fail)
        with pytest.raises(EnvironmentFault, match=f"{tmp_path}.*{word}"):
            folder.write(row(1))
            folder.derive()
    assert bytes_of(folder) == before
    assert not list(tmp_path.rglob("*.tmp"))
    assert [r.trial for r in folder.rows()] in ([0], [0, 1])


def test_without_hard_links_nothing_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(storage.os, "link", fail)
    folder = written(tmp_path, [row(0)])
    with pytest.raises(EnvironmentFault, match="final"):
        folder.write(row(0, 0.1))
    assert folder.rows() == [row(0)]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    inside = tmp_path / "in"
    inside.mkdir()
    for name in (".lock", "trials.csv", f".trials.csv.{os.getpid()}.tmp"):
        (inside / name).symlink_to(outside)
    folder = Folder(inside)
    folder.derive()
    with pytest.raises(EnvironmentFault, match="symbolic link"), folder.lock():
        pass
    assert outside.read_text() == "precious"


def test_reading_the_front_needs_neither_torch_nor_sklearn() -> None:
    heavy = ("torch", "sklearn", "scipy", "ray")
    code = (
        f"import sys, raymia.report.query, raymia.results.folder; print([name for name in {heavy} "
        "if name in sys.modules])"
    )
    root = Path(results.__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
