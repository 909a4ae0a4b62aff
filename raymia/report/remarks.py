"""What a reader of one line of a table must not overlook."""

from collections.abc import Collection, Iterable

from raymia.point import columns
from raymia.point.objectives import AUC, CANARY, TPR
from raymia.verdict import learning
from raymia.verdict.learning import Cells

# measures that a table shows where some trial has them -> what they are called
BESIDE = {
    TPR.column: "TPR at FPR 1%",
    columns.canary("auc"): "canary AUC",
    CANARY: "canary TPR at FPR 1%",
}


def beside(trials: Iterable[Cells], metric: str) -> dict[str, str]:
    """Of these measures those that are known of some trial and not shown as the metric."""
    known = {name for trial in trials for name in BESIDE if trial.get(name) is not None}
    return {name: said for name, said in BESIDE.items() if name in known and name != metric}


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
    worst, mean = trial.get(columns.canary("auc")), trial.get(AUC.column)
    if worst is not None and mean is not None and worst > mean:
        said.append(f"canaries are found with AUC {worst:.3f}, the average record with {mean:.3f}")
    return "; ".join(filter(None, said))
