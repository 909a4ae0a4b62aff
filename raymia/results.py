"""A results folder: one file per finished trial, which is the only truth, and the CSVs that are derived from those
files."""

import csv
import dataclasses
import io
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymia import columns, objectives
from raymia.errors import EnvironmentFault
from raymia.front import Values, front
from raymia.remote import Location, Remote, locate
from raymia.storage import Local, Storage
from raymia.streams import key

_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_RETRY = re.compile(r"([0-9a-f]{8,64})(?:\.retry-([0-9]+))?\.json")
_TRIGGERS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that begins so for a formula

STATES = ("done", "failed", "invalid", "stopped")


@dataclass(frozen=True)
class Row:
    """Everything that is kept of one finished trial.

    `point` is enough to run it again; `knobs` maps `part.knob` to a scalar; `numbers` holds every numeric column of
    `trials.csv`, None where unknown; `attacks` the lines of `attacks.csv`; `timing` seconds, which go into
    `timing.csv` alone.
    Units: fractions in [0, 1]. Raises ValueError on a state, digest or number that cannot stand in a row.
    """

    trial: int
    digest: str
    signals: str
    state: str
    reason: str
    point: dict[str, Any]
    dataset: str
    network: str
    defense: str
    knobs: dict[str, Any]
    seed: int
    models: int
    targets: int
    members: int | None = None
    nonmembers: int | None = None
    numbers: dict[str, float | None] = field(default_factory=dict)
    worst_attack: str = ""
    attacks: list[dict[str, Any]] = field(default_factory=list)
    timing: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"a digest is 8 to 64 hexadecimal digits, got {self.digest!r}")
        if self.state not in STATES:
            raise ValueError(f"row {self.digest[:12]}: state {self.state!r} is none of {', '.join(STATES)}")
        cells = [self.numbers, self.knobs, self.timing, *self.attacks]
        for name, value in (item for cell in cells for item in cell.items()):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"row {self.digest[:12]}: {name} is {value}; finite numbers are allowed, or None")

    @property
    def values(self) -> Values:
        """Its value of each objective; none where it is not done."""
        first, second = (self.numbers.get(name) if self.state == "done" else None for name in objectives.COLUMNS)
        return first, second

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Row":
        """Raises TypeError or ValueError where `data` is not a row."""
        return cls(**data)


def best(rows: Sequence[Row]) -> list[Row]:
    """The rows on the front, most accurate first."""
    rows = sorted(rows, key=lambda row: row.trial)
    return [rows[i] for i in front([row.values for row in rows])]


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_scalar)


