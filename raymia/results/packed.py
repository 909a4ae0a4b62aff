"""The lines of attacks.csv of a row, most of it, kept small while nobody reads them."""

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

Line = dict[str, Any]


class Packed(Sequence[Line]):
    """The same lines, compressed. They are read anew each time that somebody goes through them."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = len(lines)
        self._data = zlib.compress(json.dumps(list(lines)).encode(), 1)

    def __len__(self) -> int:
        return self._lines

    def __iter__(self) -> Iterator[Line]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Line: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        return self._all()[index]

    def _all(self) -> list[Line]:
        lines: list[Line] = json.loads(zlib.decompress(self._data))
        return lines
