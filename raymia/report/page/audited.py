"""The page of an audit."""

from collections.abc import Mapping, Sequence
from typing import Any

from raymia.report.page import figures
from raymia.report.page.setting import template, text


def html(
    sentences: Sequence[str],
    drawn: Sequence[Mapping[str, Any]],
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> str:
    """One file that needs nothing else. `drawn`: of which attacks there is a ROC, as `figures.roc`
    takes them.
    """
    from markupsafe import Markup

    lines = [Markup(figures.key(i, one["mark"])) for i, one in enumerate(drawn)]
    return str(
        template("audit.html.j2").render(
            sentences=sentences,
            roc=Markup(figures.roc(drawn)),
            legend=list(zip(lines, (one["name"] for one in drawn), strict=True)),
            head=head,
            rows=rows,
            style=Markup(text("style.css")),
        )
    )
