"""The commands that read a folder."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_rows import QUICKSTART, ROOT, TRIALS, invoke, row

from raymia.point import catalog
from raymia.results.folder import Folder

# ---- pareto ------------------------------------------------------------------------------------


def defenses(folder: Path, *options: str) -> list[str]:
    result = invoke("pareto", str(folder), *options, "--json")
    assert result.exit_code == 0, result.output
    return [point["defense"] for point in json.loads(result.stdout)]


def test_pareto_filters_the_front(folder: Path) -> None:
    assert defenses(folder) == ["none", "relaxloss", "srcm"]
    assert defenses(folder, "--max-auc", "0.6") == ["relaxloss", "srcm"]
    assert defenses(folder, "--min-accuracy", "0.85") == ["none", "relaxloss"]
    assert defenses(folder, "--where", "srcm.d=1") == ["srcm"]
    assert (
        defenses(folder, "--where", "srcm.all_on=True")
        == defenses(folder, "--where", "srcm.all_on=true")
        == ["srcm"]
    )
    assert defenses(folder, "--where", "defense=none", "--where", "seed=1") == []
    assert defenses(folder, "--metric", "auc.lira", "--max-auc", "0.5") == ["srcm"]
    assert defenses(folder, "--metric", "lira", "--max-auc", "0.52") == ["srcm", "srcm"]


def test_pareto_in_json_and_csv_agree(folder: Path) -> None:
    points = json.loads(invoke("pareto", str(folder), "--json").stdout)
    assert (
        points[2]["srcm.d"] == 1
        and points[2]["srcm.all_on"] is True
        and points[2]["epsilon"] == 3.25
    )
    assert points[0]["srcm.d"] is None and points[0]["test_accuracy"] == 0.9
    written = list(csv.DictReader(io.StringIO(invoke("pareto", str(folder), "--csv").stdout)))
    original = list(csv.DictReader(io.StringIO(TRIALS)))[:3]
    assert written == original


@pytest.mark.parametrize("option", ["--max-auc", "--min-accuracy"])
@pytest.mark.parametrize("command", ["pareto", "gate"])
def test_nan_is_no_bound(command: str, option: str, folder: Path) -> None:
    result = invoke(command, str(folder), "--max-auc", "0.6", option, "nan")
    assert (result.exit_code, result.stderr) == (
        2,
        f"raymia: {option}: got nan; a number is allowed\n",
    )


def test_a_metric_that_cannot_be_one_is_one_line(folder: Path) -> None:
    for name, words in (
        ("", "no column ''"),
        ("test_accuracy", "weighed against"),
        ("worst_attack", "not hold numbers"),
    ):
        result = invoke("pareto", str(folder), "--metric", name)
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
    assert "max_attack_auc" in invoke("pareto", str(folder)).stdout


def test_pareto_csv_is_pareto_csv(tmp_path: Path) -> None:
    """Byte for byte: floats that are whole, knobs that are whole in one row and not in another,
    texts like numbers.
    """
    results = Folder(tmp_path)
    results.write(row(0, "none", 1.0, 0.7))
    results.write(row(1, "relaxloss", 0.8, 0.6, relaxloss_alpha=1.0, relaxloss_variant="1e5"))
    results.write(row(2, "srcm", 0.7, 0.5, srcm_d=1, srcm_all=True, srcm_word="-a, b", srcm_r=2))
    results.write(
        row(3, "srcm", 0.5, 0.1 + 0.2, srcm_d=2, srcm_all=False, srcm_word="true", srcm_r=0.5)
    )
    results.derive()
    kept = (tmp_path / "pareto.csv").read_text()
    assert ",1.0," in kept and kept.count("\n") == 5
    assert invoke("pareto", str(tmp_path), "--csv").stdout == kept
    results.confirm(row(1, "relaxloss", 1.0, 0.5))
    results.derive()
    confirmed = (tmp_path / "pareto.csv").read_text()
    assert (
        "confirmed_max_attack_auc" in confirmed
        and invoke("pareto", str(tmp_path), "--csv").stdout == confirmed
    )
    only = invoke("pareto", str(tmp_path), "--csv", "--where", "relaxloss.alpha=1").stdout
    assert only.splitlines() == [confirmed.splitlines()[0], confirmed.splitlines()[2]]


def test_pareto_json_types_do_not_depend_on_the_filter(tmp_path: Path) -> None:
    results = Folder(tmp_path)
    results.write(row(0, "none", 1.0, 0.7))
    results.write(row(1, "relaxloss", 0.8, 0.6, relaxloss_alpha=1.0))
    results.write(row(2, "srcm", 0.7, 0.5, srcm_d=1, srcm_r=2))
    results.write(row(3, "srcm", 0.5, 0.3, srcm_d=2, srcm_r=0.5))
    results.derive()
    everything = json.loads(invoke("pareto", str(tmp_path), "--json").stdout)
    for point in everything:
        (alone,) = json.loads(
            invoke("pareto", str(tmp_path), "--json", "--where", f"trial={point['trial']}").stdout
        )
        assert json.dumps(alone) == json.dumps(point)
    assert [type(point["srcm.d"]) for point in everything] == [type(None)] * 2 + [int] * 2
    assert repr(everything[2]["srcm.r"]) == "2.0" and repr(everything[0]["test_accuracy"]) == "1.0"
    assert everything[0]["members"] is None and everything[1]["relaxloss.alpha"] == 1


def test_pareto_prints_the_interval_of_an_attack(folder: Path) -> None:
    head, *lines = TRIALS.splitlines()
    rows = [
        f"{line},{cells}"
        for line, cells in zip(
            lines, ("0.68,0.71", "0.5,0.6", "0.4,0.6", "0.4,0.6", ","), strict=True
        )
    ]
    (folder / "trials.csv").write_text("\n".join([f"{head},auc_lo.lira,auc_hi.lira", *rows]) + "\n")
    for name in ("lira", "auc.lira"):
        assert "0.700 [0.680, 0.710]" in invoke("pareto", str(folder), "--metric", name).stdout


def test_pareto_as_a_table(folder: Path) -> None:
    output = invoke("pareto", str(folder)).stdout
    assert "0.900 [0.880, 0.920]" in output and "0.520 [0.500, 0.540]" in output and "d=1" in output
    assert "3.25" in output and "failed" not in output
    assert "auc.lira" in invoke("pareto", str(folder), "--metric", "lira").stdout
    assert "no point" in invoke("pareto", str(folder), "--max-auc", "0.1").stdout


def test_pareto_writes_nothing_and_starts_without_torch(folder: Path) -> None:
    folder.chmod(0o555)
    heavy = "{'torch', 'ray', 'sklearn', 'scipy', 'optuna', 'matplotlib'}"
    code = f"""
