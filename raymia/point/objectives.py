"""What a sweep is judged by: the columns that its search and its front go by, each with its
better direction.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A column of trials.csv, and whether more of it is better."""

    column: str
    more: bool

    @property
    def direction(self) -> str:
        """Optuna's word."""
        return "maximize" if self.more else "minimize"

    def gain(self, value: float) -> float:
        """The value as a number of which more is better."""
        return value if self.more else -value


ACCURACY = Objective("test_accuracy", more=True)
AUC = Objective("max_attack_auc", more=False)
TPR = Objective("max_tpr_at_fpr_0.01", more=False)
OBJECTIVES = (ACCURACY, AUC)
COLUMNS = tuple(objective.column for objective in OBJECTIVES)
# a maximum over attacks -> what it is the maximum of
MAXIMA = {
    AUC.column: "auc",
    TPR.column: "tpr_at_fpr_0.01",
    "max_tpr_at_fpr_0.001": "tpr_at_fpr_0.001",
    "advantage": "advantage",
}
CANARY, EPSILON = "canary_tpr_at_fpr_0.01", "epsilon_lower"
# what `search.objective.privacy` may be, less of each being better
PRIVACY = (*MAXIMA, CANARY, EPSILON)
# how many non-members each half of the records (of canaries: all) must hold for them
LEAST_OTHERS = {TPR.column: 1_000, "max_tpr_at_fpr_0.001": 10_000, CANARY: 100}
# what guessing gives, of what does not give 0
GUESSING = {AUC.column: 0.5, TPR.column: 0.01, CANARY: 0.01, "max_tpr_at_fpr_0.001": 0.001}


def upper(name: str) -> str:
    """The largest that a maximum over attacks may be, one-sided 97.5%: what a gate goes by."""
    return f"{name}_upper"
