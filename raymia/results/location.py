"""Where a results folder is: a path on this machine, or the URI of a folder in object storage."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from raymia.errors import SweepError

ALLOWED = "a folder, s3://bucket/folder, gs://bucket/folder or az://container/folder is allowed"
OPTIONS = ("endpoint", "endpoint_override", "region", "scheme")  # behind the ? of an S3 URI
_SCHEMES = {"gcs": "gs", "abfs": "az", "abfss": "az"} | {s: s for s in ("s3", "gs", "az", "file")}
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*)?", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_KEY = 1024 - 256  # bytes of an object's name, less what we add
_NAME, _PATH = 255, 4000  # bytes that file systems of this kind take


@dataclass(frozen=True)
class Location:
    """A folder or file that a URI names; what a Path is for the local disk."""

    uri: str

    def __truediv__(self, name: str) -> "Location":
        # the options of an S3 URI stand behind its path
        bare, mark, query = self.uri.partition("?")
        return Location(f"{bare.rstrip('/')}/{name}{mark}{query}")

    def __str__(self) -> str:
        return self.uri

    @property
    def scheme(self) -> str:
        return self.uri.partition("://")[0]

    @property
    def bucket(self) -> str:
        return self._bare.partition("/")[0]

    @property
    def folder(self) -> str:
        """Within the bucket; empty for the bucket itself."""
        return unquote(self._bare.partition("/")[2])

    @property
    def options(self) -> dict[str, str]:
        return dict(parse_qsl(self.uri.partition("?")[2]))

    @property
    def name(self) -> str:
        return self._bare.rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        bare, mark, query = self.uri.partition("?")
        return Location(f"{bare.rstrip('/').rpartition('/')[0]}{mark}{query}")

    def resolve(self) -> "Location":
        return self

    @property
    def _bare(self) -> str:
        return self.uri.partition("://")[2].partition("?")[0].rstrip("/")


def locate(where: "Path | str | Location") -> Path | Location:
    """The Location that a URI names, also one that went through a Path and lost a slash; else
    the Path, and that of a `file://` URI.

    Raises SweepError where it names no place that could hold results.
    """
    if isinstance(where, Location):
        return where
    text = str(where)
    if isinstance(where, Path):  # which takes a slash away
        text = re.sub(r"^(?!file:)([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", text)
    found = _URI.fullmatch(text)
    scheme = _SCHEMES.get(found[1].lower(), "") if found else ""
    if found and (scheme or found[2]):
        return _of_uri(text, scheme, found[2] or "")
    return _path(text)


def _of_uri(text: str, scheme: str, rest: str) -> Path | Location:
    bare, mark, query = rest.removeprefix("//").partition("?")
    if "@" in bare.partition("/")[0] + unquote(query):  # and it is not shown
        raise SweepError(
            f"got {scheme or 'a URI'}://...@...: a URI holds no credentials here; export them; "
            f"{ALLOWED}"
        )
    if scheme == "file":
        path = unquote(rest.removeprefix("//"))
        if not path.startswith("/"):
            raise SweepError(f"got {_shown(text)}: file:///folder is allowed, of this machine")
        return _path(path)
    if not scheme or not rest.startswith("//"):
        raise SweepError(f"got {_shown(text.partition('?')[0])}: no such place; {ALLOWED}")
    bucket, _, folder = bare.partition("/")
    folder = folder.rstrip("/")
    place = Location(f"{scheme}://{bucket}{'/' * bool(folder)}{folder}{mark}{query}")
    parts = place.folder.split("/") if folder else []
    if not _BUCKET.fullmatch(bucket):
        why = "a bucket's name has 1 to 63 letters, digits, dots and dashes"
    elif any(part in ("", ".", "..") for part in parts) or not place.folder.isprintable():
        why = "every part of the folder needs a name that can be printed, and not . or .."
    elif len(place.folder.encode()) > _KEY:
        why = f"the folder takes {len(place.folder.encode())} bytes; {_KEY} are allowed"
    elif wrong := [o for o in place.options if o not in OPTIONS or scheme != "s3"]:
        why = f"got the option {_shown(wrong[0])}; {', '.join(OPTIONS)} of s3:// are allowed"
    else:
        return place
    raise SweepError(f"got {_shown(text.partition('?')[0])}: {why}; {ALLOWED}")


def _path(text: str) -> Path:
    problem = slip(text)
    if not problem and not os.path.abspath(text).strip(os.sep):
        problem = "it is no folder of its own"
    if problem:
        raise SweepError(f"got {_shown(text) or 'an empty path'}: {problem}; {ALLOWED}")
    return Path(text)


def slip(text: str) -> str:
    """Why a text is no path that anybody means; empty where it is one."""
    if not text.strip() or text.startswith("-"):
        return "a path is allowed"
    if not text.isprintable():
        return "a path without control characters is allowed"
    if text.startswith("~"):
        return "~ was not expanded: write the path out"
    if len(text) > _PATH or max(len(name.encode()) for name in text.split("/")) > _NAME:
        return f"names of at most {_NAME} bytes are allowed, {_PATH} in all"
    return ""


def _shown(text: str) -> str:
    """On one line, and not for ever."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"
