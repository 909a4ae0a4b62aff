"""What a user types and what comes back: text, JSON, exit codes."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import raymia.cluster
from raymia import cli
from raymia.errors import EnvironmentFault, Locked, SweepError
from raymia.point import catalog
from raymia.report import page
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep

ROOT = Path(__file__).parent.parent
QUICKSTART = str(ROOT / "sweeps" / "quickstart.yaml")
TRIALS = """\
trial,digest,state,reason,defense,relaxloss.alpha,srcm.d,srcm.all_on,seed,test_accuracy,test_accuracy_lo,\
test_accuracy_hi,max_attack_auc,max_attack_auc_lo,max_attack_auc_hi,worst_attack,auc.loss,auc.lira,epsilon
0,aaaaaaaa,done,,none,,,,0,0.9,0.88,0.92,0.7,0.68,0.72,lira,0.6,0.7,
1,bbbbbbbb,done,,relaxloss,0.5,,,0,0.85,0.83,0.87,0.6,0.58,0.62,loss,0.6,0.55,
2,cccccccc,done,,srcm,,1,true,0,0.8,0.78,0.82,0.52,0.5,0.54,loss,0.52,0.51,3.25
3,dddddddd,done,,srcm,,2,false,0,0.7,0.68,0.72,0.65,0.63,0.67,loss,0.65,0.5,
4,eeeeeeee,failed,out of memory,none,,,,0,,,,,,,,,,
"""


def row(trial: int, defense: str, accuracy: float, auc: float, **knobs: Any) -> Row:
    numbers: dict[str, float | None] = {"test_accuracy": accuracy, "max_attack_auc": auc}
    named = {key.replace("_", ".", 1): value for key, value in knobs.items()}
    return Row(trial, f"{trial:064x}", "", "done", "", {}, "digits", "mlp", defense, named, 0, 8, 4, numbers=numbers)


ROWS = [row(0, "none", 0.9, 0.7), row(1, "relaxloss", 0.8, 0.6, relaxloss_alpha=0.5), row(2, "srcm", 0.7, 0.65)]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trials.csv").write_text(TRIALS)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for Ray and for the page: keeps what it was called with, returns `code`, raises `error`."""
    seen = SimpleNamespace(code=0, error=None, calls=[])

    def run(sweep: Any, out: Path, **options: Any) -> int:
        seen.calls.append((sweep, out, options))
        if seen.error is not None:
            raise seen.error
        out.mkdir(parents=True, exist_ok=True)
        for row in ROWS[len(Folder(out).rows()) :]:
            Folder(out).write(row)
        Folder(out).derive()
        return int(seen.code)

    def write(folder: Folder, digests: list[str] | None) -> Path:
        return folder.path / "report.html"

    driver: Any = ModuleType("raymia.cluster.driver")
    driver.run = run
    monkeypatch.setitem(sys.modules, driver.__name__, driver)
    monkeypatch.setattr(raymia.cluster, "driver", driver, raising=False)
    monkeypatch.setattr(page, "write", write)
    return seen


# ---- run -------------------------------------------------------------------------------------------------------------


def test_run_hands_the_sweep_on_and_prints_the_front(
    asked: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("run", QUICKSTART, "--trials", "30", "--set", "search.lag=2", "--retry-failed")
    assert result.exit_code == 0, result.output
    ((study, out, options),) = asked.calls
    assert (study.search.trials, study.search.lag, out) == (30, 2, Path("results/quickstart"))
    assert options == {"retry_failed": True, "mix_versions": False}
    printed = result.output.splitlines()
    front = [line.split()[:2] for line in printed if line.strip()[:1].isdecimal()]
    assert front == [["0", "none"], ["1", "relaxloss"]]  # best accuracy first
    assert "front:  results/quickstart/pareto.csv" in printed and "report: results/quickstart/report.html" in printed


def test_run_takes_another_folder_and_passes_the_exit_code_on(asked: SimpleNamespace, tmp_path: Path) -> None:
    asked.code = 1
    result = invoke("run", QUICKSTART, "--out", str(tmp_path / "here"), "--mix-versions")
    assert result.exit_code == 1 and "alpha=0.5" in result.output
    assert asked.calls[0][1:] == (tmp_path / "here", {"retry_failed": False, "mix_versions": True})
    asked.code = 130
    result = invoke("run", QUICKSTART, "--out", str(tmp_path / "here"))
    assert result.exit_code == 130 and "report" not in result.output


def test_a_report_is_of_the_sweep_as_it_is_now(asked: SimpleNamespace, tmp_path: Path) -> None:
    """Attacks were changed: rows that are judged by the old ones stay in trials/ and leave the CSVs."""
    results = Folder(tmp_path)
    study = sweep.load(QUICKSTART)
    now = study.point(0, {}, 0, SimpleNamespace(sha256=lambda: "ab" * 32))  # type: ignore[arg-type]
    before = replace(now, attacks=now.attacks[:1])
    results.write_sweep(sweep.dump(study.resolved()))
    for point, trial in ((now, 0), (before, 1)):
        results.write(replace(ROWS[0], trial=trial, digest=point.digest(), point=point.to_json()))
    result = invoke("report", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'report.html'}\n"), result.output
    assert [line["trial"] for line in csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())] == ["0"]
    assert len(results.rows()) == 2


