"""raymia.audit: what the attacks find of a finished model, as a data frame and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raymia.errors import EnvironmentFault, SweepError
from raymia.report.page import audited, evidence, figures
from raymia.report.terminal import interval
from raymia.trial import audit as auditing
from raymia.trial.audit import Found
from raymia.verdict import metrics

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
DRAWN = 3  # attacks whose ROC is drawn


def audit(
    model: Any,
    train: tuple[Any, Any],
    held_out: tuple[Any, Any],
    train_model: Callable[..., Any] | None = None,
    shadows: int = 16,
    attacks: str | Sequence[Any] = "standard",
    reserve: float = 0.2,
    seed: int = 0,
    out: str | Path | None = None,
) -> Audit:
    """The attacks on a finished model, told by which records it was trained.

    `model`: a module of torch, the Path of one in TorchScript, an estimator with `predict_proba`,
    or a function of records x [n, ...] that says logits [n, C]. `train` and `held_out`: (x, y)
    each. `train_model(x, y)` trains a model as this one was trained, and is given `seed` where it
    takes one: by it `shadows` models are trained on halves of all records; without it the attacks
    that need shadows are left out, and no threshold is fitted. `attacks`: as in a sweep file.
    `reserve`: the share of the held-out records that is the attackers' population, as RMIA needs
    one, and not judged. `out`: a new folder for the page and the tables. Raises SweepError where
    something does not fit.
    """
    from threadpoolctl import threadpool_limits

    if out is not None:
        _check_new(Path(out))
    records = auditing.Records.of(train, held_out)
    with threadpool_limits(1):  # the same bits everywhere
        found = auditing.audit(model, records, train_model, shadows, attacks, reserve, seed)
    made = Audit(found, records)
    if out is not None:
        made.write(out)
    return made


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found. `found.split.member` [M, S] says who trained on which records, the members of
    the audited model first; model 0 is that one.
    """

    found: Found
    records: auditing.Records

    @property
    def numbers(self) -> dict[str, float | None]:
        """Accuracies, and the AUC of the strongest attack (chosen on one half of the records, taken
        on the other), with 95% intervals over records; the upper end is one-sided 97.5%.
        """
        return dict(self.found.numbers)

    @property
    def attacks(self) -> pd.DataFrame:
        """A row for every attack, the strongest first, with the columns of attacks.csv."""
        import pandas as pd

        rows = [{"attack": v.column, **v.line} for v in self.found.verdicts]
        return pd.DataFrame(rows).sort_values("auc", ascending=False, ignore_index=True)

    @property
    def scores(self) -> pd.DataFrame:
        """A row for every record, members first: its number in its file, whether it is a member,
        and what each attack says of it.
        """
        import pandas as pd

        n, members = len(self.records.labels), self.records.members
        number = np.concatenate([np.arange(members), np.arange(n - members)])
        about = {"row": number, "member": np.arange(n) < members, "label": self.records.labels}
        return pd.DataFrame(about | {v.column: v.scores for v in self.found.verdicts})

    def sentences(self) -> Iterator[str]:
        """What came out, for people."""
        numbers, split = self.found.numbers, self.found.split
        members, others = self.records.members, int((split.judged & ~split.member[0]).sum())
        aside = len(split.half) - members - others
        yield (
            f"trained on {members} records: accuracy {interval(numbers, 'train_accuracy')} on "
            f"them, {interval(numbers, 'test_accuracy')} on {others} held-out ones"
            + f" ({aside} more are the attackers' to compare with)"
            * bool(aside)
        )
        if numbers["max_attack_auc"] is not None:
            yield (
                f"strongest attack: AUC {interval(numbers, 'max_attack_auc')} "
                f"({self.found.worst_attack}); 0.5 is guessing"
            )
        if split.models > 1:
            yield (
                f"{split.models - 1} shadows, each trained on half of these {members + others} "
                "records"
            )
        else:
            yield (
                "no shadows: what is stronger was not tried, and no threshold is fitted (balanced "
                "accuracy and advantage are empty; AUC and TPR at an FPR need none)"
            )
        yield from (f"left out: {name}: {why}" for name, why in self.found.left_out.items())
        yield from self.found.notes

    def plot(self) -> str:
        """ROC curves of the strongest attacks on logarithmic axes, as SVG for an HTML page."""
        return figures.roc(self._drawn())

    def _drawn(self) -> list[dict[str, Any]]:
        best = sorted(self.found.verdicts, key=lambda v: -(v.line["auc"] or 0.0))[:DRAWN]
        member = self.found.split.member[0]
        each = [(v.column, v.scores, np.isfinite(v.scores)) for v in best]
        return [
            {
                "name": name,
                "mark": i + 1,
                "roc": evidence.curve(scores[on], member[on]),
                "others": int((on & ~member).sum()),
            }
            for i, (name, scores, on) in enumerate(each)
        ]

    def html(self) -> str:
        """The page: one file that needs nothing else."""
        frame = self.attacks
        known: Any = frame.astype(object).where(frame.notna(), None)
        rows = [
            [
                str(one["attack"]),
                interval(one, "auc"),
                *(_cell(one[name]) for name in SHOWN),
            ]
            for one in known.to_dict(orient="records")
        ]
        return audited.html(list(self.sentences()), self._drawn(), ["attack", "AUC", *SHOWN], rows)

    def write(self, out: str | Path) -> None:
        """report.html, attacks.csv and scores.csv in a new folder."""
        out = Path(out)
        _check_new(out)
        try:
            out.mkdir(parents=True, exist_ok=True)
            self.attacks.to_csv(out / "attacks.csv", index=False, lineterminator="\n")
            (out / "scores.csv").touch(0o600)  # it says who was a member: for its owner alone
            self.scores.to_csv(out / "scores.csv", index=False, lineterminator="\n")
            (out / "report.html").write_text(self.html(), encoding="utf-8")
        except OSError as error:
            raise EnvironmentFault(f"{out}: {error.strerror or error}") from error


SHOWN = ("balanced_accuracy", "advantage", *(f"tpr_at_fpr_{rate}" for rate in metrics.RATES))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"


def _check_new(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise SweepError(f"{out} is there already, and nothing is overwritten; choose another")
