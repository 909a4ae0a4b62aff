from dataclasses import dataclass
from typing import Annotated, Any

from raymia.point.space import Range
from raymia.training.architecture import Estimator


@dataclass(frozen=True)
class LogisticRegression(Estimator):
    """A logistic regression of scikit-learn, of several classes at once; `c`: the inverse of how
    much the squares of its weights cost (L2).

    Source: LogisticRegression, whose defaults these are, with up to 5,000 iterations of L-BFGS.
    Its probabilities are floored at 1e-7.
    """

    c: Annotated[float, Range(1e-4, 1e4, log=True, least=1e-12)] = 1.0

    def estimator(self, records: int, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression as Regression

        return Regression(C=self.c, max_iter=5000, random_state=seed)
