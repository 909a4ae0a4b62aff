"""DIR/report.html: what was run, what came out, what the numbers do not say; one file that
needs nothing else.

The bytes depend on the rows and the sweep file alone: no dates, no random identifiers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC, COLUMNS
from raymia.point.point import strength
from raymia.records.account import sentences
from raymia.report import compare, remarks
from raymia.report.plot import CAPTION, plot
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.row import Row, best
from raymia.results.tables import trial_line
from raymia.verdict import learning

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; margin-top: 2rem; } figure { margin: 1rem 0; }
svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.6rem; text-align: left;
  vertical-align: top; }
th { border-bottom: 2px solid #888; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; }
dt { font-weight: 600; } dd { margin: 0 0 0.4rem 1.5rem; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
.warning { border: 2px solid #b00020; color: #b00020; padding: 0.5rem 1rem; font-weight: 600; }
.note { border-left: 4px solid #b8860b; padding-left: 1rem; }
"""
_COLUMNS = {
    "trial": "the number of the trial in the sweep; every trial trains all its models from scratch",
    "digest": "the first digits of the name of its file in trials/",
    "defense": "the defenses of the recipe, joined by +; none is ordinary training",
    "knobs": "how strongly each defense was set",
    "test accuracy": "how many of the records that the model never trained on it gets right, with "
    "a 95% interval",
    "max attack AUC": "how well the strongest attack tells members from non-members, with a 95% "
    "interval: 0.5 is "
    "guessing, 1 is certainty; lower is better. It is chosen on one half of the records and "
    "scored on the other",
    "TPR at FPR 1%": "how many members the strongest attack finds while it calls at most one in a "
    "hundred non-members one, all targets together: 0.01 is guessing. Chosen on one half of the "
    "records and counted on the other; empty where there are too few non-members",
    "canary AUC": "the same AUC on the planted records alone, by the attack that is the strongest "
    "on the others: the worst case, where the AUC beside it is an average",
    "worst attack": "the attack with the highest AUC on all judged records",
    "reference AUC": "how well the best attack tells the records that a defense holds out for "
    "itself (a reference, a public half) from non-members: they leak as well. Empty where none are "
    "held out",
    "epsilon": "the differential-privacy budget that training claims, where it has one; smaller "
    "is stronger",
    "confirmed": "the same two numbers after training again with fresh seeds; empty where `raymia "
    "confirm` has not run",
    "change": "the confirmed number less that of the search: how much of it was luck",
}


def write(
    folder: Folder | Path | str | Location,
    digests: Sequence[str] | None = None,
    printed: Sequence[compare.Compared] = (),
) -> Path | Location:
    """Write `report.html`; its path. `digests`: the points of the current sweep (None: every
    row there is). `printed`: what a paper published, beside it.

    The caller holds the folder's lock. Raises EnvironmentFault where a row does not verify or
    the disk is in the way.
    """
    folder = folder if isinstance(folder, Folder) else Folder(folder)
    text = page(
        folder.path.resolve().name,
        folder.shown(digests),
        folder.confirmed(),
        folder.read_sweep() or "",
        folder.read_json("account.json"),
        printed,
    )
    folder.put("report.html", text.encode())
    return folder.path / "report.html"


