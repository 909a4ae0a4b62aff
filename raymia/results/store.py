"""What the models of one world have said, and their weights, as files of a results folder that
say what they are.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from raymia.errors import EnvironmentFault
from raymia.results.local import Files
from raymia.results.sealed import Later, opened, sealed
from raymia.streams import key

Array = np.ndarray[Any, Any]
Note = dict[str, str]  # {"sha256": of the content, "model": the key of the model that it is of}
Index = dict[str, Note]  # file name -> note


@dataclass(frozen=True)
class Store:
    """signals/<key>/: an npz and a safetensors for each model, each with its sha256 and the key
    of its model in index.json.

    `place` is the folder's name inside `storage`. A file that the index does not name is not
    there. Two processes that write the same model write the same bytes, and nobody else changes
    the index while one of them does.
    """

    storage: Files
    place: str

    def index(self) -> Index:
        """Empty where there is none or it is damaged. Raises Later where a later one wrote it."""
        return dict(self._parsed(self.storage.read(self._path("index.json"))))

    def put(self, name: str, content: bytes, model: str = "") -> None:
        """Raises EnvironmentFault naming the path."""
        self.put_each([(name, content, model)])

    def put_each(self, files: Iterable[tuple[str, bytes, str]]) -> None:
        """Files (name, content, key of its model), each written as it comes, and the index once
        for all: what writes it for every file takes a time quadratic in the models.

        Where making one raises, those before it are entered. Raises EnvironmentFault naming the
        path.
        """
        notes: dict[str, Note] = {}
        try:
            for name, content, model in files:
                self.write(name, content)
                notes[name] = {"sha256": key(content), "model": model}
        finally:
            if notes:
                self.note(notes)

    def write(self, name: str, content: bytes) -> None:
        """A file that is not in the index yet."""
        self.storage.replace(self._path(name), content)

    def note(self, notes: Mapping[str, Note]) -> None:
        """Enter files that are there into the index."""

        def entered(content: bytes | None) -> bytes:
            return sealed({**self._parsed(content), **notes})

        self.storage.change(self._path("index.json"), entered)

    def get(self, name: str, model: str = "") -> bytes | None:
        """The content, or None where it is absent, damaged, or of another model: it is then
        made again.
        """
        note = self._parsed(self.storage.read(self._path("index.json"))).get(name)
        return None if note is None or note["model"] != model else self.read(name, note)

    def read(self, name: str, note: Note) -> bytes | None:
        """The content, or None where it is absent or not what its note says."""
        content = self.storage.read(self._path(name))
        return content if content is not None and key(content) == note["sha256"] else None

    def _path(self, name: str) -> str:
        return f"{self.place}/{name}"

    def _parsed(self, content: bytes | None) -> Mapping[str, Note]:
        return _parsed(content or b"{}", f"{self.place}/index.json")


@lru_cache(maxsize=4)  # it is read for every file
def _parsed(content: bytes, where: str) -> Mapping[str, Note]:
    try:
        found = opened(content, where, "it is made again", bare=True)
    except Later:
        raise
    except EnvironmentFault:
        return {}
    return {name: note for name, note in found.items() if set(note) == {"sha256", "model"}}


def pack(arrays: Mapping[str, Array]) -> bytes:
    """Arrays as npz bytes; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def unpack(content: bytes, want: Callable[[str], bool] = lambda _: True) -> dict[str, Array]:
    """The arrays of an npz whose names are wanted; the others are not decoded."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files if want(name)}
