"""The page of a results folder, live on this machine alone while a run goes on."""

import html
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from raymia.errors import EnvironmentFault, RaymiaError, SweepError, line
from raymia.report import compare, page
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.study import arguments
from raymia.study.asked import current, sweep_of

HOST, PORT = "127.0.0.1", 8765
_PAUSE = (
    2.0  # seconds between two looks into the folder; 5 times what a page takes where that is more
)
_SILENCE = 10.0  # seconds that a browser may take for its question
_CLOSED = "default-src 'none';"  # what the page says of where it may ask: nowhere
_POLL = """<script>
(() => {
  const boxes = [...document.querySelectorAll("input[id], select[id]")], held = "raymia";
  const before = JSON.parse(sessionStorage.getItem(held) || "{}");
  for (const box of boxes) if (box.id in before) {
    box.value = before[box.id];
    box.dispatchEvent(new Event("input", {bubbles: true}));
  }
  setInterval(async () => {
    const how = {headers: {"If-None-Match": '"TAG"'}, cache: "no-store"};
    const answer = await fetch("/", how).catch(() => null);
    if (!answer || answer.status !== 200) return;
    const now = Object.fromEntries(boxes.map(box => [box.id, box.value]));
    sessionStorage.setItem(held, JSON.stringify(now));
    location.reload();
  }, 3000);
})();
</script>
</body>"""


class Live:
    """The newest page of a folder, made again where its rows or its sweep changed."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._key: Any = None
        self._looked = self._took = 0.0
        self._made = ("", b"")

    def newest(self) -> tuple[str, bytes]:
        """(tag, page). Raises RaymiaError where the folder cannot be read."""
        with self._lock:
            now = time.monotonic()
            if not self._key or now - self._looked > max(_PAUSE, 5 * self._took):
                self._look()
                self._looked = time.monotonic()
                self._took = self._looked - now
            return self._made

    def _look(self) -> None:
        names = self._folder.storage.names
        key = (names("trials"), names("confirm"), self._folder.read_sweep())
        if key != self._key:
            digests = current(self._folder)
            if self._folder.shown(digests):
                said = page.text(self._folder, digests, compare.of(self._folder))
            else:
                said = _plain("no trial is finished yet")
            self._made, self._key = _polling(said), key


def _plain(said: str) -> str:
    return f"<!doctype html><title>raymia</title><body><p>{html.escape(line(said))}</p></body>"


def _polling(said: str) -> tuple[str, bytes]:
    """The page that asks for a newer one, from where it came and nowhere else; and its tag."""
    tag = sha256(said.encode()).hexdigest()[:16]
    said = said.replace(_CLOSED, f"{_CLOSED} connect-src 'self';", 1)
    before, _, after = said.rpartition("</body>")
    return tag, (before + _POLL.replace("TAG", tag) + after).encode()


class _Answer(BaseHTTPRequestHandler):
    """Answers GET / of a browser that came by our name: another site that has its own name point
    here is turned away.
    """

    server: "Server"
    timeout = _SILENCE
    server_version, sys_version = "raymia", ""

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.headers.get_all("Host", []) not in (
            [f"{name}:{port}"] for name in (HOST, "localhost")
        ):
            self._send(421, _plain(f"ask for {self.server.url}").encode())
        elif self.path != "/":
            self._send(404, _plain("there is / alone").encode())
        else:
            self._page()

    def _page(self) -> None:
        try:
            tag, body = self.server.live.newest()
        except (RaymiaError, OSError) as error:
            # the next question may find it whole
            self._send(503, _polling(_plain(str(error)))[1])
            return
        if self.headers.get("If-None-Match") == f'"{tag}"':
            self._send(304, b"", tag)
        else:
            self._send(200, body, tag)

    def _send(self, code: int, body: bytes, tag: str = "") -> None:
        self.send_response(code)
        heads = {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "no-cache",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        heads |= {"ETag": f'"{tag}"'} if tag else {}
        heads |= {"Content-Length": str(len(body))} if code != 304 else {}
        for name, value in heads.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: Any) -> None: ...


class Server(ThreadingHTTPServer):
    """On 127.0.0.1 alone. Raises EnvironmentFault where the port cannot be had."""

    daemon_threads = True

    def __init__(self, folder: Folder, port: int) -> None:
        self.live = Live(folder)
        try:
            super().__init__((HOST, port), _Answer)
        except OSError as error:
            raise EnvironmentFault(
                f"--port: {HOST}:{port} cannot be had ({error.strerror or error}); choose another, "
                "or 0 for any"
            ) from None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None: ...


def serve(folder: Folder, port: int) -> None:
    """Until it is interrupted."""
    with Server(folder, port) as server:
        click.echo(f"{server.url} shows {folder.path}; Ctrl-C ends it")
        server.serve_forever()


@click.command()
@arguments.folder
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="N",
    help="On 127.0.0.1; 0 takes a free one.",
)
def watch(folder: Path | Location, port: int) -> None:
    """Serve the page on 127.0.0.1 while a run goes on; it follows the rows. Never writes."""
    results = Folder(folder)
    if sweep_of(results) is None and not results.rows():
        raise SweepError(f"{folder} has no sweep.yaml and no trials: is it a results folder?")
    serve(results, port)
