"""What the doctor says of doors, tokens and storage, without a cluster."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from raymia.cli import main
from raymia.cluster import authentication, doctor

TOKEN = "f" * 64


class Door(http.server.BaseHTTPRequestHandler):
    """A dashboard: open, or one that asks for the token."""

    guarded = False
    version = "2.60.0"

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        status = 200 if not self.guarded or given == f"Bearer {TOKEN}" else 403 if given else 401
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps({"ray_version": self.version}).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setattr(Door, "guarded", False)
    server = http.server.HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["doctor", *arguments])
    return done.exit_code, done.output


def test_an_open_cluster_is_refused_unless_told_otherwise(door: str) -> None:
    code, said = run()
    assert code == 3 and "answers without a token" in said and "run code there" in said
    code, said = run("--insecure")
    assert code == 0 and "answers without a token" in said


def test_a_cluster_that_asks_for_the_token(
    door: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Door, "guarded", True)
    code, said = run()
    assert code == 0 and "asks for a token" in said
    (tmp_path / "token").write_text("another")
    code, said = run()
    assert code == 3 and "refuses our token (403)" in said
    assert TOKEN not in said and "another" not in said.replace("another raymia", "")


def test_another_ray_over_there(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "guarded", True)
    monkeypatch.setattr(Door, "version", "2.59.0")
    code, said = run()
    assert code == 3 and "2.59.0" in said and "install the same" in said


def test_nobody_answers(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    code, said = run()
    assert code == 3 and "nobody answers" in said


@pytest.mark.parametrize(
    ("mode", "file", "state", "said"),
    [
        ("token", 0o600, "ok", "token"),
        ("token", 0o644, "note", "chmod 600"),
        ("token", None, "bad", "get-auth-token --generate"),
        ("", None, "ok", "none in"),
        ("disabled", 0o600, "note", "set it to token"),
    ],
)
def test_the_mode_and_the_token_file(
    mode: str,
    file: int | None,
    state: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    if file is not None:
        (tmp_path / "token").touch()
        (tmp_path / "token").chmod(file)
    found = list(authentication.authentication())
    worst = max((one.state for one in found), key=["ok", "note", "bad"].index)
    assert said in " ".join(" ".join(one.line()) for one in found)
    assert worst == state or (mode == "" and worst == "note")


def test_storage_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (found,) = doctor._storage(tmp_path / "out")
    assert found.state == "ok" and "is writable" in found.found and not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (found,) = doctor._storage(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").touch()
    (found,) = doctor._storage(tmp_path / "file" / "out")
    assert found.state == "bad"
