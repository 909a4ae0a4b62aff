from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from raymia.point.space import Range
from raymia.training.architecture import Estimator


@dataclass(frozen=True)
class Forest(Estimator):
    """A random forest of scikit-learn: `trees` of at most `depth`, with `leaf` records or more in
    each leaf, of which every split sees some `features`.

    Source: Breiman, Random Forests, Machine Learning 2001; RandomForestClassifier, whose
    defaults these are. Its probabilities are floored at half a vote, 1 / (2 trees) (where there
    are more classes than trees, 1 / (2 classes)): no vote of a hundred trees says that it is less
    than one in two hundred, and log 0 says nothing that LiRA's normal distributions could fit.
    """

    cite: ClassVar[str] = (
        "@article{breiman2001forests, title={Random Forests}, author={Breiman, Leo}, "
        "journal={Machine Learning}, volume={45}, year={2001}}"
    )

    trees: Annotated[int, Range(10, 1000, log=True, least=1, most=100_000)] = 100
    depth: Annotated[int | None, Range(1, 32, least=1)] = None
    leaf: Annotated[int, Range(1, 64, log=True, least=1)] = 1
    features: Literal["sqrt", "log2", "all"] = "sqrt"

    def estimator(self, records: int, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(
            self.trees,
            max_depth=self.depth,
            min_samples_leaf=self.leaf,
            # not as many as there are rows: where labels are shares, a member has several
            max_samples=records,
            max_features=None if self.features == "all" else self.features,
            random_state=seed,
            n_jobs=1,
        )

    def floor(self, classes: int) -> float:
        return 0.5 / max(self.trees, classes)