def _scalar(value: Any) -> Any:
    """A numpy number as Python's own. Raises TypeError for what is no number."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} cannot stand in a row")


def encode(row: Row) -> bytes:
    """The file of a row: its fields, and `sha256` over the canonical JSON of everything else."""
    plain = json.loads(_canonical(row.to_json()))
    digest = key(_canonical(plain))
    return (_canonical(plain | {"sha256": digest}) + "\n").encode()


def decode(data: bytes, where: str) -> Row:
    """The row in a file. Raises EnvironmentFault naming the file where its bytes are not what was written."""
    try:
        plain = json.loads(data)
        claimed = plain.pop("sha256")
        if key(_canonical(plain)) != claimed:
            raise ValueError("its sha256 does not match")
        return Row.from_json(plain)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnvironmentFault(
            f"{where} is damaged or of another version ({error}); restore it, or delete it to have the trial run again"
        ) from None


class Folder:
    """`results/<name>`, or a URI. The driver alone writes, holding `lock()`; everyone may read."""

    def __init__(self, path: Path | str | Location):
        self.path = locate(path)
        self._storage: Storage = Remote(self.path) if isinstance(self.path, Location) else Local(self.path)
        self._seen: dict[str, bytes] = {}  # of a URI: a row's file never changes, and each reading is a request

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def signals(self) -> Path | Location:
        return self.path / "signals"

    def drop_signals(self, key: str) -> None:
        """Remove the signals of a point; nothing where there are none."""
        self._storage.delete(f"signals/{key}")

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder. Raises Locked naming pid, host and time of the process that holds it."""
        return self._storage.lock()

    def read_sweep(self) -> str | None:
        """The text of `sweep.yaml`; None in a new folder."""
        data = self._storage.read("sweep.yaml")
        return None if data is None else data.decode()

    def write_sweep(self, text: str) -> None:
        self.put("sweep.yaml", text.encode())

    def put(self, name: str, data: bytes) -> bool:
        """Write a derived file whole, only where its bytes differ; True where it was written."""
        if self._storage.read(name) == data:
            return False
        self._storage.replace(name, data)
        return True

    def write(self, row: Row, *, retry: bool = False) -> None:
        """Keep a finished trial, for good. With `retry`, as the next `<digest>.retry-<n>.json` beside the first.

        Raises EnvironmentFault where the row is there already (without `retry`), or the disk does not take it.
        """
        self._write("trials", row, retry)

    def confirm(self, row: Row) -> None:
        """Keep the confirmation of the front's point `row.digest`: fresh seeds, the numbers being means over them.

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
            raise EnvironmentFault(f"{self.path / folder / name} is there already; a written row is final")
        self._remember(f"{folder}/{name}", content)

    def _versions(self, folder: str) -> list[tuple[str, int, str]]:
        """(digest, n, name) of every file, sorted: n is 0 for the first version."""
        matches = (_RETRY.fullmatch(name) for name in self._storage.names(folder))
        return sorted((m[1], int(m[2] or 0), m[0]) for m in matches if m)

    def _read(self, folder: str, newest: bool) -> list[Row]:
        versions = self._versions(folder)
        chosen = {digest: name for digest, _, name in (versions if newest else versions[::-1])}
        rows = [self._load(folder, digest, name) for digest, name in chosen.items()]
        return sorted(rows, key=lambda row: (row.trial, row.digest))

    def _load(self, folder: str, digest: str, name: str) -> Row:
        where, file = str(self.path / folder / name), f"{folder}/{name}"
        seen = self._seen.get(file)
        content = zlib.decompress(seen) if seen else self._storage.read(file) or b""
        row = decode(content, where)
        self._remember(file, content)
        if row.digest != digest:
            raise EnvironmentFault(f"{where} holds the trial {row.digest}: it was renamed; restore or delete it")
        return row

    def _remember(self, file: str, content: bytes) -> None:
        if isinstance(self.path, Location) and file not in self._seen:
            self._seen[file] = zlib.compress(content)

    def rows(self) -> list[Row]:
        """The newest row of every point, by trial. Raises EnvironmentFault naming a file that does not verify."""
        return self._read("trials", newest=True)

    def first_rows(self) -> list[Row]:
        """The row that each point got first, which is what the search goes by."""
        return self._read("trials", newest=False)

    def confirmed(self) -> list[Row]:
        """The newest confirmation of every confirmed point; `digest` is that of the point on the front."""
        return self._read("confirm", newest=True)

    def shown(self, digests: Sequence[str] | None = None) -> list[Row]:
        """The rows of the points of the current sweep (None: of all points)."""
        rows = self.rows()
        return rows if digests is None else [row for row in rows if row.digest in set(digests)]

    def derive(self, digests: Sequence[str] | None = None) -> list[str]:
        """Rebuild trials.csv, attacks.csv, pareto.csv and timing.csv from the rows; the names of those that changed.

        The bytes depend on the rows alone, not on the order in which they were written.
        """
        made = tables(self.shown(digests), self.confirmed())
        return [name for name, text in made.items() if self.put(name, text.encode())]


# ---- the tables ------------------------------------------------------------------------------------------------------

_HEAD = ("trial", "digest", "signals", "state", "reason", "dataset", "network", "defense")
_SIZES = ("seed", "models", "targets", "members", "nonmembers")
_RESULT = (
    "train_accuracy",
    *columns.with_ends(objectives.ACCURACY.column),
    *columns.with_ends(objectives.AUC.column),
    "worst_attack",
    "plain_max_auc",
)
_BUDGET = ("epsilon", "delta")
ATTACK_COLUMNS = (
    "trial",
    "digest",
    "target",
    "attack",
    *columns.with_ends("auc"),
    "balanced_accuracy",
    "advantage",
    *columns.with_ends("tpr_at_fpr_0.01"),
    *columns.with_ends("tpr_at_fpr_0.001"),
    "ppv_at_0.01",
    "ppv_at_0.1",
    "ppv_at_0.5",
)

Line = dict[str, Any]


def _cell(value: Any) -> str:
    """One cell: unknown is empty, a float its shortest exact form, a text on one line and never a formula."""
    if value is None:
        return ""
    text = columns.word(value)
    if isinstance(value, int | float):
        return text
    return ("'" if text.startswith(_TRIGGERS) else "") + re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text)


def _csv(names: Sequence[str], lines: Iterable[Line]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(line.get(name)) for name in names] for line in lines)
    return text.getvalue()


def _names(mappings: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> list[str]:
    """The keys of all mappings, sorted, without the known ones."""
    return sorted({key for mapping in mappings for key in mapping} - set(known))


def trial_columns(rows: Sequence[Row]) -> list[str]:
    """The columns of `trials.csv`: those of the contract in its order, then every further number by name, notes
    last."""
    numbers = _names(row.numbers for row in rows)
    aucs = [columns.auc(attack) for attack in columns.attacks(numbers)]
    fixed = [*_HEAD, *_names(row.knobs for row in rows), *_SIZES, *_RESULT, *aucs, *_BUDGET]
    return [*fixed, *_names([dict.fromkeys(numbers)], fixed), "notes"]


def trial_line(row: Row) -> Line:
    """The cells of a row in `trials.csv`, typed."""
    named = {name: getattr(row, name) for name in (*_HEAD, *_SIZES, "worst_attack")}
    return row.numbers | row.knobs | named | {"notes": "; ".join(row.notes)}


def tables(rows: Sequence[Row], confirmed: Sequence[Row] = ()) -> dict[str, str]:
    """The text of every derived CSV by its name. Rows are taken as they are ordered."""
    named = trial_columns(rows)
    attacks = (line | {"trial": row.trial, "digest": row.digest} for row in rows for line in row.attacks)
    measures = _names((line for row in rows for line in row.attacks), ATTACK_COLUMNS)
    timing = [row.timing | {"trial": row.trial, "digest": row.digest} for row in rows]
    extra = _confirmed_columns(confirmed)
    by_digest = {row.digest: row for row in confirmed}
    return {
        "trials.csv": _csv(named, map(trial_line, rows)),
        "attacks.csv": _csv([*ATTACK_COLUMNS, *measures], attacks),
        "pareto.csv": _csv([*named, *extra], [trial_line(row) | _confirmation(row, by_digest) for row in best(rows)]),
        "timing.csv": _csv(["trial", "digest", *_names(row.timing for row in rows)], timing),
    }


def _confirmed_columns(confirmed: Sequence[Row]) -> list[str]:
    if not confirmed:
        return []
    names = [name for column in objectives.COLUMNS for name in columns.with_ends(column)]
    return [columns.confirmed(name) for name in names] + [columns.change(name) for name in objectives.COLUMNS]


def _confirmation(row: Row, confirmed: Mapping[str, Row]) -> Line:
    """What `confirm` found for a point of the front, and how far that is from what the search saw."""
    if row.digest not in confirmed:
        return {}
    numbers, out = confirmed[row.digest].numbers, Line()
    for column in objectives.COLUMNS:
        out |= {columns.confirmed(name): numbers.get(name) for name in columns.with_ends(column)}
        found, seen = numbers.get(column), row.numbers.get(column)
        out[columns.change(column)] = None if found is None or seen is None else found - seen
    return out
