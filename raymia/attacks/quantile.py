from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.point.space import Range
from raymia.signals.view import View

LEVELS = (0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Quantile(Attack):
    """How far the log-odds of the label lie above what is usual of a non-member with such a
    record and label. No shadows: one regression on records that are known to be no members.

    phi = log p_y - log(1 - p_y). Boosted trees predict the quantiles q_l(x, y), l = 0.5, 0.75 and
    0.9, of phi over the population, from the first principal components of the record and its
    label; the score is phi - mean_l q_l(x, y). Of few records the trees stay near constants, and
    the score near that of `loss`.

    Source: Bertran, Tang, Kearns, Morgenstern, Roth & Wu, Scalable Membership Inference Attacks
    via Quantile Regression, NeurIPS 2023.

    Departures: the paper learns one quantile for each FPR, with a network on images and boosted
    trees on tables, and its code can fit a Gaussian and take them from there; here one score, a
    mean over three of them, ranks for all FPRs, and trees, not tuned, see principal components
    of whatever the records are. The paper's code takes z_y - max_c z_c, c != y, of images and phi
    of tables; here it is phi of both.
    """

    cite: ClassVar[str] = (
        "@inproceedings{bertran2023quantile, title={Scalable Membership Inference Attacks via "
        "Quantile Regression}, author={Bertran, Martin and Tang, Shuai and Kearns, Michael and "
        "Morgenstern, Jamie and Roth, Aaron and Wu, Zhiwei Steven}, booktitle={NeurIPS}, "
        "year={2023}}"
    )
    standard: ClassVar[bool] = True
    without_shadows: ClassVar[bool] = True

    trees: Annotated[int, Range(10, 500, log=True, least=1)] = 60

    def traits(self) -> Traits:
        return Traits(needs={"logits", "record"}, wants={"population"})

    def score(self, view: View, rng: Rng) -> Array:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        x = np.column_stack([view.target["record"], view.labels])
        known, phi = x[view.population], view.log_odds
        usual = np.zeros(len(view.asked))
        with threadpool_limits(1):  # one thread: the same bits everywhere
            for level in LEVELS:
                trees = HistGradientBoostingRegressor(
                    loss="quantile",
                    quantile=level,
                    max_iter=self.trees,
                    max_leaf_nodes=6,
                    min_samples_leaf=max(10, len(known) // 20),
                    categorical_features=[x.shape[1] - 1] if view.labels.max() < 255 else None,
                    early_stopping=False,
                    random_state=int(rng.integers(2**31)),
                ).fit(known, phi[view.population])
                usual += trees.predict(x[view.asked]) / len(LEVELS)
        return np.asarray(phi[view.asked] - usual)
