from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import documents, network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Han(Architecture):
    """A hierarchical attention network: a recurrent layer and attention over the words of each
    sentence, then over the sentences of a document; `width` units a direction, 100 features.

    The vectors of the words are constants of the data set, and not trained.

    Source: Yang et al., NAACL 2016, equations 1 to 10; sizes and initial values as in the code of
    Fang & Kim, UAI 2024 (50 units).

    Shapes: [sentences, words, vector]. Departures: the paper trains its vectors and knows how long
    a sentence is; as in that code vectors are frozen, and recurrent layers and attention go over
    padding, too, whose vector is 0.
    """

    documents: ClassVar[bool] = True
    cite: ClassVar[str] = (
        "@inproceedings{yang2016han, title={Hierarchical Attention Networks for Document "
        "Classification}, author={Yang, Zichao and Yang, Diyi and Dyer, Chris and He, Xiaodong "
        "and Smola, Alex and Hovy, Eduard}, booktitle={NAACL}, year={2016}}"
    )

    width: Annotated[int, Range(8, 200, least=1)] = 50

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        vector, both = shape[-1], 2 * self.width
        backbone = torch.nn.Sequential(
            *(documents.Gru(vector, self.width), documents.Attention(both, 0.25)),
            *(documents.Gru(both, self.width), documents.Attention(both, 0.1)),
        )
        return network.classifier(backbone, both, classes)
