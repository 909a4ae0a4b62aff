"""The commands that read a folder."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cli_rows import QUICKSTART, ROOT, TRIALS, invoke, row

from raymia.point import catalog
from raymia.report import page
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


def found(folder: Path, *options: str) -> list[int]:
    return [
        one["trial"] for one in json.loads(invoke("pareto", str(folder), *options, "--json").stdout)
    ]


def test_where_takes_a_number_as_the_table_shows_it(tmp_path: Path) -> None:
    kept = Folder(tmp_path)
    kept.write(row(1000, "mmd", 0.91234, 0.6, mmd_weight=2.7319))
    kept.write(row(1001, "mmd", 0.8, 0.55, mmd_weight=27.319))
    kept.derive()
    shown = invoke("pareto", str(tmp_path)).stdout
    assert "weight=2.73" in shown and "0.912" in shown
    for pair in ("mmd.weight=2.73", "mmd.weight=2.7319", "test_accuracy=0.912", "trial=1000"):
        assert found(tmp_path, "--where", pair) == [1000], pair
    assert found(tmp_path, "--where", "mmd.weight=2.74") == []


def test_all_reaches_every_trial(folder: Path) -> None:
    assert found(folder, "--all") == [0, 1, 2, 3, 4]
    assert found(folder, "--all", "--where", "srcm.d=2") == [3]
    assert found(folder, "--all", "--where", "state=failed") == [4]
    assert found(folder, "--all", "--max-auc", "0.65") == [1, 2, 3]
    said = " ".join(invoke("pareto", str(folder), "--all").stdout.split())
    assert "failed: out of memory" in said


def test_the_undefended_trial_stands_in_every_table_and_what_leaks_more_is_marked(
    tmp_path: Path,
) -> None:
    kept = Folder(tmp_path)
    for one in (
        row(0, "none", 0.9, 0.7),
        row(1, "srcm", 0.95, 0.8),
        row(2, "mmd", 0.91, 0.6),
    ):
        kept.write(one)
    kept.derive()
    assert found(tmp_path) == [1, 2]
    lines = invoke("pareto", str(tmp_path)).stdout.splitlines()
    srcm, mmd, none = (
        next(line for line in lines if f" {name} " in line) for name in ("srcm", "mmd", "none")
    )
    assert "leaks more than no defense" in srcm and "leaks" not in mmd
    assert none.rstrip().endswith("without any defense, to compare with")
    page.write(kept, None)
    html = (tmp_path / "report.html").read_text()
    table = html[html.index('<table id="front-table"') : html.index("What the columns mean")]
    assert table.count("leaks more than no defense") == 1
    assert table.count("without any defense, to compare with") == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3.25, "3.25"), (10.0, "10"), (10.5, "10.5 (weak)"), (5422.2, "5422 (meaningless)")],
)
def test_an_epsilon_is_shown_with_what_it_is_worth(
    value: float, shown: str, tmp_path: Path
) -> None:
    one = row(0, "dpsgd", 0.9, 0.7)
    kept = Folder(tmp_path)
    kept.write(replace(one, numbers=one.numbers | {"epsilon": value}))
    kept.derive()
    assert invoke("pareto", str(tmp_path)).stdout.splitlines()[3].rstrip().endswith(f"  {shown}")
    page.write(kept, None)
    assert f">{shown}</td>" in (tmp_path / "report.html").read_text()


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
