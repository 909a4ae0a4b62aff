"""From what was measured and what somebody declares to what it means: `script.js` has the same
function once more, for other declarations.

Source: the form measured / declared / combined is that of LeakPro's risk statement (pull request
445). Bayes' rule for a prior share of members, as Jayaraman et al., Revisiting Membership
Inference Under Realistic Assumptions, 2021.
"""

from typing import NamedTuple

PRIOR = 0.1  # until somebody declares another


class Combined(NamedTuple):
    """`precision`: of the people who are called members, the share who are; `lift`: over the
    prior; `found`: members that are called so; `accused`: others that are called so.
    """

    precision: float | None
    lift: float | None
    found: float
    accused: float


def combined(tpr: float, fpr: float, prior: float, people: float) -> Combined:
    """Of an attack with these rates, among people of whom a share `prior` are members: `people`
    members, and as many others as that share leaves.
    """
    found = people * tpr
    accused = people * (1 - prior) / prior * fpr if prior > 0 else 0.0
    precision = found / (found + accused) if found + accused else None
    return Combined(precision, None if precision is None else precision / prior, found, accused)
