"""A results folder: one file per finished trial, which is the only truth, and the CSVs that are
derived from those files.
"""

import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from sys import intern
from typing import Any

from raymia.errors import EnvironmentFault
from raymia.results.local import Storage
from raymia.results.location import Location, locate
from raymia.results.packed import PackedFields, PackedLines
from raymia.results.remote import storage as storage_of
from raymia.results.row import Row, decode, encode
from raymia.results.sealed import opened, opened_text, sealed, sealed_text
from raymia.results.tables import tables
from raymia.streams import key

CHECKSUMS = "checksums.json"  # of the tables
_RETRY = re.compile(r"([0-9a-f]{8,64})(?:\.retry-([0-9]+))?\.json")


class Folder:
    """`results/<name>`, or a URI. The driver alone writes, holding `lock()`; everyone may read."""

    def __init__(self, path: Path | str | Location):
        self.path = locate(path)
        self._storage = storage_of(self.path)
        # a row's file never changes: it is read and verified once
        self._rows: dict[str, Row] | None = {}
        # of what this process made the CSVs, and their keys
        self._derived: tuple[Any, dict[str, str]] = None, {}
        self._seen: dict[str, bytes] = {}  # of a URI, where each reading is a request

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def signals(self) -> Path | Location:
        return self.path / "signals"

    @contextmanager
    def lean(self) -> Iterator[None]:
        """Inside, rows are read whenever they are asked for, most of them packed: a run of days
        keeps none of them in memory, where each takes 150 KB.
        """
        self._rows = None
        try:
            yield
        finally:
            self._rows = {}

    def drop_signals(self, place: str) -> None:
        """Remove the signals of a point; nothing where there are none."""
        self._storage.delete(f"signals/{place}")

    def drop_scores(self, digest: str) -> None:
        """Remove the scores of single records of a trial; nothing where there are none."""
        self._storage.delete(f"scores/{digest}.npz")

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder. Raises Locked naming pid, host and time of the process that holds it."""
        return self._storage.lock()

    def read_sweep(self) -> str | None:
        """The text of `sweep.yaml`; None in a new folder. Raises EnvironmentFault where it is not
        what `write_sweep` wrote.
        """
        data = self._storage.read("sweep.yaml")
        return None if data is None else opened_text(data, str(self.path / "sweep.yaml"))

    def write_sweep(self, text: str) -> None:
        self.put("sweep.yaml", sealed_text(text))

    def read_json(self, name: str) -> dict[str, Any]:
        """What a run wrote beside the rows (account.json, pilot.json); empty where none did."""
        data = self._storage.read(name)
        cure = "delete it, the next run writes it again"
        return {} if data is None else opened(data, str(self.path / name), cure, bare=True)

    def write_json(self, name: str, body: Mapping[str, Any]) -> None:
        self.put(name, sealed(body))

    def put(self, name: str, data: bytes) -> bool:
        """Write a derived file whole, only where its bytes differ; True where it was written."""
        if self._storage.read(name) == data:
            return False
        self._storage.replace(name, data)
        return True

    def write(self, row: Row, *, retry: bool = False) -> None:
        """Keep a finished trial, for good. With `retry`, as the next `<digest>.retry-<n>.json`
        beside the first.

        Raises EnvironmentFault where the row is there already (without `retry`), or the disk
        does not take it.
        """
        self._write("trials", row, retry)

    def confirm(self, row: Row) -> None:
        """Keep the confirmation of the front's point `row.digest`: fresh seeds, the numbers
        being means over them.

        A later one stands beside it as a retry does, and counts.
        """
        self._write("confirm", row, retry=True)

    def _write(self, folder: str, row: Row, retry: bool) -> None:
        name = f"{row.digest}.json"
        if retry:
            taken = [n for digest, n, _ in self._versions(folder) if digest == row.digest]
            name = f"{row.digest}.retry-{max(taken) + 1}.json" if taken else name
        content = encode(row)
        if not self._storage.create(f"{folder}/{name}", content):
            raise EnvironmentFault(
                f"{self.path / folder / name} is there already; a written row is final"
            )
        self._remember(f"{folder}/{name}", content)

    def _versions(self, folder: str) -> list[tuple[str, int, str]]:
        """(digest, n, name) of every file, sorted: n is 0 for the first version."""
        matches = (_RETRY.fullmatch(name) for name in self._storage.names(folder))
        return sorted((m[1], int(m[2] or 0), m[0]) for m in matches if m)

    def _read(self, folder: str, newest: bool, only: Collection[str] | None = None) -> list[Row]:
        versions = [one for one in self._versions(folder) if only is None or one[0] in only]
        chosen = {digest: name for digest, _, name in (versions if newest else versions[::-1])}
        rows = [self._load(folder, digest, name) for digest, name in chosen.items()]
        return sorted(rows, key=lambda row: (row.trial, row.digest))

    def _load(self, folder: str, digest: str, name: str) -> Row:
        where, file = str(self.path / folder / name), f"{folder}/{name}"
        if self._rows is not None and file in self._rows:
            return self._rows[file]
        seen = self._seen.get(file)
        content = zlib.decompress(seen) if seen else self._storage.read(file) or b""
        row = decode(content, where)
        self._remember(file, content)
        if row.digest != digest:
            raise EnvironmentFault(
                f"{where} holds the trial {row.digest}: it was renamed; restore or delete it"
            )
        if self._rows is None:
            numbers = {intern(name): value for name, value in row.numbers.items()}
            point, attacks = PackedFields(row.point), PackedLines(row.attacks)
            return replace(row, point=point, attacks=attacks, numbers=numbers)
        self._rows[file] = row
        return row

    def _remember(self, file: str, content: bytes) -> None:
        if isinstance(self.path, Location) and file not in self._seen:
            self._seen[file] = zlib.compress(content)

    def rows(self, only: Collection[str] | None = None) -> list[Row]:
        """The newest row of every point (or of those with these digests), by trial. Raises
        EnvironmentFault naming a file that does not verify.
        """
        return self._read("trials", newest=True, only=only)

    def first_rows(self) -> list[Row]:
        """The row that each point got first, which is what the search goes by."""
        return self._read("trials", newest=False)

    def confirmed(self) -> list[Row]:
        """The newest confirmation of every confirmed point; `digest` is that of the point on
        the front.
        """
        return self._read("confirm", newest=True)

    def shown(self, digests: Sequence[str] | None = None) -> list[Row]:
        """The rows of the points of the current sweep (None: of all points)."""
        rows, wanted = self.rows(), None if digests is None else set(digests)
        return rows if wanted is None else [row for row in rows if row.digest in wanted]

    def derive(self, digests: Sequence[str] | None = None) -> list[str]:
        """Rebuild trials.csv, attacks.csv, pareto.csv and timing.csv from the rows; the names
        of those that changed.

        The bytes depend on the rows alone, not on the order in which they were written. Their
        checksums are written first, beside those of the files that they replace: whoever reads a
        table meanwhile, or after a kill, finds one that fits.
        """
        of = (digests and sorted(digests), *map(self._storage.names, ("trials", "confirm")))
        if self._derived[0] == of:  # a moment ago, of the same rows
            there = {name: key(self._storage.read(name) or b"") for name in self._derived[1]}
            if there == self._derived[1]:
                return []
        made = tables(self.shown(digests), self.confirmed())
        try:
            held = self.read_json(CHECKSUMS)
        except EnvironmentFault:
            held = {}
        sums = {name: _newest(key(data), held.get(name, [])) for name, data in made.items()}
        if sums != held:
            self.write_json(CHECKSUMS, sums)
        written = {**made, CHECKSUMS: self._storage.read(CHECKSUMS) or b""}
        self._derived = of, {name: key(data) for name, data in written.items()}
        return [name for name, data in made.items() if self.put(name, data)]

    def table(self, name: str) -> str | None:
        """The text of a derived table; None where there is none. Raises EnvironmentFault where it
        is none that `derive` wrote.
        """
        for _ in range(2):  # between the two readings it may have been derived again
            data, sums = self._storage.read(name), self.read_json(CHECKSUMS)
            if data is None:
                return None
            if not sums or key(data) in sums.get(name, ()):
                return data.decode()
        raise EnvironmentFault(
            f"{self.path / name} is not what raymia wrote: it was edited, or is damaged; `raymia "
            f"report {self.path}` rebuilds it"
        )


def _newest(digest: str, held: Sequence[str]) -> list[str]:
    """The checksums that a table may have: its own, and that of the one before it."""
    return list(held) if held[:1] == [digest] else [digest, *held[:1]]
