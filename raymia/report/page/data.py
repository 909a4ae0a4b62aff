"""What the page says, as a plain dict: everything but the markup and the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC, CANARY, TPR
from raymia.point.point import strength
from raymia.records.account import sentences
from raymia.report import compare, remarks
from raymia.report.page import decision, runs, words
from raymia.report.page.frameworks import REQUIREMENTS
from raymia.report.page.limits import limits
from raymia.report.page.points import Points, budget, did
from raymia.report.page.recipes import alone
from raymia.report.page.warned import warnings
from raymia.results.row import Row

BAR = 0.6  # the largest AUC that is accepted until somebody says another
SEVERAL = 4  # points that are looked at in detail
LOST = 5.0  # points of accuracy that an arm may cost where its attacks are compared

Table = dict[str, Any]


def said(
    name: str,
    rows: Sequence[Row],
    confirmed: Sequence[Row],
    sweep: str,
    read: Mapping[str, Any],
    printed: Sequence[compare.Compared],
) -> dict[str, Any]:
    """Texts and tables of the page; `chosen` are the rows to look at in detail, `points` the
    rows as an object for the figures.
    """
    points = Points(rows, confirmed, runs.asked(sweep))
    options = [points.option(row) for row in points.useful]
    most, least = bar(points), 0.0
    sentences_, trial = decision.answer(options, points.measure, most, least)
    return {
        "name": name,
        "subject": ", ".join(sorted({f"{row.dataset} with {row.network}" for row in rows})),
        "counted": points.counted(),
        "front_size": len(points.front),
        "means": runs.SAID if len(points.rows) < len(points.runs) else "",
        "warnings": warnings(points),
        "question": f"Which defense, at which strength, costs the least accuracy for the "
        f"{points.measure} that you accept?",
        "measure": points.measure,
        "bars": {"most": most, "least": least, **_range(points)},
        "answer": sentences_,
        "trial": trial,
        "options": options,
        "cards": {row.trial: points.card(row) for row in points.done},
        "names": {row.trial: words.named(row) for row in points.rows},
        "recipes": {row.trial: alone(row, name) for row in points.done},
        "front": _front(points),
        "low": _low(points),
        "heat": _heat(points),
        "trials": _trials(points),
        "published": {"head": compare.SHOWN, "rows": [compare.shown(one) for one in printed]},
        "limits": limits(points),
        "requirements": REQUIREMENTS,
        "read": sentences(read) if read else [],
        "labels": list(read.get("labels", ())) if read else [],
        "sweep": sweep,
        "versions": sorted({f"{k} {v}" for row in rows for k, v in row.versions.items()}),
        "chosen": chosen(points, trial),
        "points": points,
    }


def bar(points: Points) -> float:
    """The bar of the first sentence: of another measure than the AUC, half of what is found
    without defense.
    """
    if points.metric == AUC.column:
        return BAR
    found = points.bare.numbers.get(points.metric) if points.bare else None
    return round((found if found is not None else 0.1) / 2, 3)


def _range(points: Points) -> dict[str, float]:
    """From where to where the bar may go."""
    if points.metric == AUC.column:
        return {"low": 0.5, "high": 1.0, "step": 0.005}
    values = [row.numbers[points.metric] or 0.0 for row in points.done]
    return {"low": 0.0, "high": max([1.0, *values]), "step": 0.001}


def chosen(points: Points, trial: int | None) -> list[Row]:
    """Without defense, the answer, and both ends of the front."""
    by_trial = {row.trial: row for row in points.rows}
    asked = [points.bare, by_trial.get(-1 if trial is None else trial)]
    asked += [*points.front[-1:], *points.front[:1]]
    return list({row.trial: row for row in asked if row is not None}.values())[:SEVERAL]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], points: Sequence[Row]) -> Table:
    """Columns that are empty everywhere are left out. Each line knows its trial."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return {
        "head": [head[i] for i in kept],
        "rows": [
            {"trial": point.trial, "defense": point.defense, "cells": [row[i] for i in kept]}
            for row, point in zip(rows, points, strict=True)
        ],
    }


