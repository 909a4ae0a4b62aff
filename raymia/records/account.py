"""What was read, in words and numbers: so that a file that was read wrongly is seen at once."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from raymia.errors import line
from raymia.point.columns import word
from raymia.records import copied
from raymia.records.data import Data
from raymia.records.groups import FEWEST
from raymia.streams import key

SHOWN = 12  # columns, categories and labels that are named one by one; --json names all


@lru_cache(maxsize=2)
def account(data: Data) -> dict[str, Any]:
    """JSON-able: how many records of what shape, columns, pixels, labels with counts, copies,
    groups, and what was done with the files.
    """
    names = data.names or tuple(range(data.classes))
    counts = np.bincount(data.y, minlength=data.classes).tolist()
    exact, other = copied.counts(data.x, data.y)
    said: dict[str, Any] = {
        "dataset": data.name,
        "records": len(data),
        "shape": list(data.shape),
        "features": int(np.prod(data.shape)),
        "classes": data.classes,
        "labels": {str(name): count for name, count in zip(names, counts, strict=True)},
        "low": float(data.x.min()),
        "high": float(data.x.max()),
        "type": str(data.x.dtype),
        "columns": [dict(column) for column in data.columns],
        "copies": exact,
        "copies_with_another_label": other,
        "notes": list(data.notes),
    }
    if data.groups is not None:
        said["groups"] = {"column": data.groups.column, "records": data.groups.counts()}
    if data.image:
        said |= {"layout": "channels, rows, columns", "mean": data.mean, "std": data.std}
    return said


def digest(said: Mapping[str, Any]) -> str:
    """A short name of an account: rows keep it."""
    return key(dict(said))[:16]


def sentences(said: Mapping[str, Any]) -> list[str]:
    """An account, one line each: `what: ...`; the names in it are other people's."""
    return [line(said) for said in _sentences(said)]


def _sentences(said: Mapping[str, Any]) -> list[str]:
    shape = "x".join(map(str, said["shape"]))
    lines = [
        f"data:      {said['dataset']}, {said['records']} records, {said['features']} features"
        + (f" ({shape} pixels)" if "layout" in said else "")
        + f", {said['classes']} classes"
    ]
    if said["columns"]:
        lines.append(f"columns:   {_listed(map(_column, said['columns']))}")
    elif "layout" in said:
        whole = "bytes" if said["type"] == "uint8" else "fractions"
        lines.append(
            f"pixels:    {whole} from {said['low']:g} to {said['high']:g}, channels first; less "
            f"{_numbers(said['mean'])}, over {_numbers(said['std'])}, of the range [0, 1]"
        )
    else:
        lines.append(f"values:    from {said['low']:g} to {said['high']:g}")
    each = (f"{name} ({count})" for name, count in said["labels"].items())
    lines.append(f"labels:    {_listed(each)}")
    if groups := said.get("groups"):
        each = (
            f"{name} ({count if count >= FEWEST else f'fewer than {FEWEST}'})"
            for name, count in groups["records"].items()
        )
        lines.append(f"groups:    by {groups['column']}: {_listed(each)}")
    if said["copies"] or said["copies_with_another_label"]:
        lines.append(
            f"copies:    {said['copies']} records are exact copies of others, "
            f"{said['copies_with_another_label']} are so but for their label"
        )
    return lines + [f"files:     {note}" for note in said["notes"]]


def _column(column: Mapping[str, Any]) -> str:
    if column["kind"] != "categories":
        return f"{column['name']} {word(column['low'], 3)}..{word(column['high'], 3)}"
    named = list(column["categories"])
    shown = ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")
    return f"{column['name']} in {len(named)} categories ({shown})"


def _listed(each: Any) -> str:
    all_ = list(each)
    more = f", and {len(all_) - SHOWN} more (--json)" if len(all_) > SHOWN else ""
    return ", ".join(all_[:SHOWN]) + more


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)
