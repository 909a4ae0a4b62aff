"""The live page: newest rows, on 127.0.0.1, GET / alone, our names alone; it writes nothing."""

import http.client
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cli_rows import ROWS, invoke
from study_fakes import DATA

from raymia.report import watch
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "sweeps" / "quickstart.yaml").read_text()


def row(trial: int) -> Row:
    point = sweep.parse(TEXT).point(0, {}, trial, DATA)
    return replace(ROWS[0], trial=trial, digest=point.digest(), point=point.to_json())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[watch.Server]:
    folder = Folder(tmp_path / "out")
    folder.write_sweep(sweep.dump(sweep.parse(TEXT).resolved()))
    with watch.Server(Folder(folder.path), 0) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def ask(
    server: watch.Server, path: str = "/", method: str = "GET", **heads: str
) -> tuple[int, Mapping[str, str], str]:
    link = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
    link.request(method, path, headers={k.replace("_", "-"): v for k, v in heads.items()})
    answer = link.getresponse()
    body = answer.read().decode()
    link.close()
    return answer.status, answer.headers, body


def files(path: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in path.rglob("*")}


def test_the_page_follows_the_rows_and_nothing_is_written(
    server: watch.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PAUSE", 0.0)
    status, heads, body = ask(server)
    assert status == 200 and "no trial is finished yet" in body
    tag = heads["ETag"]
    assert f"'{tag}'" in body, "the page asks whether there is another than itself"
    assert ask(server, If_None_Match=tag)[::2] == (304, "")
    Folder(tmp_path / "out").write(row(0))
    before = files(tmp_path)
    server.live._took = 0.0
    status, heads, body = ask(server, If_None_Match=tag)
    assert status == 200 and heads["ETag"] != tag and "0.900" in body.split("<script")[0]
    assert heads["Content-Type"] == "text/html; charset=utf-8" and len(body) > 10_000
    # the page itself may ask nobody; the live one may ask where it came from
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', body)
    assert len(policy) == 1 and policy[0].startswith("default-src 'none'; connect-src 'self';")
    assert files(tmp_path) == before


def test_it_is_not_made_again_before_its_time(server: watch.Server, tmp_path: Path) -> None:
    tag = ask(server)[1]["ETag"]
    Folder(tmp_path / "out").write(row(0))
    assert ask(server, If_None_Match=tag)[0] == 304
    server.live._looked -= watch._PAUSE + 5 * server.live._took
    assert ask(server, If_None_Match=tag)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{}", ""])
def test_another_name_that_points_here_gets_nothing(server: watch.Server, host: str) -> None:
    port = server.server_address[1]
    status, _, body = ask(server, Host=host.format(port))
    assert status == 421 and len(body) < 200
    assert ask(server, Host=f"localhost:{port}")[0] == 200


def test_there_is_one_page_and_one_way_to_ask(server: watch.Server) -> None:
    assert [ask(server, path)[0] for path in ("/sweep.yaml", "/../x", "/?x", "/x/")] == [404] * 4
    assert {ask(server, method=name)[0] for name in ("POST", "PUT", "DELETE", "HEAD")} == {501}
    assert server.server_address[0] == "127.0.0.1"


def test_a_folder_that_cannot_be_read_is_said_and_asked_again(
    server: watch.Server, tmp_path: Path
) -> None:
    path = tmp_path / "out" / "sweep.yaml"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"quickstart", b"quickstarx"))
    status, _, body = ask(server)
    assert status == 503 and "sweep.yaml" in body and "setInterval" in body
    path.write_bytes(good)
    assert ask(server)[0] == 200


def test_a_port_that_is_taken_is_one_line(server: watch.Server, tmp_path: Path) -> None:
    port = str(server.server_address[1])
    result = invoke("watch", str(tmp_path / "out"), "--port", port)
    assert result.exit_code == 3 and result.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in result.stderr
    refused = invoke("watch", str(tmp_path / "none"))
    assert refused.exit_code == 2 and "is it a results folder?" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    Folder(tmp_path).write_sweep(sweep.dump(sweep.parse(TEXT).resolved()))
    code = "from raymia.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "watch", str(tmp_path), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell without a terminal has its background jobs ignore it, and so what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert re.match(r"http://127\.0\.0\.1:\d+/ shows ", process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "raymia: interrupted")
