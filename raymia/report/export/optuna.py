"""A study in SQLite."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from raymia.point.objectives import ACCURACY, OBJECTIVES
from raymia.report.export import entries
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.sealed import SCHEMA
from raymia.search import suggest as search
from raymia.study.asked import existing
from raymia.study.sweep import Sweep
from raymia.verdict import learning


def write(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """A study in SQLite, with the parameters and distributions that the search itself shows its
    sampler.
    """
    import optuna

    asked = existing(folder)
    names = _names(asked)
    arms = optuna.distributions.CategoricalDistribution(names)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it logs every study to stderr
    storage = optuna.storages.RDBStorage(entries.sqlite(out / "study.db"))
    try:
        study = optuna.create_study(
            storage=storage, study_name=asked.name, directions=[o.direction for o in OBJECTIVES]
        )
        with warnings.catch_warnings():
            # it means the names
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_user_attr("schema", SCHEMA)
            study.set_metric_names([ACCURACY.column, asked.search.objective["privacy"]])
        for row in rows:
            outcome = search.Outcome.of(row)
            arm, knobs = search.locate(asked, row.as_point.recipe)
            free = {
                search.name(arm, key): search.distribution(domain)
                for key, domain in asked.space(arm).items()
            }
            attributes = (
                "trial",
                "digest",
                "defense",
                "knobs",
                "worst_attack",
                "signals",
                "state",
                "reason",
            )
            made = optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE
                if outcome.known
                else optuna.trial.TrialState.FAIL,
                params={"arm": names[arm]}
                | {search.name(arm, key): value for key, value in knobs.items()},
                distributions={"arm": arms} | free,
                values=list(outcome.values) if outcome.known else None,
                user_attrs={name: getattr(row, name) for name in attributes},
                # what a constant answer beats is on no front: above 0 is not feasible
                system_attrs={"constraints": [1.0 if learning.useless(row.numbers) else -1.0]},
            )
            if (times := entries.times(folder, row)) is not None:
                made.datetime_start, made.datetime_complete = times
            study.add_trial(made)
    finally:
        optuna.logging.set_verbosity(verbosity)
        storage.remove_session()
        storage.engine.dispose()


def _names(asked: Sweep) -> tuple[str, ...]:
    """Of its arms: their defenses, with the arm's number where two are alike."""
    alone = ["+".join(part.name for part in arm) or "none" for arm in asked.arms]
    return tuple(f"{i}: {n}" if alone.count(n) > 1 else n for i, n in enumerate(alone))
