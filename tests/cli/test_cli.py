"""The command line: run, points, and how errors end it."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_rows import QUICKSTART, ROWS, invoke
from study_fakes import DATA

from raymia.errors import EnvironmentFault, Locked, SweepError
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep

# ---- run ---------------------------------------------------------------------------------------


def test_run_hands_the_sweep_on_and_prints_the_front(
    asked: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("run", QUICKSTART, "--trials", "30", "--set", "search.lag=2", "--retry-failed")
    assert result.exit_code == 0, result.output
    ((study, out, options),) = asked.calls
    assert (study.search.trials, study.search.lag, out) == (30, 2, Path("results/quickstart"))
    expected = {"retry_failed": True, "mix_versions": False, "fly": True, "log_to": None}
    assert options == expected
    printed = result.output.splitlines()
    front = [line.split()[:2] for line in printed if line.strip()[:1].isdecimal()]
    assert front == [["0", "none"], ["1", "relaxloss"]]  # best accuracy first
    assert (
        "front:  results/quickstart/pareto.csv" in printed
        and "report: results/quickstart/report.html" in printed
    )


def test_run_takes_another_folder_and_passes_the_exit_code_on(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    asked.code = 1
    given = ["run", QUICKSTART, "--out", str(tmp_path / "here")]
    result = invoke(*given, "--mix-versions", "--no-pilot")
    assert result.exit_code == 1 and "alpha=0.5" in result.output
    options = {"retry_failed": False, "mix_versions": True, "fly": False, "log_to": None}
    assert asked.calls[0][1:] == (tmp_path / "here", options)
    asked.code = 130
    result = invoke("run", QUICKSTART, "--out", str(tmp_path / "here"))
    assert result.exit_code == 130 and "report" not in result.output


def test_a_report_is_of_the_sweep_as_it_is_now(asked: SimpleNamespace, tmp_path: Path) -> None:
    """Attacks were changed: rows that are judged by the old ones stay in trials/ and leave the
    CSVs.
    """
    results = Folder(tmp_path)
    study = sweep.load(QUICKSTART)
    now = study.point(0, {}, 0, DATA)
    before = replace(now, attacks=now.attacks[:1])
    results.write_sweep(sweep.dump(study.resolved()))
    for point, trial in ((now, 0), (before, 1)):
        results.write(replace(ROWS[0], trial=trial, digest=point.digest(), point=point.to_json()))
    result = invoke("report", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'report.html'}\n"), result.output
    assert [
        line["trial"] for line in csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    ] == ["0"]
    assert len(results.rows()) == 2


def test_scores_are_printed_as_csv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from raymia.trial import record_scores as scores

    seen = []

    def found(row: Row, signals: Path, canaries: bool) -> Iterator[scores.Score]:
        seen.append((row.trial, signals, canaries))
        yield from (
            scores.Score(0, 7, True, "blank", "loss", 0.25, 70, 0.9),
            scores.Score(0, 8, False, "", "loss", -1.5, 81, 0.2),
        )

    monkeypatch.setattr(scores, "scores", found)
    Folder(tmp_path).write(ROWS[0])
    result = invoke("scores", str(tmp_path), "--trial", str(ROWS[0].trial), "--canaries")
    lines = [
        "target,record,member,canary,attack,score,row,calibrated",
        "0,7,true,blank,loss,0.25,70,0.9",
        "0,8,false,,loss,-1.5,81,0.2",
    ]
    assert (result.exit_code, result.stdout.splitlines()) == (0, lines), result.output
    assert seen == [(ROWS[0].trial, tmp_path / "signals", True)]

    def exposed(
        row: Row, signals: Path, attack: str | None, canaries: bool
    ) -> list[scores.Exposure]:
        seen.append((row.trial, attack, canaries))
        return [scores.Exposure(70, 7, "", "lira", 2, 1, 3.0, -1.0, 7.0, 20.5)]

    monkeypatch.setattr(scores, "exposures", exposed)
    number = str(ROWS[0].trial)
    asked = ("scores", str(tmp_path), "--trial", number, "--records", "--attack", "lira")
    result = invoke(*asked)
    assert seen[-1] == (ROWS[0].trial, "lira", False) and result.exit_code == 0
    assert result.stdout.splitlines() == [
        "row,record,canary,attack,targets,as_member,evidence,evidence_lo,evidence_hi,ratio",
        "70,7,,lira,2,1,3.0,-1.0,7.0,20.5",
    ]
    assert "100.0% of 1 records are told with a likelihood ratio of 10 or more" in result.stderr
    assert invoke("scores", str(tmp_path), "--trial", number, "--attack", "lira").exit_code == 2
    result = invoke("scores", str(tmp_path), "--trial", "99")
    assert result.exit_code == 2 and "--trial: got 99" in result.stderr


ERRORS = [(SweepError("a"), 2), (EnvironmentFault("b"), 3), (Locked("c"), 4)]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=[type(e).__name__ for e, _ in ERRORS])
def test_an_error_is_one_line_and_an_exit_code(
    asked: SimpleNamespace, error: Exception, code: int
) -> None:
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


@pytest.mark.parametrize(
    "arguments", BAD, ids=[" ".join(b).replace(QUICKSTART, "QUICKSTART") for b in BAD]
)
def test_bad_arguments_exit_2_and_start_nothing(
    arguments: tuple[str, ...],
    asked: SimpleNamespace,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    result = invoke(*(a.replace("{folder}", str(folder)) for a in arguments))
    assert result.exit_code == 2 and result.stderr and not result.stdout, result.output
    assert (
        "Traceback" not in result.stderr and not asked.calls and sorted(folder.rglob("*")) == before
    )


# ---- points ------------------------------------------------------------------------------------


def test_points_says_what_a_sweep_will_do() -> None:
    sets = [
        "--set",
        "protocol={halves: {}}",
        "--set",
        "dataset.digits.records=200",
        "--set",
        "resources.gpu=9",
    ]
    result = invoke("points", QUICKSTART, "--trials", "5", *sets)
    assert result.exit_code == 0, result.output
    for said in (
        "srcm.r1: [3, 25]",
        "relaxloss.alpha: [0, 2]",
        "200 records, 64 features (1x8x8 pixels), 10 classes",
        "5 trials x 6 models = 30 models",
    ):
        assert said in result.output, said
    # 200 - 40 in reserve; each half of 80 gives 40 members; 6 models, 40 epochs, 5 trials
    assert f"{40 * 6 * 40 * 5:.3g} sample-epochs" in result.output
    assert "at most 8 trials (search.lag)" in result.output and "needs a cluster" in result.output
    assert (
        "5 trials do not reach each of the 7 arms" in result.output
        and "not counted" not in result.output
    )
    result = invoke("points", QUICKSTART, "--set", "defenses=[[mmd], [selena], [stacking]]")
    assert "not counted: the teachers and sub-models of selena, stacking" in result.output


def test_points_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(invoke("points", QUICKSTART, "--json").stdout)
    assert (found["trials"], found["models"], found["targets"], found["models_to_train"]) == (
        24,
        8,
        4,
        192,
    )
    assert found["sample_epochs"] == 8 * 240 * 40 * 24 and found["records_a_model"] == 240
    assert [arm["defense"] for arm in found["arms"]][0] == "none" and found[
        "seconds_a_trial"
    ] is None
    assert found["arms"][2]["free"]["srcm.r1"] == {"low": 3.0, "high": 25.0, "log": False}
    (tmp_path / "results/quickstart").mkdir(parents=True)
    (tmp_path / "results/quickstart/timing.csv").write_text(
        "trial,digest,total\n0,a,2.0\n1,b,4.0\n2,c,\n"
    )
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
    assert (
        found["dataset"] == {"name": "digits", "records": 600, "classes": 10}
        and found["trials"] >= 24
    )
    assert found["left_out"] == {}


def test_sigterm_ends_any_command_with_its_code_after_what_it_was_doing_is_put_away(
    tmp_path: Path,
) -> None:
    (tmp_path / "slow.py").write_text(
        "import signal\nimport click\n\n@click.command()\ndef wait():\n    'Waits.'\n    try:\n"
        "        print('ready', flush=True)\n        signal.pause()\n    finally:\n"
        "        print('put away', flush=True)\n"
    )
    start = "from raymia import cli; cli.COMMANDS['wait'] = 'slow:wait'; cli.main(['wait'])"
    with subprocess.Popen(
        [sys.executable, "-c", start],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as waiting:
        assert waiting.stdout is not None and waiting.stdout.readline() == "ready\n"
        waiting.send_signal(signal.SIGTERM)
        out, error = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, error) == (143, "put away\n", "raymia: terminated\n")
