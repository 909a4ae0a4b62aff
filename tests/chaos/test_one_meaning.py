"""A folder means one thing: what changed under it is named before anything is trained, and files of
another version of raymia are brought up to this one or refused, never taken for something else.
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tiny_folder import TEXT, Started, call, make, refused

from raymia import cli
from raymia.cluster import execution
from raymia.errors import EnvironmentFault
from raymia.point import catalog, origins
from raymia.report import model_card
from raymia.results.folder import CHECKSUMS, Folder
from raymia.results.sealed import SCHEMA, sealed
from raymia.results.store import Store
from raymia.study.asked import left_out

READ = [["report"], ["gate", "--max-auc", "1"], ["compare"], ["confirm"], ["pareto"]]
READ += [["export", "--to", "parquet", "--out", "out"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("one") / "tiny")


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(made, tmp_path / "tiny")


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """`raymia run` until it would start Ray."""

    def execute(*_: object) -> None:
        raise Started

    monkeypatch.setattr(execution, "execute", execute)
    return CliRunner().invoke(cli.main, ["run", *arguments])


def asked(folder: Path, command: list[str]) -> list[str]:
    return [command[0], str(folder), *command[1:]]


# ---- the data ----------------------------------------------------------------------------------


def test_data_that_changed_are_named_before_anything_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(120, 5)).astype("float32"), np.arange(120) % 3
    x[:, 0] += 5 * y
    np.savez(tmp_path / "x.npz", x=x, y=y)
    text = TEXT.replace("{digits: {records: 120}}", f"{{arrays: {{path: {tmp_path}/x.npz}}}}")
    text = text.replace("lanes: 4}", "lanes: 4, lr: 0.02}")
    folder = make(tmp_path / "own", text, confirmed=False)
    (tmp_path / "own.yaml").write_text(text)
    given = [str(tmp_path / "own.yaml"), "--out", str(folder)]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    right = call("confirm", str(folder))
    assert isinstance(right.exception, Started), right.stderr
    for other, said in (
        ((x[:110], y[:110]), "records were 120, are 110"),
        ((x[:, :4], y), "features were 5, are 4"),
        ((x, (y + (np.arange(120) == 7)) % 3), "labels were"),
        ((x + np.float32(1e-6) * (np.arange(120) == 3)[:, None], y), "other values"),
    ):
        np.savez(tmp_path / "x.npz", x=other[0], y=other[1])
        for result in (
            call("confirm", str(folder)),
            run(*given, "--trials", "9", monkeypatch=monkeypatch),
        ):
            line = refused(result)
            assert "not those of" in line and said in line and "trials in" in line
    left = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    assert left == {p: b for p, b in before.items() if p.name != ".lock"}


# ---- sweep.yaml --------------------------------------------------------------------------------

EDITS = [
    ("seed: 0", "seed: 1", "seed"),
    ("epochs: 8", "epochs: 9", "training"),
    ("[0.1, 0.3]", "[0.1, 0.4]", ""),
    ("reserve: 0.2", "reserve: 0.3", "protocol"),
    ("models: 4", "models: 6", "protocol"),
    ("trials: 3", "trials: 30", ""),
]


@pytest.mark.parametrize(("old", "new", "what"), EDITS, ids=[new for _, new, _ in EDITS])
def test_a_sweep_file_that_was_edited_is_named_by_every_command(
    old: str, new: str, what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "sweep.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    for command in READ:
        said = refused(call(*asked(folder, command)), 3)
        assert f"{file} is not what raymia wrote" in said and "put it back" in said
        assert f"of another {what}" in said if what else "of another" not in said
    result = run(str(file), "--out", str(folder), monkeypatch=monkeypatch)
    assert result.exit_code in (2, 3) and refused(result, result.exit_code)


def test_a_sweep_file_that_is_gone_does_not_hide_what_the_trials_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sweep.yaml").unlink()
    file = tmp_path / "x.yaml"
    for old, new, what in (*EDITS[:2], EDITS[3], ("width: 16", "width: 17", "network")):
        file.write_text(TEXT.replace(old, new))
        said = refused(run(str(file), "--out", str(folder), monkeypatch=monkeypatch))
        assert f"is of another {what}" in said and "name another --out" in said
    file.write_text(TEXT)
    result = run(str(file), "--out", str(folder), monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    assert (folder / "sweep.yaml").read_text().startswith(f"# raymia: schema {SCHEMA}, sha256")


# ---- versions ----------------------------------------------------------------------------------


def test_other_libraries_are_not_mixed_unasked(folder: Path) -> None:
    for row in Folder(folder).rows():
        other = replace(row, versions={**row.versions, "torch": "1.0"})
        (folder / "trials" / f"{row.digest}.json").write_bytes(sealed(other.to_json()))
    said = refused(call("confirm", str(folder), "--seeds", "3"), 3)
    assert "torch 1.0 (here" in said and "--mix-versions" in said
    mixed = call("confirm", str(folder), "--seeds", "3", "--mix-versions")
    assert isinstance(mixed.exception, Started)


def test_the_version_of_a_plug_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(origins, "_FILES", {})
    source = (Path(catalog.__file__).parents[1] / "defenses/label_smoothing.py").read_text()
    Path("mine.py").write_text(source.replace("class LabelSmoothing", "class Mine"))
    spelled = TEXT.replace("label_smoothing:", "'mine.py:Mine':")
    monkeypatch.setattr("tiny_folder.PART", "mine")
    folder = make(tmp_path / "tiny", spelled, confirmed=False)
    assert left_out(Folder(folder)) == ""
    Path("mine.py").write_text(Path("mine.py").read_text() + "\n# other\n")
    said = left_out(Folder(folder))
    assert re.search(r"2 of the 3 trials .*2 of file:mine.py \w{12} \(here \w{12}\)", said), said
    catalog._found.cache_clear()


# ---- files of another version ------------------------------------------------------------------


def _later(path: Path) -> None:
    """The file as a raymia of a later layout would have written it."""
    if path.name == "sweep.yaml":
        path.write_text(path.read_text().replace(f"schema {SCHEMA}", f"schema {SCHEMA + 1}"))
        return
    body = json.loads(path.read_text())
    name = "card_sha256" if "card_sha256" in body else "sha256"
    del body[name]
    import raymia.results.sealed as module

    before, module.SCHEMA = module.SCHEMA, SCHEMA + 1
    try:
        path.write_bytes(sealed(body, name))
    finally:
        module.SCHEMA = before


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("trials/*.json", ["report"]),
        ("confirm/*.json", ["gate", "--max-auc", "1"]),
        ("sweep.yaml", ["report"]),
        (CHECKSUMS, ["pareto"]),
        ("account.json", ["report"]),
        ("signals/*/index.json", ["scores", "--trial", "0"]),
    ],
)
def test_a_later_layout_is_refused_in_one_line(file: str, command: list[str], folder: Path) -> None:
    for path in folder.glob(file):
        _later(path)
    said = refused(call(*asked(folder, command)), 3)
    assert f"schema {SCHEMA + 1}" in said and "later raymia" in said and "install" in said


def test_a_later_card_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "card"
    assert (
        call("export", str(folder), "--to", "model", "--trial", "0", "--out", str(out)).exit_code
        == 0
    )
    model_card.load(out)
    _later(out / "card.json")
    with pytest.raises(EnvironmentFault, match="later raymia"):
        model_card.load(out)


def _bare(folder: Path) -> None:
    """The folder as it was before its files had seals."""
    text = (folder / "sweep.yaml").read_text()
    (folder / "sweep.yaml").write_text(text.split("\n", 1)[1])
    (folder / CHECKSUMS).unlink()
    for path in [*folder.glob("*.json"), *folder.glob("signals/*/index.json")]:
        body = {
            k: v for k, v in json.loads(path.read_text()).items() if k not in ("schema", "sha256")
        }
        path.write_text(json.dumps(body, indent=1) + "\n")
    for path in [*folder.glob("trials/*.json"), *folder.glob("confirm/*.json")]:
        _rewrite(path, lambda body: {k: v for k, v in body.items() if k != "schema"})


def _rewrite(path: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    from raymia.results.sealed import _canonical
    from raymia.streams import key

    body = change({k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"})
    path.write_text(_canonical({**body, "sha256": key(_canonical(body))}) + "\n")


def test_a_folder_without_seals_says_the_same(folder: Path) -> None:
    commands = [*READ[:3], ["pareto"], ["scores", "--trial", "1"]]
    before = [call(*asked(folder, command)) for command in commands]
    tables = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    _bare(folder)
    after = [call(*asked(folder, command)) for command in commands]
    assert [(r.exit_code, r.stdout, r.stderr) for r in before] == [
        (r.exit_code, r.stdout, r.stderr) for r in after
    ]
    assert tables == {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def test_every_file_that_is_written_says_its_layout(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        assert json.loads(path.read_text())["schema"] == SCHEMA, path
    kept = next((folder / "signals").iterdir())
    assert "split.npz" in Store(Folder(folder).storage, f"signals/{kept.name}").index()


# ---- a folder of 506e37f -----------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three trials and a confirmation of raymia at 506e37f, before revisions moved."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(Path(__file__).parent / "folder-506e37f.zip") as held:
        for name in held.namelist():
            path = tmp_path / "old" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(held.read(name))
    return tmp_path / "old"


def test_an_old_folder_is_answered_by_every_command(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {path: path.read_bytes() for path in old.glob("*/*.json")}
    assert len(rows) == 4 and len(Folder(old).rows()) == 3 and len(Folder(old).confirmed()) == 1
    counted, why = "3 of the 3 trials", "3 of an older revision of a part or of training"
    seen = call("pareto", str(old), "--all", "--csv")  # the numbers of before, and what they are
    assert seen.exit_code == 0 and seen.stdout.count("\n") == 4
    assert counted in seen.stderr and why in seen.stderr and "raymia report" in seen.stderr
    assert "2 of the 2 trials" in call("pareto", str(old)).stderr or counted in seen.stderr
    for command in (["gate", "--max-auc", "1"], ["compare"], ["confirm"], ["report"]):
        result = call(*asked(old, command))
        assert counted in result.stderr and why in result.stderr, command
        assert result.exit_code == (0 if command == ["report"] else 2)
    for command in (["scores", "--trial", "1"], ["scores", "--trial", "1", "--records"]):
        result = call(*asked(old, command))
        assert "of an older revision" in result.stderr and refused(result)
    for tool in ("parquet", "optuna", "model"):
        result = call("export", str(old), "--to", tool, "--out", "out")
        assert counted in result.stderr and "left out" in refused(result)
    # it goes on: all is trained again, and said so
    result = run(str(old / "sweep.yaml"), "--out", str(old), monkeypatch=monkeypatch)
    assert isinstance(result.exception, Started), result.exc_info
    assert counted in result.output + result.stderr
    assert rows == {path: path.read_bytes() for path in old.glob("*/*.json")}
