"""The documented way in, on a real cluster: `ray job submit` and `ray job stop`, with a token,
and the bytes of a local run.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raymia.results.folder import Folder

from .clusters import RAY, RAYMIA, Cluster, cluster
from .conftest import Driver, until

pytestmark = pytest.mark.cluster
TRIALS = 12
LONGER = (
    *("--trials", str(TRIALS)),
    *("--set", "training.epochs=200"),
    *("--set", "training.lanes=1"),
)
pytest.importorskip("aiohttp", reason="jobs need ray[default]")


@pytest.fixture(scope="module")
def calm(driver: Driver) -> dict[str, str]:
    """The tables of a run on this machine alone."""
    code, said = driver.run("calm", *LONGER)
    assert code == 0, said
    return driver.tables("calm")


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[Cluster]:
    with cluster() as one:
        one.head(2)
        yield one


PATIENCE = '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}'
INTERRUPT = '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60", "RAY_JOB_STOP_SIGNAL": "SIGINT"}}'


def submit(
    one: Cluster,
    driver: Driver,
    name: str,
    out: Path,
    *arguments: str,
    env: str = PATIENCE,
    wait: bool = True,
) -> tuple[int, str]:
    work = one.folder / "work"
    work.mkdir(exist_ok=True)
    shutil.copy(driver.sweep, work / "tiny.yaml")
    how = [
        "--working-dir",
        str(work),
        "--submission-id",
        name,
        "--runtime-env-json",
        env,
        *([] if wait else ["--no-wait"]),
    ]
    return one.job(
        "submit",
        *how,
        "--",
        *RAYMIA,
        "run",
        "tiny.yaml",
        "--out",
        str(out),
        *LONGER,
        *arguments,
        cwd=work,
    )


def info(one: Cluster, name: str) -> tuple[str, int | None]:
    """(status, driver_exit_code), as the REST interface says them."""
    code = (
        "import sys; from ray.job_submission import JobSubmissionClient as C; i = "
        "C(sys.argv[1]).get_job_info(sys.argv[2]); print(i.status.value, i.driver_exit_code)"
    )
    done, said = one.run([RAY[0], "-c", code, one.door, name], one.folder)
    assert done == 0, said
    status, exit_code = said.split()[-2:]
    return status, None if exit_code == "None" else int(exit_code)


def test_a_submitted_job_gives_the_bytes_of_a_local_run(
    two_cpus: Cluster, driver: Driver, calm: dict[str, str]
) -> None:
    """Each trial over two bundles, which are all the CPUs there are, and its attackers beside
    them.
    """
    out = driver.folder / "job"
    code, said = submit(two_cpus, driver, "whole", out, "--set", "resources.spread=2")
    assert code == 0, said + two_cpus.said()
    assert driver.tables("job") == calm
    lines = [line for line in said.splitlines() if line.strip()]
    assert len([line for line in lines if re.match(r"trial \d+ done: ", line)]) == TRIALS
    assert f"front:  {out}/pareto.csv" in lines[-8:]
    assert info(two_cpus, "whole") == ("SUCCEEDED", 0)
    assert not (out / ".nonce").exists()


def stop_halfway(
    one: Cluster, driver: Driver, name: str, out: Path, env: str, by_ray: bool
) -> list[object]:
    """Stops the run after another row; the status and exit code that Ray says."""
    before = len(driver.rows(out.name))
    code, said = submit(one, driver, name, out, env=env, wait=False)
    assert code == 0, said
    with one.prepared("job", "stop", name, RAY_API_SERVER_ADDRESS=one.door) as stop:
        until(lambda: len(driver.rows(out.name)) > before, 120.0)
        if by_ray:
            assert stop() == 0
        else:
            (pid,) = one.drivers(out)
            os.kill(pid, signal.SIGTERM)
    until(lambda: info(one, name)[0] in ("STOPPED", "FAILED", "SUCCEEDED"))
    _, log = one.job("logs", name, cwd=one.folder)
    assert f"stopped; go on with: raymia run {out}" in log and "Traceback" not in log, log
    assert before < len(driver.rows(out.name)) < TRIALS
    return list(info(one, name))


@pytest.mark.nightly  # 87 s: the Ray tests of `make test` have 5 minutes
def test_stopping_a_job_and_submitting_it_again(
    two_cpus: Cluster, driver: Driver, calm: dict[str, str]
) -> None:
    """Ray 2.60 keeps no exit code of a job that `ray job stop` stopped; it does where anybody
    else sent the signal.
    """
    out = driver.folder / "halfway"
    assert stop_halfway(two_cpus, driver, "term", out, PATIENCE, by_ray=True) == ["STOPPED", None]
    assert stop_halfway(two_cpus, driver, "int", out, INTERRUPT, by_ray=True) == ["STOPPED", None]
    assert stop_halfway(two_cpus, driver, "killed", out, PATIENCE, by_ray=False) == ["FAILED", 143]
    rows = {p: p.stat().st_mtime_ns for p in driver.rows("halfway")}
    kept = {row.signals for row in Folder(out).rows()}
    models = {p: stamp for p, stamp in driver.models("halfway").items() if p.parent.name in kept}
    code, said = submit(two_cpus, driver, "rest", out)
    assert code == 0 and driver.tables("halfway") == calm, said
    assert {p: p.stat().st_mtime_ns for p in rows} == rows
    after = driver.models("halfway")
    assert models and {p: after[p] for p in models} == models  # nothing was trained twice


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "resources.cpu=64",
            "64 CPU and 0 GPU (resources.cpu, resources.gpu) and the machine has 2 CPU and 0 GPU",
        ),
        ("resources.gpu=1", "1 CPU and 1 GPU"),
        ("resources.spread=3", "3 times (resources.spread) 1 CPU and 0 GPU"),
    ],
)
def test_what_can_never_be_scheduled_is_refused(
    two_cpus: Cluster, driver: Driver, asked: str, said: str
) -> None:
    out = driver.folder / f"never-{asked}"
    command = [*RAYMIA, "run", str(driver.sweep), "--out", str(out), "--set", asked]
    begin = time.monotonic()
    code, told = two_cpus.run(command, driver.folder, RAY_ADDRESS=two_cpus.address)
    assert (code, said in told) == (2, True), told
    # 5 s on a machine of one's own
    assert "RAYMIA_MAX_NODES" in told and time.monotonic() - begin < 60
    assert driver.rows(out.name) == []


@pytest.mark.nightly
def test_many_small_trials_and_their_attackers_hang_nowhere(
    two_cpus: Cluster, driver: Driver
) -> None:
    """ray.md's first deadlock: more actors than their bundle holds. Four trials at once, each
    with attackers, on two CPUs.
    """
    out = driver.folder / "small"
    command = [
        *RAYMIA,
        "run",
        str(driver.sweep),
        "--out",
        str(out),
        "--trials",
        "5",
        "--set",
        "resources.cpu=0.5",
    ]
    code, told = two_cpus.run(command, driver.folder, RAY_ADDRESS=two_cpus.address)
    assert code == 0 and len(driver.rows("small")) == 5, told


def test_the_doctor_sees_a_cluster_from_inside_and_outside(
    two_cpus: Cluster, driver: Driver
) -> None:
    code, said = two_cpus.run(
        [*RAYMIA, "doctor"], driver.folder, RAY_API_SERVER_ADDRESS=two_cpus.door
    )
    assert code == 0 and "asks for a token" in said and "2 CPU, 0 GPU" in said, said
    out = str(driver.folder / "seen")
    code, said = two_cpus.run(
        [*RAYMIA, "doctor", "--out", out], driver.folder, RAY_ADDRESS=two_cpus.address
    )
    assert (
        code == 0 and "clock right" in said and "is writable" in said and "asks for a token" in said
    ), said
    wrong = two_cpus.folder / "wrong"
    wrong.write_text("0" * 64)
    wrong.chmod(0o644)
    asked = {"RAY_API_SERVER_ADDRESS": two_cpus.door, "RAY_AUTH_TOKEN_PATH": str(wrong)}
    code, said = two_cpus.run([*RAYMIA, "doctor"], driver.folder, **asked)
    assert code == 3 and "refuses our token" in said and "chmod 600" in said, said


def test_a_node_is_lost_and_another_does_not_see_the_folder(
    two_cpus: Cluster, driver: Driver, calm: dict[str, str]
) -> None:
    """Three nodes: the head runs no trials, one worker is taken away midway, the other one has
    another disk.
    """
    two_cpus.stop()  # one cluster at a time
    far = driver.folder / "far"
    far.mkdir()
    hide = f'mount -t tmpfs none {far} && exec "$@"'
    unshare = ("unshare", "-m", "sh", "-c", hide, "sh")
    blind = (
        os.geteuid() == 0
        and subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    )
    with cluster() as three:
        three.head(0)
        doomed = three.join(1)
        three.join(1, before=unshare if blind else ())
        command = [*RAYMIA, "run", str(driver.sweep), "--out", str(far / "out"), *LONGER]
        environment = three.environment | {"RAY_ADDRESS": three.address}
        log = open(three.folder / "run.log", "w+")
        process = subprocess.Popen(
            command, env=environment, cwd=driver.folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            until(lambda: len(driver.rows("far/out")) >= 3 or process.poll() is not None, 120.0)
            three.lose(doomed)
            assert process.wait(150.0) == 0, (three.folder / "run.log").read_text()
        finally:
            process.kill()
            process.wait()
            log.close()
        said = (three.folder / "run.log").read_text()
    assert 3 <= said.count(" done: ") and ("node was lost" in said or "runs again" in said), said
    assert not blind or "signals travel through Ray" in said, said
    assert driver.tables("far/out") == calm
    kept = {path.relative_to(driver.folder / "calm") for path in driver.models("calm")}
    assert {
        path.relative_to(far / "out") for path in driver.models("far/out")
    } == kept  # also those that came through Ray
