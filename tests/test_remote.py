"""A results folder in object storage does what one on a disk does: whole files, written once, one
driver at a time. Here in memory, and at the S3 server of moto; tests/test_races.py has the races.
"""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer
from obstore.store import MemoryStore
from test_results import row as make_row

from raymia.cli import main
from raymia.errors import EnvironmentFault, Locked
from raymia.report import query as pareto
from raymia.results import objects
from raymia.results.claim import LOCK, Claim
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.objects import ABSENT, Changed, Objects
from raymia.results.remote import Remote, storage
from raymia.results.store import Store

PLACE = Location("s3://bucket/sweeps/mine")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """What PLACE is then; other places are others."""
    stores = {PLACE: MemoryStore()}
    monkeypatch.setattr(
        objects, "opened", lambda place, *_: stores.setdefault(place, MemoryStore())
    )
    return stores[PLACE]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-aws")
        one = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        one.start()
        host, port = one.get_host_and_port()
        where = f"endpoint=http://{host}:{port}&region=us-east-1"
        import boto3

        boto3.client(
            "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1"
        ).create_bucket(Bucket="bucket")
        yield where
        one.stop()


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> Location:
    if request.param == "memory":
        request.getfixturevalue("memory")
        return PLACE
    name = request.node.name.partition("[")[0]
    return Location(f"s3://bucket/{name}?{request.getfixturevalue('server')}")


def test_an_object_is_put_under_a_condition(place: Location) -> None:
    """Create once, compare and swap by the version, and no other way round."""
    one = Objects(place)
    assert one.get("a") is None
    first = one.put("a", b"1", ABSENT)
    with pytest.raises(Changed):
        one.put("a", b"2", ABSENT)
    second = one.put("a", b"2", first)
    with pytest.raises(Changed):
        one.put("a", b"3", first)
    with pytest.raises(Changed):
        one.put("b", b"3", second)
    found = one.get("a")
    assert found and (found.content, found.version) == (b"2", second)
    one.put("f/x", b"123")
    one.put("f/y/z", b"4")
    assert one.sizes("f") == {"x": 3} and one.sizes("g") == {}
    one.delete("a")
    one.delete("f")
    one.delete("f")
    assert one.get("a") is None and one.get("f/y/z") is None


def test_files_are_created_once_and_replaced_whole(place: Location) -> None:
    one = Remote(place)
    assert one.read("trials/a.json") is None and one.names("trials") == []
    with one.lock():
        assert one.create("trials/a.json", b"1") and not one.create("trials/a.json", b"1")
        one.replace("trials.csv", b"x" * 100_000)
        one.replace("trials.csv", b"short")
    assert (one.read("trials/a.json"), one.read("trials.csv")) == (b"1", b"short")
    assert one.names("trials") == ["a.json"]
    one.delete("trials")
    one.delete("trials")
    assert one.names("trials") == []
    with pytest.raises(RuntimeError, match="not held"):
        one.create("trials/a.json", b"1")


def test_the_second_driver_is_told_who_holds_it(place: Location) -> None:
    other = Remote(place, seconds=2.0)
    with Remote(place, seconds=2.0).lock():  # renewed every half a second
        with pytest.raises(Locked, match=r"is held by process \d+ on .*wait for it"), other.lock():
            pass
    with other.lock():
        assert json.loads(other.read(LOCK) or b"")["generation"] == 2


def test_who_lost_the_folder_writes_nothing(place: Location) -> None:
    one, other = Remote(place, seconds=600.0), Remote(place)
    with one.lock():
        one.replace("trials.csv", b"1")
        lock = json.loads(one.read(LOCK) or b"")
        assert lock["names"] == {"trials.csv": False} and lock["until"] > 0
        Objects(place).put(LOCK, json.dumps(lock | {"until": 0.0}).encode())  # long ago
        with other.lock():
            for write in (
                lambda: one.create("trials/a.json", b"1"),
                lambda: one.replace("trials.csv", b"2"),
                lambda: one.replace("report.html", b"2"),
                lambda: one.delete("trials.csv"),
            ):
                with pytest.raises(Locked, match="was taken by process .* is kept"):
                    write()
            # readers do not notice that the table was changed; who derives it again does
            assert Remote(place).read("trials.csv") == b"1" and other.read("trials.csv") != b"1"
            assert one.read("trials/a.json") is None
            assert not Remote(place, lock["nonce"]).held() and Remote(place, other.token).held()
    assert one.read("report.html") is None


def test_a_row_of_a_killed_driver_that_is_still_on_its_way_never_lands(place: Location) -> None:
    """Nor does one of the next, which saw that the name was closed, and was killed too."""
    bucket, row, versions = Objects(place), "trials/a.json", []
    for _ in range(2):
        found = bucket.get(row)
        versions.append(found.version if found else ABSENT)
        killed = Claim(bucket)
        killed.take()
        found = bucket.get(row)
        versions.append(found.version if found else ABSENT)
        with pytest.raises(ZeroDivisionError), killed.writing(row, True, False):
            raise ZeroDivisionError  # it was sent, and then
        lock = json.loads((lock := bucket.get(LOCK)) and lock.content or b"")
        bucket.put(LOCK, json.dumps(lock | {"until": 0.0}).encode())
    one = Remote(place)

    def lands() -> None:
        for version in versions:
            with pytest.raises(Changed):
                bucket.put(row, b"of a killed one", version)

    with one.lock():
        assert one.names("trials") == [] and one.read(row) is None
        lands()
        assert one.create(row, b"ours") and not one.create(row, b"again")
        lands()
    assert one.names("trials") == ["a.json"] and one.read(row) == b"ours"


