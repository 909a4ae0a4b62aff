"""Most of a row, its point and its lines of attacks.csv, kept small while nobody reads it."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

Line = dict[str, Any]


class _Packed:
    """JSON, compressed. It is read anew each time that somebody looks into it."""

    def __init__(self, whole: Any) -> None:
        self._length = len(whole)
        self._data = zlib.compress(json.dumps(whole).encode(), 1)

    def __len__(self) -> int:
        return self._length

    @property
    def _whole(self) -> Any:
        return json.loads(zlib.decompress(self._data))


class PackedLines(_Packed, Sequence[Line]):
    """The same lines."""

    def __iter__(self) -> Iterator[Line]:
        return iter(self._whole)

    @overload
    def __getitem__(self, index: int) -> Line: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        found: Line | Sequence[Line] = self._whole[index]
        return found


class PackedFields(_Packed, Mapping[str, Any]):
    """The same mapping."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __getitem__(self, name: str) -> Any:
        return self._whole[name]
