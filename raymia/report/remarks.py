"""What a reader of one line of a table must not overlook."""

from collections.abc import Collection, Iterable

from raymia.verdict import learning
from raymia.verdict.learning import Cells


def undefended(trials: Iterable[Cells], metric: str) -> Cells | None:
    """The first finished trial without any defense, to compare all others with."""
    bare = (t for t in trials if t["defense"] == "none" and t["state"] == "done")
    return next((t for t in bare if t.get(metric) is not None), None)


def remark(trial: Cells, bare: Cells | None, metric: str, shown: Collection[int]) -> str:
    """Of a trial that is one of the `shown`, or stands beside them to compare with; empty where
    there is nothing to say.
    """
    if trial["state"] != "done":
        return f"{trial['state']}: {trial.get('reason') or 'no reason was kept'}"
    said = [learning.note(trial)]
    if trial["trial"] not in shown:
        said.append("without any defense, to compare with")
    elif bare is not None and trial["defense"] != "none":
        more = (trial.get(metric) or 0.0) > bare[metric]
        said += ["leaks more than no defense"] if more else []
    return "; ".join(filter(None, said))