import sys
from raymia.cli import main
try:
    main(["pareto", {str(folder)!r}, "--json"])
except SystemExit as end:
    assert end.code == 0
assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["trials.csv"]


# ---- the rest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_list_describes_everything_there_is(kind: str) -> None:
    things = json.loads(invoke("list", kind, "--json").stdout)
    assert [thing["name"] for thing in things] == list(catalog.names(kind))
    for thing in things:
        assert (
            thing["summary"]
            and thing["source"]
            and {"name", "summary", "knobs", "source"} <= set(thing)
        )
    result = invoke("list", kind)
    assert result.exit_code == 0 and all(name in result.stdout for name in catalog.names(kind))


def test_list_spells_ranges() -> None:
    assert "alpha = 0.5 [0, 2]" in " ".join(invoke("list", "defenses").stdout.split())
    everything = json.loads(invoke("list", "--json").stdout)
    assert {thing["kind"] for thing in everything} == set(catalog.KINDS)


def test_cite_prints_each_entry_once() -> None:
    result = invoke("cite", QUICKSTART)
    keys = [
        line.partition("{")[2].partition(",")[0]
        for line in result.stdout.splitlines()
        if line.startswith("@")
    ]
    assert result.exit_code == 0 and len(keys) == len(set(keys)) and "chen2022relaxloss" in keys
    fewer = invoke("cite", QUICKSTART, "--set", "defenses=[[]]").stdout
    assert "chen2022relaxloss" not in fewer and "carlini2022lira" in fewer


@pytest.mark.parametrize(
    "command", [("report",), ("confirm",), ("gate", "--max-auc", "0.6"), ("scores", "--trial", "0")]
)
def test_a_folder_that_holds_no_results_is_asked_about(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    name, *options = command
    result = invoke(name, str(tmp_path), *options)
    assert result.exit_code == 2 and "is it a results folder?" in result.stderr, result.output
    assert not list(tmp_path.iterdir())


def test_doctor_names_the_versions() -> None:
    result = invoke("doctor")
    assert result.exit_code == 0
    for name in ("raymia", "python", "torch", "ray", "CPUs"):
        assert name in result.stdout


def test_help_names_every_command_and_code() -> None:
    output = invoke("--help").stdout
    for command in ("run", "points", "pareto", "report", "list", "cite", "doctor"):
        assert f"\n  {command} " in output
        assert invoke(command, "--help").exit_code == 0
    said = " ".join(output.split())
    assert "or a gate not met; 2 bad sweep" in said and "results folder" in said


def test_a_reader_that_leaves_early_is_no_bug() -> None:
    command = f"{sys.executable} -c 'from raymia.cli import main; main()' list --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
