"""ArXiv-10 in the file of its authors, with vectors of words from your copy of GloVe."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.errors import SweepError
from raymia.point.schedule import Training
from raymia.readers import published, texts
from raymia.records.data import Data, Dataset

NAMES = (
    *("astro-ph", "cond-mat", "cs", "eess", "hep-ph"),
    *("hep-th", "math", "physics", "quant-ph", "stat"),
)
DOCUMENTS, SHAPE = 100_000, (10, 40)
WORDS, VECTOR = 400_000, 50
FILE, HEAD = "arxiv100.csv", ("title", "abstract", "label")
ORIGIN = "data/ArXiv-10.zip of github.com/ashfarhangi/Protoformer"
GLOVE = "glove.6B.zip of nlp.stanford.edu/projects/glove"


@dataclass(frozen=True, kw_only=True)
class Arxiv10(Dataset):
    """100,000 abstracts of arXiv, 10 subjects, as 10 sentences of 40 words each.

    `path`: the published zip, or arxiv100.csv (title, abstract, label) or a folder with it;
    `glove`: glove.6B.50d.txt, or the zip that holds it. Nothing is unpacked to the disk. The
    network sees the vectors of the words, which are not trained; `han` is the network for it.

    Source: Farhangi et al., Protoformer: Embedding Prototypes for Transformers, PAKDD 2022;
    Pennington, Socher & Manning, GloVe, EMNLP 2014. Sizes, recipe, and that the abstract alone is
    read, in lower case, as in the code of Fang & Kim, UAI 2024.

    Shapes: x [100000, 10, 40], numbers of words; 0 is padding, and any word that GloVe lacks, whose
    vector is 0. Raises: SweepError where a file is missing or is another.

    Departures: that code divides texts by NLTK, with a trained model for the ends of sentences.
    Here a sentence ends at [.!?] before a space (e.g., i.e., al., cf. and vs. aside), and words are
    runs of letters and digits with the hyphens, points and strokes inside them, "n't" and "'s"
    split off, and single marks. Words that no document holds are left out of the table, which
    changes no vector.
    """

    image: ClassVar[bool | None] = False
    words: ClassVar[bool] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@inproceedings{farhangi2022protoformer,
  title = {Protoformer: Embedding Prototypes for Transformers},
  author = {Farhangi, Ashkan and Sui, Ning and Hua, Nan and Bai, Haiyan and Huang, Arthur and
            Guo, Zhishan},
  booktitle = {PAKDD},
  year = {2022}
}"""

    path: str = "data/ArXiv-10.zip"
    glove: str = "data/glove.6B.50d.txt"

    def read(self) -> Data:
        place = published.there("arxiv10", self.path, ORIGIN)
        glove = published.there("arxiv10", self.glove, GLOVE, "glove")
        documents, labels = [], []
        content = published.content("arxiv10", place, FILE)
        for i, (_, abstract, label) in enumerate(texts.rows("arxiv10", FILE, content, HEAD), 1):
            if label not in NAMES:
                raise SweepError(
                    f"dataset arxiv10: {str(place)!r}, record {i}: got the label {label!r}; "
                    f"{', '.join(NAMES)} were published"
                )
            sentences = texts.sentences(abstract)[: SHAPE[0]]
            documents.append([sentence[: SHAPE[1]] for sentence in sentences])
            labels.append(NAMES.index(label))
        wanted = {word for document in documents for sentence in document for word in sentence}
        known, vectors = texts.vectors("arxiv10", glove, wanted, WORDS, VECTOR)
        x, y = texts.numbered(documents, SHAPE, known), np.array(labels, np.int64)
        published.expected("arxiv10", x, y, (DOCUMENTS, *SHAPE), len(NAMES))
        return Data("arxiv10", x, y, len(NAMES), image=False, names=NAMES, vectors=vectors)

    def training(self, records: int) -> Training:
        return Training(150, 256, lr=0.01, milestones=((100, 0.1), (130, 0.01)))
