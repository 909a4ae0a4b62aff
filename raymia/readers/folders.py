"""Which pictures a folder holds, of which class: by its structure, whatever its folders are
called.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from raymia.errors import SweepError

Readable = Callable[[str], bool]  # by the lower-case ending of a file, with its dot
Picture = tuple[Path, str]  # with the name of its class


def wrong(root: Path, said: str) -> SweepError:
    return SweepError(f"dataset image_folder: {str(root)!r}{said}")


@dataclass
class Found:
    """What is read, and what is not: kinds of things left out, each with an example."""

    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def skip(self, what: str, path: Path) -> None:
        self.left_out[what] += 1
        self.examples.setdefault(what, path.name)

    def said(self) -> tuple[str, ...]:
        skipped = [
            f"left out: {count} {what} ({self.examples[what]!r}{', ...' if count > 1 else ''})"
            for what, count in sorted(self.left_out.items())
        ]
        return (*self.notes, *skipped)


def find(root: Path, readable: Readable) -> Found:
    """Every picture below a root, those of train first, then by part, class and path.

    A folder that holds one folder and nothing else is passed through. Folders that hold folders
    of the same names are parts of a split, and merged; else each folder is a class, with all
    that lies below it. Links are followed; hidden files and folders are not read. Raises
    SweepError naming the folder.
    """
    found = Found()
    top = _unwrapped(root, readable)
    if top != root:
        found.notes.append(f"the classes are in {str(top.relative_to(root))!r}")
    parts = _parts(top, readable)
    if parts:
        for part, classes in parts:
            before = len(found.pictures)
            for folder in classes:
                _read_class(folder, found, readable)
            found.notes.append(f"merged: {part.name} ({len(found.pictures) - before} pictures)")
        for path in _files(top):
            found.skip("files beside the parts", path)
        return found
    folders = _folders(top)
    if not folders:
        raise wrong(top, " holds no folders; one for each class is needed")
    for path in _files(top):
        found.skip("files beside the classes", path)
    for folder in folders:
        _read_class(folder, found, readable)
    return found


def _parts(top: Path, readable: Readable) -> list[tuple[Path, list[Path]]]:
    """The parts of a split with the folders of their classes; none where these are classes."""
    inside: dict[Path, list[Path]] = {}
    flat: list[Path] = []
    for child in _folders(top):
        bottom = _unwrapped(child, readable)
        folders = _folders(bottom)
        if folders and not _has_pictures(bottom, readable):
            inside[child] = folders
        else:
            flat.append(child)
    names = {part: {folder.name for folder in folders} for part, folders in inside.items()}
    for part in inside:
        if flat and len(names[part]) > 1:
            raise wrong(
                top,
                f" holds {_listed(inside)} with folders inside and {_listed(flat)} without: "
                f"classes, or parts of a split? For one part, set path to {str(part)!r}",
            )
    every = set[str]().union(*names.values())
    common = every.intersection(*names.values()) if len(names) > 1 else set()
    if flat or not any(names[a] & names[b] for a in names for b in names if a != b):
        return []
    for name in sorted(every - common):
        there = next(part for part in names if name in names[part])
        lacking = next(part for part in names if name not in names[part])
        raise wrong(top, f": class {name!r} is in {there.name}/ and not in {lacking.name}/")
    order = sorted(inside, key=lambda part: ("train" not in part.name.lower(), part.name))
    return [(part, inside[part]) for part in order]


def _unwrapped(folder: Path, readable: Readable) -> Path:
    """The folder inside, where that is all there is."""
    while len(inside := _folders(folder)) == 1 and not _has_pictures(folder, readable):
        below = _folders(inside[0])
        if not below:  # the one class of its part
            return folder
        folder = inside[0]
    return folder


def _has_pictures(folder: Path, readable: Readable) -> bool:
    return any(readable(path.suffix.lower()) for path in _files(folder))


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))


def _listed(folders: Iterable[Path]) -> str:
    names = [f"{folder.name}/" for folder in folders]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read_class(folder: Path, found: Found, readable: Readable) -> None:
    """The pictures at any depth below a class folder; what is none is listed."""
    before, seen = len(found.pictures), set[tuple[int, int]]()
    inside: list[Path] = []

    def closed(error: OSError) -> None:
        raise error

    for where, folders, names in os.walk(folder, onerror=closed, followlinks=True):
        place = os.stat(where)
        if (place.st_dev, place.st_ino) in seen:  # a link to a folder above or beside
            folders.clear()
            found.skip("links to folders that are read already", Path(where))
            continue
        seen.add((place.st_dev, place.st_ino))
        for name in [n for n in folders if n.startswith(".")]:
            folders.remove(name)
            found.skip("hidden folders", Path(where, name))
        for name in names:
            path = Path(where, name)
            ending = path.suffix.lower()
            if name.startswith("."):
                found.skip("hidden files", path)
            elif not readable(ending):
                found.skip(f"{ending or 'endless'} files", path)
            elif not path.is_file():
                found.skip("files that are no plain ones", path)
            else:
                inside.append(path)
    found.pictures += [(path, folder.name) for path in sorted(inside)]
    if len(found.pictures) == before:
        raise wrong(folder, " is a class folder and holds no picture that can be read")
