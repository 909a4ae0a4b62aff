"""Who may talk to a cluster: the token of this user, and whether the job server asks for one."""

import json
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from raymia.cluster.finding import Finding

_PATIENCE = 5.0  # seconds for an HTTP answer


def authentication() -> Iterator[Finding]:
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode == "token":
        yield Finding("authentication", "token (RAY_AUTH_MODE)")
    elif mode:
        yield Finding(
            "authentication",
            f"{mode} (RAY_AUTH_MODE)",
            "note",
            "set it to token on head, workers and here",
        )
    else:
        yield Finding(
            "authentication",
            "RAY_AUTH_MODE is not set",
            "note",
            "`ray start` is open without it: set it to token",
        )
    if os.environ.get("RAY_AUTH_TOKEN"):
        yield Finding(
            "token",
            "RAY_AUTH_TOKEN",
            "note",
            "a file is safer: other users may read the environment of a process",
        )
        return
    path = token_file()
    if not path.exists():
        missing = "bad" if mode == "token" else "ok"
        yield Finding(
            "token",
            f"none in {path}",
            missing,
            "ray get-auth-token --generate" if missing == "bad" else "",
        )
        return
    open_to = stat.S_IMODE(path.stat().st_mode)
    if open_to & 0o077:
        yield Finding(
            "token", f"{path}, mode {open_to:04o}", "note", f"others can read it: chmod 600 {path}"
        )
    else:
        yield Finding("token", str(path))


def token_file() -> Path:
    """Where Ray looks for its token."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def job_server() -> str:
    """The address of the dashboard, which takes jobs; empty where none is named."""
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        if os.environ.get(name, "").startswith(("http://", "https://")):
            return os.environ[name].rstrip("/")
    return ""


def asks_for_a_token(address: str, insecure: bool) -> list[Finding]:
    """Whether the dashboard answers without a token: whoever gets an answer there can run any
    code as its user.
    """
    status, body = ask(address, "/api/version")
    if status is None:
        return [
            Finding(
                "job server", f"{address}: {body}", "bad", "is the tunnel of `ray dashboard` open?"
            )
        ]
    if status in (401, 403):
        status, body = ask(address, "/api/version", own_token())
        if status != 200:
            return [
                Finding(
                    "job server",
                    f"{address} refuses our token ({status})",
                    "bad",
                    "take the token of the cluster",
                )
            ]
        return [Finding("job server", f"{address} asks for a token"), *_same_ray(body)]
    if status == 200:
        advice = (
            "anybody who reaches it can run code there: start head and workers with "
            "RAY_AUTH_MODE=token"
        )
        bad = Finding(
            "job server",
            f"{address} answers without a token",
            "note" if insecure else "bad",
            advice,
        )
        return [bad, *_same_ray(body)]
    return [Finding("job server", f"{address} answers {status}", "bad", "is it a Ray dashboard?")]


def _same_ray(body: str) -> Iterator[Finding]:
    try:
        there = str(json.loads(body)["ray_version"])
    except (ValueError, KeyError, TypeError):
        return
    here = metadata.version("ray")
    same = there == here
    yield Finding(
        "its ray",
        there,
        "ok" if same else "bad",
        "" if same else f"here it is {here}: install the same",
    )


def ask(address: str, path: str, token: str = "") -> tuple[int | None, str]:
    """(status, body) of a GET; (None, why) where nobody answers. No proxy is asked, no
    redirection followed.
    """

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    request = urllib.request.Request(
        address + path, headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            return int(answer.status), answer.read(2**22).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError) as error:
        return None, f"nobody answers ({getattr(error, 'reason', error)})"


def own_token() -> str:
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"]
    try:
        return token_file().read_text().strip()
    except OSError:
        return ""