def page(
    name: str,
    rows: Sequence[Row],
    confirmed: Sequence[Row],
    sweep: str,
    read: Mapping[str, Any] | None = None,
    printed: Sequence[compare.Compared] = (),
) -> str:
    """The HTML of a report."""
    front, found = best(rows), {row.digest: row for row in confirmed}
    body = [
        f"<h1>{escape(name)}</h1>",
        _warning(rows),
        _opening(rows, front),
        f"<h2>The front</h2><figure>{plot(rows, front, found)}"
        f"<figcaption>{escape(CAPTION)}</figcaption></figure>",
        _front_table(rows, front, found),
        _help(),
        _limits(rows, front, found),
        _published(printed),
        "<h2>All trials</h2>" + _trials_table(rows),
        "<h2>AUC of every attack</h2>" + _attacks_table(rows),
        _account(read or {}),
        f"<h2>What was run</h2><pre>{escape(sweep or 'sweep.yaml is not there')}</pre>"
        + _versions(rows),
    ]
    head = f'<meta charset="utf-8"><title>{escape(name)}: raymia</title><style>{_STYLE}</style>'
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}{viewport}</head><body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _account(read: Mapping[str, Any]) -> str:
    """What was read of the data."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in sentences(read)) if read else ""
    return f"<h2>What was read</h2><ul>{lines}</ul>" if lines else ""


def _published(printed: Sequence[compare.Compared]) -> str:
    """Beside what a paper printed."""
    if not printed:
        return ""
    return "<h2>Beside the published numbers</h2>" + _table(
        compare.SHOWN, map(compare.shown, printed)
    )


def _count(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials"


def _said(row: Row | None, name: str) -> str:
    """`0.612 (0.590 to 0.634)`; empty where unknown."""
    if row is None or (value := row.numbers.get(name)) is None:
        return ""
    low, high = (row.numbers.get(end) for end in columns.ends(name))
    return f"{value:.3f}" + (
        f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    def cell(text: str) -> str:
        kind = ' class="number"' if re.match(r"[-+]?\d", text) else ""
        return f"<td{kind}>{escape(text)}</td>"

    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(map(cell, line))}</tr>\n" for line in lines)
    whole = f"<thead><tr>{top}</tr></thead><tbody>\n{body}</tbody>"
    return f'<div class="wide"><table>{whole}</table></div>'


def _warning(rows: Sequence[Row]) -> str:
    """What must be read before any number."""
    said = learning.warning(map(trial_line, rows))
    return f'<p class="warning" role="alert">{escape(said)}</p>' if said else ""


def _opening(rows: Sequence[Row], front: Sequence[Row]) -> str:
    states = Counter(row.state for row in rows)
    counted = (
        ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
        or "no trial has finished yet"
    )
    subjects = sorted({f"{row.dataset} with {row.network}" for row in rows})
    out = (
        f"<p>{_count(len(rows))} on {escape(', '.join(subjects) or 'nothing yet')}: "
        f"{escape(counted)}. "
    )
    out += (
        f"{len(front)} of them stand on the front: no other trial has a better accuracy and a "
        "lower attack AUC.</p>"
    )
    bare = [row for row in rows if row.state == "done" and row.defense == "none"]
    if bare and _said(bare[0], ACCURACY.column):
        accuracy, auc = _said(bare[0], ACCURACY.column), _said(bare[0], AUC.column)
        out += (
            f"<p>Without any defense: test accuracy {accuracy}, max attack AUC "
            f"{auc or 'unknown'}.</p>"
        )
    return out


def _front_table(rows: Sequence[Row], front: Sequence[Row], confirmed: Mapping[str, Row]) -> str:
    """The front, and the undefended trial beside it."""
    named = {ACCURACY.column: "accuracy", AUC.column: "AUC"}
    measures = [name for name in (front[0].measures if front else COLUMNS)]
    said = [named.get(name, name.replace("_", " ")) for name in measures]
    metric = next(name for name in measures if name != ACCURACY.column)
    bare = remarks.undefended(map(trial_line, rows), metric)
    shown = {row.trial for row in front}
    beside = [row for row in rows if bare and row.trial == bare["trial"] and row.trial not in shown]
    more = remarks.beside(map(trial_line, [*front, *beside]), metric)
    head = ["trial", "digest", "defense", "knobs", "test accuracy", "max attack AUC"]
    head += [*more.values(), "worst attack", "reference AUC", "epsilon"]
    head += [*(f"confirmed {name}" for name in said), *(f"change of {name}" for name in said)]
    lines = [
        [
            *_name(row),
            row.defense,
            strength(row.knobs),
            _said(row, ACCURACY.column),
            _said(row, AUC.column),
            *(_said(row, name) for name in more),
        ]
        + [row.worst_attack, _said(row, columns.MAX_REFERENCE), _budget(row)]
        + [_said(confirmed.get(row.digest), name) for name in measures]
        + [_change(row, confirmed.get(row.digest), name) for name in measures]
        + [remarks.remark(trial_line(row), bare, metric, shown)]
        for row in [*front, *beside]
    ]
    return _table([*head, "remark"], lines)


def _budget(row: Row) -> str:
    value = row.numbers.get("epsilon")
    return "" if value is None else columns.epsilon(value)


def _change(seen: Row, again: Row | None, name: str) -> str:
    """`+0.012`: the confirmed number less that of the search; empty where one is unknown."""
    before, after = seen.numbers.get(name), again.numbers.get(name) if again else None
    return "" if before is None or after is None else f"{after - before:+.3f}"


def _name(row: Row) -> list[str]:
    return [str(row.trial), row.digest[:12]]


def _help() -> str:
    words = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _COLUMNS.items()
    )
    return f"<details open><summary>What the columns mean</summary><dl>{words}</dl></details>"


def _limits(rows: Sequence[Row], front: Sequence[Row], confirmed: Mapping[str, Row]) -> str:
    """What the numbers do not say."""
    missing = sum(row.digest not in confirmed for row in front)
    said = [
        f"{missing} of the {len(front)} points of the front are not confirmed. A point stands "
        "there partly because it was lucky: the best of many noisy numbers looks better than it "
        "is (the winner's curse). `raymia confirm` trains the front again with fresh seeds; "
        "decide on those numbers."
        if missing
        else "The front was trained again with fresh seeds: decide on the confirmed numbers. "
        "Those of the search look "
        "better than they are, because the points were chosen by them (the winner's curse).",
        "An AUC is that of the attacks that ran, not of every attack there could be: a low one is "
        "no proof of privacy.",
        "An AUC is an average over records. Single records can be far more exposed than it says; "
        "see the TPR at low FPR, which is empty where there are too few non-members to say, plant "
        "canaries, and ask for single records (`raymia scores DIR --trial N --records`).",
        "The intervals are of the records, given the trained models. How much another training run "
        "would differ is seen in the spread over targets and in `raymia confirm`.",
    ]
    if any(row.numbers.get("epsilon") is not None for row in rows):
        said.append(
            "An epsilon is that of one training run: the search for the knobs on the same data is "
            "not in it."
        )
    absent = sum(row.state != "done" for row in rows)
    if absent:
        said.append(
            f"{_count(absent)} gave no numbers and cannot stand on the front; the next table says "
            "why."
        )
    items = "".join(f"<li>{escape(text)}</li>" for text in said)
    return f'<h2>What the numbers do not say</h2><ul class="note">{items}</ul>'


def _trials_table(rows: Sequence[Row]) -> str:
    head = [
        "trial",
        "digest",
        "state",
        "reason",
        "defense",
        "knobs",
        "train accuracy",
        "test accuracy",
    ]
    lines = (
        [
            *_name(row),
            row.state,
            row.reason,
            row.defense,
            strength(row.knobs),
            _said(row, "train_accuracy"),
        ]
        + [_said(row, ACCURACY.column), _said(row, AUC.column), _said(row, "plain_max_auc")]
        + [row.worst_attack, _said(row, columns.MAX_REFERENCE), _did(row), "; ".join(row.notes)]
        for row in rows
    )
    more = ["max attack AUC", "plain maximum", "worst attack", "reference AUC", "did", "notes"]
    return _table([*head, *more], lines)


def _did(row: Row) -> str:
    """What the defenses did: `relaxloss: 58% relaxed`."""
    return "; ".join(
        f"{part}: {', '.join(f'{share:.0%} {what}' for what, share in done.items())}"
        for part, done in columns.did(row.numbers).items()
    )


def _attacks_table(rows: Sequence[Row]) -> str:
    """Means over targets; one line a trial, one column an attack."""
    attacks = columns.attacks({name for row in rows for name in row.numbers})
    done = [row for row in rows if row.state == "done"]
    lines = (
        [*_name(row), row.defense, *(_said(row, columns.auc(attack)) for attack in attacks)]
        for row in done
    )
    return _table(["trial", "digest", "defense", *attacks], lines)


def _versions(rows: Sequence[Row]) -> str:
    seen = sorted({f"{name} {version}" for row in rows for name, version in row.versions.items()})
    return f"<p>Versions: {escape(', '.join(seen) or 'none recorded')}.</p>"
