"""The HTML of what the page says: figures, tables and the JSON that the script reads, set by the
template.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from raymia.point.objectives import AUC
from raymia.report.page import declared, figures, front, svg, warned, words
from raymia.report.page.points import Points
from raymia.results.row import Row

Seen = Sequence[tuple[Row, Mapping[str, Any]]]


def html(whole: Mapping[str, Any], seen: Seen, why: str) -> str:
    """`whole`: of `data.said`; `seen`: of `evidence.several`, and why it is not more."""
    from markupsafe import Markup

    points: Points = whole["points"]
    most, least = whole["bars"]["most"], whole["bars"]["least"]
    looked = [
        {**one, "name": words.named(row), "mark": points.marks[row.defense], "row": row}
        for row, one in seen
    ]
    risk = [_risk(row, one) for row, one in seen]
    labels = list(dict.fromkeys(label for card in whole["cards"].values() for label, _ in card))
    live = {
        "measure": whole["measure"],
        "options": whole["options"],
        "labels": labels,
        "cards": {
            trial: [[labels.index(label), text] for label, text in card]
            for trial, card in whole["cards"].items()
        },
        "names": whole["names"],
        "yaml": split(whole["recipes"]),
        "risk": risk,
    }
    drawn = {
        "wide": front.figure(points, front.WIDE, most, least),
        "narrow": front.figure(points, front.NARROW, most, least),
        "roc": figures.roc(looked) if looked else "",
        "budgets": figures.budgets(points),
        "knobs": figures.knobs(points),
        "confidence": _confidence(looked),
    }
    return str(
        template().render(
            whole,
            drawn=_marked(drawn, Markup),
            legend=[
                {"arm": words.arm(name), "mark": Markup(figures.mark(which))}
                for name, which in points.marks.items()
                if any(row.defense == name for row in points.done)
            ],
            mark=lambda defense: Markup(figures.mark(points.marks.get(defense, 1))),
            key=lambda i, which: Markup(figures.key(i, which)),
            symbols=Markup(svg.symbols()),
            looked=looked,
            warnings=[*whole["warnings"], *warned.groups(seen)],
            rate=words.rate,
            why=why,
            caption=front.CAPTION,
            risk=risk,
            combined=declared.combined,
            prior=declared.PRIOR,
            shade=_shade,
            is_auc=points.metric == AUC.column,
            live=Markup(
                json.dumps(live, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
            ),
            style=Markup(text("style.css")),
            script=Markup(text("script.js")),
        )
    )


def split(recipes: Mapping[int, str]) -> dict[str, Any]:
    """Texts as what all begin with, the lines of each, and those that all end with: 500 sweep
    files differ in three lines. A text is `first`, its number and a line's end, and `head`, its
    `own` and `tail`.
    """
    lines = {trial: text.splitlines(keepends=True)[1:] for trial, text in recipes.items() if text}
    every = list(lines.values())
    if not every:
        return {"first": "", "head": "", "own": {}, "tail": ""}
    some = next(iter(lines))
    shortest = min(map(len, every))
    first = next((i for i in range(shortest) if len({t[i] for t in every}) > 1), shortest)
    rest = shortest - first
    last = next((i for i in range(rest) if len({t[-1 - i] for t in every}) > 1), rest)
    return {
        "first": recipes[some].splitlines()[0].removesuffix(str(some)),
        "head": "".join(every[0][:first]),
        "own": {t: "".join(text[first : len(text) - last]) for t, text in lines.items()},
        "tail": "".join(every[0][len(every[0]) - last :]),
    }


def _risk(row: Row, one: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured of a point, for the block that combines it with what is declared."""
    return {
        "trial": row.trial,
        "name": words.named(row),
        "attack": one["attack"],
        "members": row.members or 0,
        "rates": [[fpr, rate.value, rate.lo, rate.hi] for fpr, rate in one["rates"]],
    }


def _confidence(looked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    top = max((max(share) for one in looked for share in one["confidence"]), default=1.0)
    return [
        {"name": one["name"], "svg": figures.confidences(one["confidence"], one["name"], top)}
        for one in looked
    ]


def _marked(value: Any, markup: Any) -> Any:
    """Figures are markup already; names beside them are not."""
    if isinstance(value, Mapping):
        return {
            key: markup(one)
            if key not in ("name", "arm", "knob", "other") and isinstance(one, str)
            else one
            if isinstance(one, str)
            else _marked(one, markup)
            for key, one in value.items()
        }
    return [_marked(one, markup) for one in value]


def _shade(value: float | None) -> int:
    """Of ten shades that of an AUC: 0 for guessing and below, 9 for certainty."""
    return 0 if value is None else max(0, min(9, round((value - 0.5) * 20)))


def _code(text: str) -> Any:
    """What stands between backticks is set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def text(name: str) -> str:
    """A file of this folder."""
    return resources.files("raymia.report.page").joinpath(name).read_text()


@cache
def template(name: str = "template.html.j2") -> Any:
    """A template of this folder."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _code
    return environment.from_string(text(name))