def _front(points: Points) -> Table:
    """The front, and the undefended point beside it."""
    head = ["trial", "defense", "strength", "test accuracy", points.measure, "at most"]
    head += ["points of accuracy lost", "confirmed accuracy", f"confirmed {points.measure}"]
    more = {} if points.metric == AUC.column else {AUC.column: words.measure(AUC.column)}
    more |= {k: v for k, v in remarks.BESIDE.items() if k != points.metric}
    more |= {columns.MAX_REFERENCE: "reference AUC"}
    head += [*more.values(), "strongest attack", "epsilon", "remark"]
    lines = []
    for row in points.shown:
        again = points.again.get(row.digest)
        cost, known = points.cost(row), again.numbers if again else {}
        lines.append(
            [
                str(row.trial),
                words.arm(row.defense),
                strength(row.knobs),
                words.interval(row.numbers, ACCURACY.column),
                words.interval(row.numbers, points.metric),
                words.number(words.highest(row.numbers, points.metric)),
                words.number(cost, 1),
                _again(row, known, ACCURACY.column),
                _again(row, known, points.metric),
                *(words.interval(row.numbers, name) for name in more),
                row.worst_attack,
                budget(row),
                points.remark(row),
            ]
        )
    return _table(head, lines, points.shown)


def _again(row: Row, again: Mapping[str, float | None], name: str) -> str:
    """`0.880 (0.850 to 0.900), -0.020`: what was confirmed, and that less the search's number."""
    before, after = row.numbers.get(name), again.get(name)
    change = "" if before is None or after is None else f", {after - before:+.3f}"
    return words.interval(again, name) + change


def _low(points: Points) -> Table:
    """What is found where hardly anyone may be accused, as the rows have it."""
    names = [TPR.column, "max_tpr_at_fpr_0.001", "advantage", CANARY]
    head = ["trial", "defense", "strength", *map(words.measure, names)]
    lines = [
        [
            str(row.trial),
            words.arm(row.defense),
            strength(row.knobs),
            *(words.interval(row.numbers, name) for name in names),
        ]
        for row in points.shown
    ]
    return _table(head, lines, points.shown)


def _heat(points: Points) -> dict[str, Any]:
    """Attacks down, arms across: the AUC of every attack on one point of each arm, its most
    private one of those that cost few points of accuracy, else its most accurate one.
    """
    arms = {defense: _of_arm(points, defense) for defense in points.marks}
    rows = {defense: row for defense, row in arms.items() if row is not None}
    attacks = columns.attacks({name for row in rows.values() for name in row.numbers})
    return {
        "arms": [
            {"defense": defense, "arm": words.arm(defense), "at": strength(row.knobs), "row": row}
            for defense, row in rows.items()
        ],
        "attacks": [
            {
                "attack": attack,
                "cells": [_cell(row, columns.auc(attack)) for row in rows.values()],
            }
            for attack in attacks
        ],
    }


def _cell(row: Row, name: str) -> dict[str, Any]:
    value = row.numbers.get(name)
    return {"text": words.number(value), "said": words.interval(row.numbers, name), "value": value}


def _of_arm(points: Points, defense: str) -> Row | None:
    mine = [row for row in points.useful if row.defense == defense]
    cheap = [row for row in mine if (cost := points.cost(row)) is not None and cost <= LOST]
    if cheap:
        return min(cheap, key=lambda row: row.numbers[points.metric] or 0.0)
    return max(mine, key=lambda row: row.numbers[ACCURACY.column] or 0.0, default=None)


def _trials(points: Points) -> Table:
    head = ["trial", "digest", "state", "defense", "strength", "train accuracy", "test accuracy"]
    head += [points.measure, "strongest attack", "what it did", "notes"]
    lines = [
        [
            str(row.trial),
            row.digest[:12],
            row.state,
            words.arm(row.defense),
            strength(row.knobs),
            words.number(row.numbers.get("train_accuracy")),
            words.interval(row.numbers, ACCURACY.column),
            words.interval(row.numbers, points.metric),
            row.worst_attack,
            did(row),
            "; ".join(filter(None, [row.reason, *row.notes])),
        ]
        for row in points.runs
    ]
    return _table(head, lines, points.runs)