def test_a_damaged_lock_is_waited_for_and_taken(memory: MemoryStore) -> None:
    for i, damaged in enumerate([b"{", b"[1]", b'{"names": 3}', b"\xff", b'{"until": "x"}']):
        obstore.put(memory, LOCK, damaged)
        with Remote(PLACE, seconds=0.1 * (i < 5)).lock():
            pass
        assert json.loads(Remote(PLACE).read(LOCK) or b"")["nonce"] == ""


def test_a_server_that_ignores_conditions_is_refused(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Objects.put
    monkeypatch.setattr(
        Objects, "put", lambda self, name, data, version=None: put(self, name, data)
    )
    with pytest.raises(EnvironmentFault, match="does not keep the conditions"):
        with Remote(PLACE).lock():
            pass


def test_workers_write_as_long_as_their_driver_holds_the_folder(place: Location) -> None:
    driver = Remote(place)
    with driver.lock():
        worker = storage(place, driver.token)
        Store(worker, "signals/k").put("model-0.npz", b"zero", "key")
        assert Store(driver, "signals/k").get("model-0.npz", "key") == b"zero"
    for write in (
        lambda: worker.replace("signals/k/model-1.npz", b"one"),
        lambda: worker.change("signals/k/index.json", lambda _: b"{}"),
    ):
        with pytest.raises(EnvironmentFault, match="another raymia took"):
            write()


def test_two_that_change_an_index_both_succeed(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, get = Remote(place), Remote(place), Objects.get
    meanwhile = [lambda: other.change("index.json", lambda old: (old or b"") + b"other ")]

    def slowly(self: Objects, name: str) -> Any:
        found = get(self, name)
        if meanwhile:
            meanwhile.pop()()
        return found

    monkeypatch.setattr(Objects, "get", slowly)
    one.change("index.json", lambda old: (old or b"") + b"one ")
    assert one.read("index.json") == b"other one "


def test_a_folder_of_results_reads_the_same_on_both(place: Location, tmp_path: Path) -> None:
    rows = [make_row(i) for i in range(3)]
    tables = {}
    for folder in (Folder(tmp_path / "disk"), Folder(place)):
        with folder.lock():
            for row in rows:
                folder.write(row)
            folder.derive()
            folder.write_sweep("name: x\n")
            with pytest.raises(EnvironmentFault, match="final"):
                folder.write(rows[0])
        assert folder.rows() == rows
        tables[str(folder.path)] = {
            n: folder.storage.read(n)
            for n in ("trials.csv", "attacks.csv", "pareto.csv", "timing.csv")
        }
    one, other = tables.values()
    assert one == other
    assert pareto.written(place) == pareto.written(tmp_path / "disk")


def test_pareto_and_report_read_a_uri(place: Location, tmp_path: Path) -> None:
    for folder in (Folder(place), Folder(tmp_path / "disk")):
        with folder.lock():
            folder.write(make_row(0))
            folder.derive()
    run = CliRunner()
    assert (
        run.invoke(main, ["pareto", str(place), "--json"]).output
        == run.invoke(main, ["pareto", str(tmp_path / "disk"), "--json"]).output
    )
    done = run.invoke(main, ["report", str(place)])
    assert done.exit_code == 0 and done.output.strip() == str(place / "report.html"), done.output
    page = Folder(place).storage.read("report.html")
    assert page and page.startswith(b"<!DOCTYPE html>")
    nothing = str(place.parent / "nothing")
    assert run.invoke(main, ["pareto", nothing]).exit_code == 2
    assert run.invoke(main, ["report", nothing]).exit_code == 2


# ---- what cannot be reached ----------------------------------------------------------------------


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield f"endpoint=http://127.0.0.1:{one.getsockname()[1]}"


KEYS = {"AWS_ACCESS_KEY_ID": "an-id-of-aws", "AWS_SECRET_ACCESS_KEY": "a-secret-of-aws"}
CLOSED = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("uri", "environment", "why"),
    [
        (f"s3://b/x?endpoint={CLOSED}", KEYS, "nobody answers there"),
        ("s3://b/x?endpoint=http://no.such.host.invalid", KEYS, "b/x"),
        ("s3://b/x", {"AWS_METADATA_ENDPOINT": CLOSED}, "b/x"),
        ("s3://nothing/x?{server}", KEYS, "there is no such bucket"),
        ("s3://bucket/x?{mute}", KEYS, "nobody answers there"),
        ("az://b/x", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://b/x", {"GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent/key"}, "No such file"),
        ("gs://b/x", {"GCE_METADATA_ROOT": "127.0.0.1:9"}, "b/x"),
    ],
)
def test_what_cannot_be_reached_is_one_line(
    uri: str,
    environment: dict[str, str],
    why: str,
    server: str,
    mute: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [n for n in os.environ if n.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    for name, value in ({"HOME": "/nonexistent"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "_FIRST", 0.5)
    done = CliRunner().invoke(main, ["report", uri.format(server=server, mute=mute)])
    assert done.exit_code == 3 and done.output.count("\n") == 1, done.output
    assert why in done.output and "a-secret-of-aws" not in done.output


def test_a_line_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_KEY", "a-secret-of-azure")
    told = objects._reason(
        ValueError("GET https://x.net/b?sv=1&sig=sign failed (a-secret-of-azure)\nDebug: more")
    )
    assert told == "GET https://x.net/b failed (...)"
