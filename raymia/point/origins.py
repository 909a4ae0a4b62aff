"""What of the catalogue is not raymia's own: things of installed packages, and of single files.

A package declares them as entry points, `[project.entry-points."raymia.defenses"]` for one; a sweep
file names a single file as `path/to/file.py:Class`. Both are known by what they are: a package by
its distribution and version, a file by the sha256 of its text. Files travel to workers as text.
"""

import errno
import importlib.abc
import importlib.metadata
import importlib.util
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from socket import gethostname
from typing import Any

from raymia.errors import EnvironmentFault, SweepError
from raymia.streams import key

FILE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Installed:
    """Where an entry point stands."""

    distribution: str
    version: str
    target: str  # module:Class

    @property
    def identity(self) -> tuple[str, str]:
        """What names it in digests and rows: a name and a version."""
        return self.distribution, self.version

    def load(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class File:
    """A class of one file: its path as the sweep file spells it, and its text when it was read."""

    path: str
    cls: str
    text: str

    @property
    def identity(self) -> tuple[str, str]:
        return f"file:{Path(self.path).name}", key(self.text)

    def load(self) -> Any:
        name = f"raymia_file_{key(self.text)[:16]}"
        module = sys.modules.get(name)
        if module is None:
            spec = importlib.util.spec_from_loader(name, _Text(self.path, self.text))
            assert spec is not None and spec.loader is not None
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return getattr(module, self.cls)


class _Text(importlib.abc.InspectLoader):
    """Imports a module from its text."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text

    def get_source(self, fullname: str) -> str:
        return self._text


Origin = Installed | File
_FILES: dict[tuple[str, str], File] = {}  # (kind, name) -> its file


@cache
def installed(kind: str) -> dict[str, Installed]:
    """The things of one kind of all installed packages, by name.

    Raises SweepError where two packages have one name.
    """
    found: dict[str, Installed] = {}
    for point in _entry_points().select(group=f"raymia.{kind}"):
        dist = point.dist
        own = Installed(dist.name if dist else "?", dist.version if dist else "?", point.value)
        other = found.setdefault(point.name, own)
        if other != own:
            raise SweepError(
                f"two packages have a {kind.removesuffix('s')} {point.name!r}: "
                f"{other.distribution} ({other.target}) and {own.distribution} ({own.target}); "
                "uninstall one of them"
            )
    return found


@cache
def _entry_points() -> Any:
    """Those of all packages: a file of each is read, however few are asked for."""
    return importlib.metadata.entry_points()


def names(kind: str) -> list[str]:
    """The names that packages and files add to a kind."""
    return [*installed(kind), *(name for of, name in _FILES if of == kind)]


def of(kind: str, name: str) -> Origin | None:
    """Where a thing comes from; None where it is raymia's own, or there is none."""
    return _FILES.get((kind, name)) or installed(kind).get(name)


def is_file(spelled: str) -> bool:
    """Whether a name is `path/to/file.py:Class`."""
    return FILE.fullmatch(spelled) is not None


def spelled(kind: str, name: str) -> str:
    """The name as a sweep file has it."""
    file = _FILES.get((kind, name))
    return name if file is None else f"{file.path}:{file.cls}"


def read(kind: str, spelled: str, own: tuple[str, ...]) -> str:
    """Takes a class of a file into the catalogue; its name there is its own in snake case.

    Raises SweepError where there is no such file or class, or where the name is taken: by one of
    `own`, or by another file.
    """
    match = FILE.fullmatch(spelled)
    assert match is not None
    path, cls = match.groups()
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls).lower()
    try:
        file = File(path, cls, _text(Path(os.path.expanduser(path))))
    except (OSError, UnicodeDecodeError) as error:
        known = _FILES.get((kind, name))
        if known is not None and (known.path, known.cls) == (path, cls):  # shipped to this worker
            return name
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SweepError(
            f"{path!r} cannot be read (relative to {str(Path.cwd())!r}): {why}"
        ) from None
    if name in own:
        raise SweepError(
            f"{cls} of {path} would be {name!r}, which there is already; rename the class"
        )
    other = _FILES.get((kind, name))
    if other is not None and (other.path, other.cls) != (path, cls):
        raise SweepError(f"{other.path} and {path} both have a {cls}; rename one of them")
    _FILES[kind, name] = file
    return name


def _text(place: Path) -> str:
    if place.exists() and not place.is_file():  # a pipe would be waited for
        raise OSError(errno.EINVAL, "it is no plain file")
    return place.read_text()


@dataclass(frozen=True)
class Cargo:
    """What a process on another node must have before it meets a point: files, which travel, and
    packages, which are installed there.
    """

    files: dict[tuple[str, str], File] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, foreign: dict[str, str]) -> "Cargo":
        """All files of this process, and the packages among what a sweep uses."""
        return cls(dict(_FILES), {k: v for k, v in foreign.items() if not k.startswith("file:")})

    def unload(self) -> None:
        """Raises EnvironmentFault where a package is not here."""
        for name, version in self.packages.items():
            try:
                here = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                here = "not there"
            if here != version:
                raise EnvironmentFault(
                    f"{name} {version} is needed on every node; on {gethostname()} it is {here}"
                )
        _FILES.update(self.files)