def test_scores_are_printed_as_csv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from raymia.trial import record_scores as scores

    seen = []

    def found(row: Row, signals: Path, canaries: bool) -> Iterator[scores.Score]:
        seen.append((row.trial, signals, canaries))
        yield from (scores.Score(0, 7, True, "blank", "loss", 0.25), scores.Score(0, 8, False, "", "loss", -1.5))

    monkeypatch.setattr(scores, "scores", found)
    Folder(tmp_path).write(ROWS[0])
    result = invoke("scores", str(tmp_path), "--trial", str(ROWS[0].trial), "--canaries")
    lines = ["target,record,member,canary,attack,score", "0,7,true,blank,loss,0.25", "0,8,false,,loss,-1.5"]
    assert (result.exit_code, result.stdout.splitlines()) == (0, lines), result.output
    assert seen == [(ROWS[0].trial, tmp_path / "signals", True)]
    result = invoke("scores", str(tmp_path), "--trial", "99")
    assert result.exit_code == 2 and "--trial: got 99" in result.stderr


ERRORS = [(SweepError("a"), 2), (EnvironmentFault("b"), 3), (Locked("c"), 4)]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=[type(e).__name__ for e, _ in ERRORS])
def test_an_error_is_one_line_and_an_exit_code(asked: SimpleNamespace, error: Exception, code: int) -> None:
    asked.error = error
    result = invoke("run", QUICKSTART)
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"raymia: {error}\n", "")


def test_an_interrupt_is_130(asked: SimpleNamespace) -> None:
    asked.error = KeyboardInterrupt()
    assert invoke("run", QUICKSTART).exit_code == 130


def test_a_bug_is_not_hidden(asked: SimpleNamespace) -> None:
    asked.error = RuntimeError("a bug")
    result = invoke("run", QUICKSTART)
    assert isinstance(result.exception, RuntimeError)


BAD = [
    ("run", QUICKSTART, "--trials", "0"),
    ("run", QUICKSTART, "--set", "search.trails=5"),
    ("run", QUICKSTART, "--nonsense"),
    ("run",),
    ("run", "no/such.yaml"),
    ("points", QUICKSTART, "--set", "protocol.coin.models=7"),
    ("points", QUICKSTART, "--set", "dataset.digits.records=5000"),
    ("points", QUICKSTART, "--set", "dataset={arrays: {path: no/such.npz}}"),
    ("cite", QUICKSTART, "--set", "network=mpl"),
    ("list", "defences"),
    ("pareto", "no/such/folder"),
    ("report", "no/such/folder"),
    ("pareto", "{folder}", "--metric", "lyra"),
    ("pareto", "{folder}", "--where", "srcm.e=1"),
    ("pareto", "{folder}", "--where", "srcm.d"),
    ("pareto", "{folder}", "--json", "--csv"),
    ("pareto", "{folder}", "--max-auc", "low"),
    ("pareto", "{folder}", "--max-auc", "nan"),
    ("pareto", "{folder}", "--min-accuracy", "nan"),
    ("pareto", "{folder}", "--metric", ""),
    ("pareto", "{folder}", "--metric", "test_accuracy"),
    ("pareto", "{folder}", "--metric", "defense"),
    ("gate", "{folder}", "--max-auc", "nan"),
    ("gate", "{folder}", "--max-auc", "0.6", "--min-accuracy", "nan"),
    ("nonsense",),
]


