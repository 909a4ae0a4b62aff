"""A results folder behind a URI does what one on a disk does: whole files, written once, one
driver at a time.
"""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_results import row as make_row

from raymia.cli import main
from raymia.errors import EnvironmentFault, Locked, SweepError
from raymia.report import query as pareto
from raymia.results.folder import Folder
from raymia.results.lease import SECONDS as LEASE
from raymia.results.local import Local
from raymia.results.remote import Location, Remote, locate, storage


@pytest.fixture
def place(tmp_path: Path) -> Location:
    (tmp_path / "bucket").mkdir()
    found = locate(f"file://{tmp_path}/bucket/mine")
    assert isinstance(found, Location)
    return found


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("s3://b/x", "s3://b/x"),
        (Path("s3://b/x"), "s3://b/x"),  # a Path takes a slash away
        ("gs://b", "gs://b"),
        ("s3://b/x?region=eu-central-1", "s3://b/x?region=eu-central-1"),
        ("file:///tmp/x", "file:///tmp/x"),
        (Path("file:///tmp/x"), "file:///tmp/x"),
    ],
)
def test_uris_are_told_from_paths(given: str | Path, uri: str) -> None:
    found = locate(given)
    assert isinstance(found, Location) and str(found) == uri and isinstance(storage(given), Remote)


@pytest.mark.parametrize("given", ["results/x", "/tmp/x", "s3", "C:x", "./s3:x"])
def test_paths_stay_paths(given: str) -> None:
    assert locate(given) == Path(given) and isinstance(storage(given), Local)


def test_the_parts_of_a_location() -> None:
    place = Location("s3://b/sweeps/mine?region=eu")
    assert str(place / "trials/a.json") == "s3://b/sweeps/mine/trials/a.json?region=eu"
    assert place.name == "mine" and str(place.parent) == "s3://b/sweeps?region=eu"
    with pytest.raises(SweepError, match="bucket"):
        locate("s3:///")


def test_files_are_created_once_and_replaced_whole(place: Location, tmp_path: Path) -> None:
    one = Remote(place)
    assert one.read("trials/a.json") is None and one.names("trials") == []
    with one.lock():
        assert one.create("trials/a.json", b"1") and not one.create("trials/a.json", b"2")
        one.replace("trials.csv", b"x" * 100_000)
        one.replace("trials.csv", b"short")
    assert (one.read("trials/a.json"), one.read("trials.csv")) == (b"1", b"short")
    assert one.names("trials") == ["a.json"]
    one.delete("trials")
    one.delete("trials")
    assert one.names("trials") == []
    # neither a lock nor temporary files
    assert {p.name for p in (tmp_path / "bucket" / "mine").iterdir()} == {"trials.csv"}


def test_what_was_put_is_read_back(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Remote(place)
    monkeypatch.setattr(Remote, "_put", lambda self, name, data: None)
    with pytest.raises(EnvironmentFault, match="does not hold what was just written"):
        one.create("trials/a.json", b"1")


def test_a_fault_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = Remote(Location(f"file://{tmp_path}/file/mine"))
    with pytest.raises(EnvironmentFault, match="file/mine/trials.csv"):
        one.replace("trials.csv", b"")


QUICK = 2.0


def test_the_second_driver_is_told_who_holds_it(place: Location) -> None:
    with Remote(place, QUICK).lock():
        begin = time.monotonic()
        with pytest.raises(Locked, match=r"process \d+ on "), Remote(place, QUICK).lock():
            pass
        assert time.monotonic() - begin < QUICK  # seen as soon as the holder renews
    with Remote(place, QUICK).lock():
        pass


def test_the_lease_of_a_killed_driver_is_waited_for_and_taken(place: Location) -> None:
    dead = {
        "pid": 1,
        "host": "gone",
        "since": "2026-01-01",
        "nonce": "x",
        "count": 7,
        "until": time.time() + 1000,
    }
    Remote(place)._put(".lock", json.dumps(dead).encode())  # a wrong clock makes no difference
    begin = time.monotonic()
    with Remote(place, QUICK).lock():
        assert QUICK <= time.monotonic() - begin < 3 * QUICK
    dead["until"] = time.time() - 3600
    Remote(place)._put(".lock", json.dumps(dead).encode())
    begin = time.monotonic()
    with Remote(place).lock():
        assert time.monotonic() - begin < LEASE / 10


def test_of_many_drivers_one_gets_a_dead_lease(place: Location) -> None:
    held, refused = [], []

    def drive() -> None:
        try:
            with Remote(place, 6.0).lock():
                held.append(1)
                time.sleep(4.0)
        except Locked:
            refused.append(1)

    threads = [threading.Thread(target=drive) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 4)


def test_who_lost_the_lease_writes_nothing(place: Location) -> None:
    one = Remote(place, QUICK)
    with one.lock():
        assert one._lease is not None
        one._put(".lock", b'{"nonce": "another"}')
        time.sleep(QUICK * 0.75)
        with pytest.raises(EnvironmentFault, match="another raymia took it"):
            one.create("trials/a.json", b"1")
    assert one.read("trials/a.json") is None and one.read(".lock") == b'{"nonce": "another"}'


def test_who_cannot_renew_stops_in_time(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Remote(place, QUICK)
    with one.lock():

        def fail(*_: Any) -> None:
            raise EnvironmentFault("unreachable")

        monkeypatch.setattr(Remote, "_put", fail)
        assert one._lease is not None
        one._lease.check()
        time.sleep(QUICK * 1.3)
        with pytest.raises(EnvironmentFault, match="could not be renewed"):
            one.replace("trials.csv", b"")


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
    assert pareto.read(place).equals(pareto.read(tmp_path / "disk"))


def test_pareto_and_report_read_a_uri(place: Location, tmp_path: Path) -> None:
    folder = Folder(place)
    with folder.lock():
        folder.write(make_row(0))
        folder.derive()
    run = CliRunner()
    assert run.invoke(main, ["pareto", str(place), "--json"]).output == run.invoke(
        main, ["pareto", str(tmp_path / "bucket" / "mine"), "--json"]
    ).output.replace(str(tmp_path), str(tmp_path))
    done = run.invoke(main, ["report", str(place)])
    assert done.exit_code == 0 and done.output.strip() == f"{place}/report.html", done.output
    assert (tmp_path / "bucket" / "mine" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert run.invoke(main, ["pareto", f"{place}-nothing"]).exit_code == 2
    assert run.invoke(main, ["report", f"{place}-nothing"]).exit_code == 2


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("moto.server")
    one = server.ThreadedMotoServer(port=0)
    one.start()
    host, port = one.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    where = f"endpoint_override=127.0.0.1:{port}"
    options = f"?region=us-east-1&scheme=http&{where}&allow_bucket_creation=true"
    from pyarrow import fs

    fs.FileSystem.from_uri(f"s3://bucket/{options}")[0].create_dir("bucket")
    yield f"s3://bucket/sweeps/mine{options}"
    one.stop()


@pytest.mark.nightly
def test_s3_by_a_server_of_our_own(bucket: str) -> None:
    folder = Folder(bucket)
    with folder.lock():
        folder.write(make_row(0))
        with pytest.raises(EnvironmentFault, match="final"):
            folder.write(make_row(0))
        folder.derive()
    assert Folder(bucket).rows() == [make_row(0)]
    assert len(pareto.read(bucket)) == 1
    folder.storage.replace("signals/k/index.json", b"{}")
    folder.drop_signals("k")
    assert folder.storage.names("signals/k") == []
    done = CliRunner().invoke(main, ["report", bucket])
    assert done.exit_code == 0, done.output
