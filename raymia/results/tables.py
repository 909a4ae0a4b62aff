"""The tables that are derived from the rows of a results folder."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from numbers import Real
from typing import Any

from raymia.point import columns, objectives
from raymia.results.row import Row, best

# a spreadsheet takes a cell that begins so for a formula
_TRIGGERS = ("=", "+", "-", "@", "\t", "\r")

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
_AS_IT_IS = {float, int, type(None)}  # csv writes these as `cell` does, a million cells sooner


def cell(value: Any) -> str:
    """One cell: unknown is empty, a float its shortest exact form, a text on one line and never
    a formula.
    """
    if value is None:
        return ""
    text = columns.word(value)
    return text if isinstance(value, Real) else _tamed(text)


@lru_cache(maxsize=4096)
def _tamed(text: str) -> str:
    return ("'" if text.startswith(_TRIGGERS) else "") + re.sub(
        r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text
    )


def _csv(names: Sequence[str], lines: Iterable[Line]) -> bytes:
    data = io.BytesIO()  # of thousands of rows many MB, which are held once
    text = io.TextIOWrapper(data, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(
        [value if type(value) in _AS_IT_IS else cell(value) for value in map(line.get, names)]
        for line in lines
    )
    text.flush()
    return data.getvalue()


def _names(mappings: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> list[str]:
    """The keys of all mappings, sorted, without the known ones."""
    return sorted({key for mapping in mappings for key in mapping} - set(known))


def trial_columns(rows: Sequence[Row]) -> list[str]:
    """The columns of `trials.csv`: those of the contract in its order, then every further
    number by name, notes last.
    """
    numbers = _names(row.numbers for row in rows)
    aucs = [columns.auc(attack) for attack in columns.attacks(numbers)]
    fixed = [*_HEAD, *_names(row.knobs for row in rows), *_SIZES, *_RESULT, *aucs, *_BUDGET]
    other = any(row.objective != objectives.AUC.column for row in rows)
    return [*fixed, *_names([dict.fromkeys(numbers)], fixed), *["objective"] * other, "notes"]


def trial_line(row: Row) -> Line:
    """The cells of a row in `trials.csv`, typed."""
    named = {name: getattr(row, name) for name in (*_HEAD, *_SIZES, "worst_attack", "objective")}
    return row.numbers | row.knobs | named | {"notes": "; ".join(row.notes)}


def tables(rows: Sequence[Row], confirmed: Sequence[Row] = ()) -> dict[str, bytes]:
    """Every derived CSV by its name. Rows are taken as they are ordered."""
    named = trial_columns(rows)
    attacks = (
        line | {"trial": row.trial, "digest": row.digest} for row in rows for line in row.attacks
    )
    measures = _names((line for row in rows for line in row.attacks), ATTACK_COLUMNS)
    timing = [row.timing | {"trial": row.trial, "digest": row.digest} for row in rows]
    extra = _confirmed_columns(confirmed)
    by_digest = {row.digest: row for row in confirmed}
    return {
        "trials.csv": _csv(named, map(trial_line, rows)),
        "attacks.csv": _csv([*ATTACK_COLUMNS, *measures], attacks),
        "pareto.csv": _csv(
            [*named, *extra],
            [trial_line(row) | _confirmation(row, by_digest) for row in best(rows)],
        ),
        "timing.csv": _csv(["trial", "digest", *_names(row.timing for row in rows)], timing),
    }


def _confirmed_columns(confirmed: Sequence[Row]) -> list[str]:
    if not confirmed:
        return []
    measures = dict.fromkeys(name for row in confirmed for name in row.measures)
    names = [name for column in measures for name in columns.with_ends(column)]
    uppers = [objectives.upper(name) for name in objectives.MAXIMA]
    known = {name for row in confirmed for name in row.numbers}
    names += [name for name in uppers if name in known]
    return [*map(columns.confirmed, names), *map(columns.change, measures)]


def _confirmation(row: Row, confirmed: Mapping[str, Row]) -> Line:
    """What `confirm` found for a point of the front, and how far that is from what the search
    saw.
    """
    if row.digest not in confirmed:
        return {}
    numbers, out = confirmed[row.digest].numbers, Line()
    for column in row.measures:
        out |= {columns.confirmed(name): numbers.get(name) for name in columns.with_ends(column)}
        found, seen = numbers.get(column), row.numbers.get(column)
        out[columns.change(column)] = None if found is None or seen is None else found - seen
    uppers = map(objectives.upper, objectives.MAXIMA)
    return out | {columns.confirmed(name): numbers.get(name) for name in uppers}
