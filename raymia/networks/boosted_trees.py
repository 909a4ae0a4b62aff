from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from raymia.point.space import Range
from raymia.training.architecture import Estimator


@dataclass(frozen=True)
class BoostedTrees(Estimator):
    """Gradient boosting of scikit-learn on binned features: `iterations` trees (one a class) of
    `leaves` leaves with `leaf` records or more, each shrunk by `lr`.

    Source: Ke et al., LightGBM, NeurIPS 2017; HistGradientBoostingClassifier, whose defaults
    these are. Its probabilities are floored at 1e-7.

    Departures: it never stops early, as scikit-learn does on more than 10,000 records.
    """

    cite: ClassVar[str] = (
        "@inproceedings{ke2017lightgbm, title={LightGBM: A Highly Efficient Gradient Boosting "
        "Decision Tree}, author={Ke, Guolin and Meng, Qi and Finley, Thomas and Wang, Taifeng and "
        "Chen, Wei and Ma, Weidong and Ye, Qiwei and Liu, Tie-Yan}, booktitle={NeurIPS}, "
        "year={2017}}"
    )

    iterations: Annotated[int, Range(10, 1000, log=True, least=1, most=100_000)] = 100
    lr: Annotated[float, Range(0.01, 1.0, log=True, least=1e-6)] = 0.1
    leaves: Annotated[int, Range(2, 256, log=True, least=2)] = 31
    leaf: Annotated[int, Range(1, 256, log=True, least=1)] = 20
    l2: Annotated[float, Range(0.0, 10.0, least=0.0)] = 0.0

    def estimator(self, records: int, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=self.iterations,
            learning_rate=self.lr,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.leaf,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=seed,
        )
