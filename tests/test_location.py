"""What `--out` and every DIR may be: a path, or the URI of a folder in object storage."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from raymia.cli import main
from raymia.errors import SweepError
from raymia.results.local import Local
from raymia.results.location import Location, locate
from raymia.results.remote import Remote, storage


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("s3://b/x", "s3://b/x"),
        (Path("s3://b/x"), "s3://b/x"),  # a Path takes a slash away
        ("S3://b/x/", "s3://b/x"),
        ("gs://b", "gs://b"),
        ("gcs://b/x", "gs://b/x"),
        ("az://b/x", "az://b/x"),
        ("abfs://b/x", "az://b/x"),
        ("s3://b/x?region=eu-central-1", "s3://b/x?region=eu-central-1"),
    ],
)
def test_uris_are_told_from_paths(given: str | Path, uri: str) -> None:
    found = locate(given)
    assert isinstance(found, Location) and str(found) == uri and isinstance(storage(given), Remote)


@pytest.mark.parametrize(
    "given", ["results/x", "/tmp/x", "s3", "C:x", "./s3:x", ".", "a b", "a:b", "\u00fc"]
)
def test_paths_stay_paths(given: str) -> None:
    assert locate(given) == Path(given) and isinstance(storage(given), Local)


@pytest.mark.parametrize(
    "given", ["file:///tmp/a%20b", Path("file:///tmp/a%20b"), "file:/tmp/a%20b"]
)
def test_a_file_uri_is_a_path(given: str | Path) -> None:
    assert locate(given) == Path("/tmp/a b")


def test_the_parts_of_a_location() -> None:
    place = Location("s3://b/sweeps/my%20own?region=eu&endpoint=http://h:1")
    assert str(place / "a.json") == "s3://b/sweeps/my%20own/a.json?region=eu&endpoint=http://h:1"
    assert place.name == "my%20own"
    assert str(place.parent) == "s3://b/sweeps?region=eu&endpoint=http://h:1"
    assert (place.scheme, place.bucket, place.folder) == ("s3", "b", "sweeps/my own")
    assert place.options == {"region": "eu", "endpoint": "http://h:1"}
    assert Location("gs://b").folder == ""


ODD = {
    "": "a path is allowed",
    "-": "a path is allowed",
    "/": "no folder of its own",
    "//": "no folder of its own",
    "/tmp/..": "no folder of its own",
    "a\0b": "without control characters",
    "a\nb": "without control characters",
    "-x": "a path is allowed",
    "~nobody/x": "~ was not expanded",
    "x" * 256: "at most 255 bytes",
    "\u00fc" * 128: "at most 255 bytes",
    "x/" * 2001: "at most 255 bytes are allowed, 4000 in all",
    "ftp://a/b": "no such place",
    "http://x/y": "no such place",
    "hdfs://a/b": "no such place",
    "memory://a": "no such place",
    "s3:/x": "no such place",
    "s3:": "no such place",
    "s3://": "a bucket's name",
    "s3:///x": "a bucket's name",
    "s3://a b/x": "a bucket's name",
    "s3://-/x": "a bucket's name",
    "s3://b/a//b": "every part of the folder",
    "s3://b/../x": "every part of the folder",
    "s3://b/%2e%2e/x": "every part of the folder",
    "s3://b/a\0b": "every part of the folder",
    "s3://b/a%00b": "every part of the folder",
    "s3://b/a%0ab": "every part of the folder",
    "s3://b/" + "x" * 800: "800 bytes; 768 are allowed",
    "s3://b/x?secret_access_key=hidden": "got the option secret_access_key",
    "gs://b/x?region=eu": "got the option region",
    "s3://id:hidden@b/x": "no credentials",
    "s3://b/x?endpoint=http://id:hidden@h": "no credentials",
    "https://id:hidden@h/x": "no credentials",
    "file://host/x": "of this machine",
}


@pytest.mark.parametrize("given", ODD)
def test_odd_places_are_one_line_and_exit_2(given: str) -> None:
    with pytest.raises(SweepError, match=ODD[given]):
        locate(given)
    for arguments in (["run", "sweeps/quickstart.yaml", "--out", given], ["report", "--", given]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2 and done.output.count("\n") == 1, (arguments, done.output)
        assert "allowed" in done.output and "hidden" not in done.output
        assert len(done.output) < 500