@pytest.mark.parametrize("arguments", BAD, ids=[" ".join(b).replace(QUICKSTART, "QUICKSTART") for b in BAD])
def test_bad_arguments_exit_2_and_start_nothing(
    arguments: tuple[str, ...], asked: SimpleNamespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    result = invoke(*(a.replace("{folder}", str(folder)) for a in arguments))
    assert result.exit_code == 2 and result.stderr and not result.stdout, result.output
    assert "Traceback" not in result.stderr and not asked.calls and sorted(folder.rglob("*")) == before


# ---- points ----------------------------------------------------------------------------------------------------------


def test_points_says_what_a_sweep_will_do() -> None:
    sets = ["--set", "protocol={halves: {}}", "--set", "dataset.digits.records=200", "--set", "resources.gpu=9"]
    result = invoke("points", QUICKSTART, "--trials", "5", *sets)
    assert result.exit_code == 0, result.output
    for said in (
        "srcm.r1: [3, 25]",
        "relaxloss.alpha: [0, 2]",
        "200 records, 10 classes",
        "5 trials x 6 models = 30 models",
    ):
        assert said in result.output, said
    # 200 - 40 in reserve; each half of 80 gives 40 members; 6 models, 40 epochs, 5 trials
    assert f"{40 * 6 * 40 * 5:.3g} sample-epochs" in result.output
    assert "at most 8 trials (search.lag)" in result.output and "needs a cluster" in result.output
    assert "5 trials do not reach each of the 7 arms" in result.output and "not counted" not in result.output
    result = invoke("points", QUICKSTART, "--set", "defenses=[[mmd], [selena], [stacking]]")
    assert "not counted: the teachers and sub-models of selena, stacking" in result.output


def test_points_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(invoke("points", QUICKSTART, "--json").stdout)
    assert (found["trials"], found["models"], found["targets"], found["models_to_train"]) == (24, 8, 4, 192)
    assert found["sample_epochs"] == 8 * 240 * 40 * 24 and found["records_a_model"] == 240
    assert [arm["defense"] for arm in found["arms"]][0] == "none" and found["seconds_a_trial"] is None
    assert found["arms"][2]["free"]["srcm.r1"] == {"low": 3.0, "high": 25.0, "log": False}
    (tmp_path / "results/quickstart").mkdir(parents=True)
    (tmp_path / "results/quickstart/timing.csv").write_text("trial,digest,total\n0,a,2.0\n1,b,4.0\n2,c,\n")
    assert json.loads(invoke("points", QUICKSTART, "--json").stdout)["seconds_a_trial"] == 3.0


def test_the_quickstart_is_what_the_readme_promises() -> None:
    found = json.loads(invoke("points", QUICKSTART, "--json").stdout)
    assert [arm["defense"] for arm in found["arms"]] == [
        "none",
        "relaxloss",
        "srcm",
        "crl",
        "mmd",
        "dpsgd",
        "srcm+relaxloss",
    ]
    assert found["dataset"] == {"name": "digits", "records": 600, "classes": 10} and found["trials"] >= 24
    assert found["left_out"] == {}


# ---- pareto ----------------------------------------------------------------------------------------------------------


def defenses(folder: Path, *options: str) -> list[str]:
    result = invoke("pareto", str(folder), *options, "--json")
    assert result.exit_code == 0, result.output
    return [point["defense"] for point in json.loads(result.stdout)]


def test_pareto_filters_the_front(folder: Path) -> None:
    assert defenses(folder) == ["none", "relaxloss", "srcm"]
    assert defenses(folder, "--max-auc", "0.6") == ["relaxloss", "srcm"]
    assert defenses(folder, "--min-accuracy", "0.85") == ["none", "relaxloss"]
    assert defenses(folder, "--where", "srcm.d=1") == ["srcm"]
    assert defenses(folder, "--where", "srcm.all_on=True") == defenses(folder, "--where", "srcm.all_on=true") == ["srcm"]
    assert defenses(folder, "--where", "defense=none", "--where", "seed=1") == []
    assert defenses(folder, "--metric", "auc.lira", "--max-auc", "0.5") == ["srcm"]
    assert defenses(folder, "--metric", "lira", "--max-auc", "0.52") == ["srcm", "srcm"]


def test_pareto_in_json_and_csv_agree(folder: Path) -> None:
    points = json.loads(invoke("pareto", str(folder), "--json").stdout)
    assert points[2]["srcm.d"] == 1 and points[2]["srcm.all_on"] is True and points[2]["epsilon"] == 3.25
    assert points[0]["srcm.d"] is None and points[0]["test_accuracy"] == 0.9
    written = list(csv.DictReader(io.StringIO(invoke("pareto", str(folder), "--csv").stdout)))
    original = list(csv.DictReader(io.StringIO(TRIALS)))[:3]
    assert written == original


@pytest.mark.parametrize("option", ["--max-auc", "--min-accuracy"])
@pytest.mark.parametrize("command", ["pareto", "gate"])
def test_nan_is_no_bound(command: str, option: str, folder: Path) -> None:
    result = invoke(command, str(folder), "--max-auc", "0.6", option, "nan")
    assert (result.exit_code, result.stderr) == (2, f"raymia: {option}: got nan; a number is allowed\n")


def test_a_metric_that_cannot_be_one_is_one_line(folder: Path) -> None:
    for name, words in (("", "no column ''"), ("test_accuracy", "weighed against"), ("worst_attack", "not hold numbers")):
        result = invoke("pareto", str(folder), "--metric", name)
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
    assert "max_attack_auc" in invoke("pareto", str(folder)).stdout


def test_pareto_csv_is_pareto_csv(tmp_path: Path) -> None:
    """Byte for byte: floats that are whole, knobs that are whole in one row and not in another, texts like numbers."""
    results = Folder(tmp_path)
    results.write(row(0, "none", 1.0, 0.7))
    results.write(row(1, "relaxloss", 0.8, 0.6, relaxloss_alpha=1.0, relaxloss_variant="1e5"))
    results.write(row(2, "srcm", 0.7, 0.5, srcm_d=1, srcm_all=True, srcm_word="-a, b", srcm_r=2))
    results.write(row(3, "srcm", 0.5, 0.1 + 0.2, srcm_d=2, srcm_all=False, srcm_word="true", srcm_r=0.5))
    results.derive()
    kept = (tmp_path / "pareto.csv").read_text()
    assert ",1.0," in kept and kept.count("\n") == 5
    assert invoke("pareto", str(tmp_path), "--csv").stdout == kept
    results.confirm(row(1, "relaxloss", 1.0, 0.5))
    results.derive()
    confirmed = (tmp_path / "pareto.csv").read_text()
    assert "confirmed_max_attack_auc" in confirmed and invoke("pareto", str(tmp_path), "--csv").stdout == confirmed
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
        (alone,) = json.loads(invoke("pareto", str(tmp_path), "--json", "--where", f"trial={point['trial']}").stdout)
        assert json.dumps(alone) == json.dumps(point)
    assert [type(point["srcm.d"]) for point in everything] == [type(None)] * 2 + [int] * 2
    assert repr(everything[2]["srcm.r"]) == "2.0" and repr(everything[0]["test_accuracy"]) == "1.0"
    assert everything[0]["members"] is None and everything[1]["relaxloss.alpha"] == 1


def test_pareto_prints_the_interval_of_an_attack(folder: Path) -> None:
    head, *lines = TRIALS.splitlines()
    rows = [f"{line},{cells}" for line, cells in zip(lines, ("0.68,0.71", "0.5,0.6", "0.4,0.6", "0.4,0.6", ","), strict=True)]
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["trials.csv"]


# ---- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_list_describes_everything_there_is(kind: str) -> None:
    things = json.loads(invoke("list", kind, "--json").stdout)
    assert [thing["name"] for thing in things] == list(catalog.names(kind))
    for thing in things:
        assert thing["summary"] and thing["source"] and {"name", "summary", "knobs", "source"} <= set(thing)
    result = invoke("list", kind)
    assert result.exit_code == 0 and all(name in result.stdout for name in catalog.names(kind))


def test_list_spells_ranges() -> None:
    assert "alpha = 0.5 [0, 2]" in " ".join(invoke("list", "defenses").stdout.split())
    everything = json.loads(invoke("list", "--json").stdout)
    assert {thing["kind"] for thing in everything} == set(catalog.KINDS)


def test_cite_prints_each_entry_once() -> None:
    result = invoke("cite", QUICKSTART)
    keys = [line.partition("{")[2].partition(",")[0] for line in result.stdout.splitlines() if line.startswith("@")]
    assert result.exit_code == 0 and len(keys) == len(set(keys)) and "chen2022relaxloss" in keys
    fewer = invoke("cite", QUICKSTART, "--set", "defenses=[[]]").stdout
    assert "chen2022relaxloss" not in fewer and "carlini2022lira" in fewer


@pytest.mark.parametrize("command", [("report",), ("confirm",), ("gate", "--max-auc", "0.6"), ("scores", "--trial", "0")])
def test_a_folder_that_holds_no_results_is_asked_about(command: tuple[str, ...], tmp_path: Path) -> None:
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
