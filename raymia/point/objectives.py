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
OBJECTIVES = (ACCURACY, AUC)
# the largest AUC that the strongest attack may have, one-sided 97.5%: what a gate goes by
UPPER = "max_attack_auc_upper"
COLUMNS = tuple(objective.column for objective in OBJECTIVES)
