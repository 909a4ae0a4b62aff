"""ArXiv-10 and GloVe in small, what is refused of others, and a sweep on words."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loaded import read, refused, some

from raymia.attack import attack
from raymia.datasets import arxiv10
from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.space import Part
from raymia.readers import published, texts
from raymia.records.account import account
from raymia.records.data import Data, load
from raymia.report import model_card
from raymia.results.folder import Folder
from raymia.signals import ask, world
from raymia.streams import stream
from raymia.study import preflight, sweep
from raymia.training.defense import Batch, Clock
from raymia.trial import run as trial

LABELS = "astro-ph cond-mat cs eess hep-ph hep-th math physics quant-ph stat".split()
WORDS = "the of , . galaxies learn n't we it 's".split()
SIZE = 4


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Any number of records, and a GloVe of ten words; what was expected is kept."""
    asked: list[Any] = []
    monkeypatch.setattr(published, "expected", lambda *given: asked.append(given[3:]))
    monkeypatch.setattr(arxiv10, "WORDS", len(WORDS))
    monkeypatch.setattr(arxiv10, "VECTOR", SIZE)
    return asked


def table(records: list[tuple[str, str, str]], head: str = "title,abstract,label") -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([head.split(","), *records])
    return out.getvalue().encode()


def glove() -> bytes:
    lines = [f"{word} " + " ".join(f"{i}.{j}" for j in range(SIZE)) for i, word in enumerate(WORDS)]
    return ("\n".join(lines) + "\n").encode()


def vector(word: str) -> list[float]:
    return [np.float32(f"{WORDS.index(word)}.{j}") for j in range(SIZE)]


def documents(many: int = 30) -> list[tuple[str, str, str]]:
    some = ("The galaxies. We don't learn.", "It's of\nthe, learn! Galaxies", "Of we. The learn.")
    return [("We learn", some[i % 3], LABELS[i % 10]) for i in range(many)]


def files(folder: Path, content: bytes | None = None) -> dict[str, str]:
    (folder / "arxiv100.csv").write_bytes(table(documents()) if content is None else content)
    (folder / "glove.6B.4d.txt").write_bytes(glove())
    return {"path": str(folder / "arxiv100.csv"), "glove": str(folder / "glove.6B.4d.txt")}


# ---- texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A cat. Is it?  Yes!", ["a cat .", "is it ?", "yes !"]),
        ("We don't; it's x's", ["we do n't ; it 's x 's"]),
        ("state-of-the-art 3.14 1,000 and/or", ["state-of-the-art 3.14 1,000 and/or"]),
        ("See, e.g. Smith et al. (2020).", ["see , e.g . smith et al . ( 2020 ) ."]),
        ("(Done.) Next", ["( done . )", "next"]),
        (r"$\alpha$ of Schrödinger", [r"$ \ alpha $ of schrödinger"]),
        (" \n ", []),
    ],
)
def test_sentences_and_words(text: str, wanted: list[str]) -> None:
    assert [" ".join(words) for words in texts.sentences(text)] == wanted


def test_numbers_of_words_are_padded_and_cut() -> None:
    known = {"a": 1, "b": 2}
    x = texts.numbered([[["a", "b", "c", "a"], ["b"]], [["b"]] * 3], (2, 3), known)
    assert x.tolist() == [[[1, 2, 0], [2, 0, 0]], [[2, 0, 0], [2, 0, 0]]]
    assert x.dtype == np.float32


# ---- what is read ------------------------------------------------------------------------------


def as_zip(folder: Path, inside: str, content: bytes) -> str:
    with zipfile.ZipFile(folder / f"{Path(inside).stem}.zip", "w") as archive:
        archive.writestr(inside, content)
    return str(folder / f"{Path(inside).stem}.zip")


@pytest.mark.parametrize("packed", [False, True])
def test_abstracts_as_vectors_of_their_words(
    packed: bool, tmp_path: Path, small: list[Any]
) -> None:
    knobs = files(tmp_path)
    if packed:
        knobs["path"] = as_zip(tmp_path, "ArXiv-10/arxiv100.csv", table(documents()))
        knobs["glove"] = as_zip(tmp_path, "glove.6B.4d.txt", glove())
    before = sorted(tmp_path.rglob("*"))
    data = read("arxiv10", **knobs)
    assert small == [((100_000, 10, 40), 10)] and data.shape == (10, 40) and not data.image
    assert data.vectors is not None and data.y.tolist() == [i % 10 for i in range(30)]
    seen = data.vectors[data.x.astype(int)]
    blank = [0.0] * SIZE
    first = [vector("the"), vector("galaxies"), vector("."), blank]
    assert seen[0, 0, :4].tolist() == first
    # "do" is no word of this GloVe
    assert seen[0, 1, :6].tolist() == [
        vector("we"),
        blank,
        *map(vector, ("n't", "learn", ".")),
        blank,
    ]
    assert not seen[0, 2:].any() and not seen[0, :, 6:].any()
    assert seen[1, 0, :2].tolist() == [vector("it"), vector("'s")]
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked to the disk


def test_what_is_missing_names_what_to_get(tmp_path: Path) -> None:
    knobs = files(tmp_path)
    gone = str(tmp_path / "gone")
    refused("arxiv10", "ashfarhangi/Protoformer", "arxiv10.path", **knobs | {"path": gone})
    refused("arxiv10", "nlp.stanford.edu", "arxiv10.glove", **knobs | {"glove": gone})


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arxiv10, "WORDS", len(WORDS))
    monkeypatch.setattr(arxiv10, "VECTOR", SIZE)
    refused("arxiv10", "(30, 10, 40)", "(100000, 10, 40)", **files(tmp_path))
    for content, words in (
        (table(documents(), "label,abstract,title"), ("'label,abstract,title'",)),
        (table([*documents(), ("a", "b", "biology")]), ("record 31", "'biology'", "stat")),
        (table(documents()) + b"a,b\r\n", ("2 cells", "3 were published")),
        (table(documents()) + b"\xff,b,cs\r\n", ("no CSV file in UTF-8",)),
        (table(documents()) + b'"a,b,cs\r\n', ("no CSV file in UTF-8",)),
    ):
        refused("arxiv10", *words, **files(tmp_path, content))
    knobs = files(tmp_path)
    for lines, words in (
        (glove() + b"more 1 2 3 4\n", ("holds 11 words", "10 were published")),
        (glove().replace(b"of 1.0 ", b"of "), ("line 2", "no word with 4 numbers")),
        (glove().replace(b"1.0", b"one"), ("line 2", "no numbers")),
        (b"\xff" + glove(), ("no text in UTF-8",)),
    ):
        Path(knobs["glove"]).write_bytes(lines)
        refused("arxiv10", *words, "glove.6B.4d.txt", **knobs)
    knobs["glove"] = as_zip(tmp_path, "glove.6B.50d.txt", glove())
    refused("arxiv10", "holds 0 files *.4d.txt", **knobs)
    knobs["path"] = as_zip(tmp_path, "other.csv", b"")
    refused("arxiv10", "no file 'arxiv100.csv'", **knobs)


def test_the_recipe_is_that_of_the_paper() -> None:
    recipe: Any = catalog.made("datasets", Part("arxiv10", {})).training(25_000)
    assert (recipe.epochs, recipe.batch_size, recipe.momentum) == (150, 256, 0.9)
    assert recipe.weight_decay == 5e-4
    rates = [recipe.lr_at(epoch) for epoch in (0, 99, 100, 129, 130, 149)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])


# ---- words among records -----------------------------------------------------------------------


def words(**changes: Any) -> Data:
    x = np.arange(60).reshape(10, 2, 3).astype(np.float32) % 7
    return some(**({"x": x, "vectors": np.eye(7, 4, dtype=np.float32)} | changes))


@pytest.mark.parametrize("bad", [0.5, -1.0, 7.0])
def test_a_word_is_a_whole_number_of_the_table(bad: float) -> None:
    x = words().x.copy()
    x[3, 1, 2] = bad
    with pytest.raises(SweepError, match=rf"record 3 holds {bad:g} at \(1, 2\).*0\.\.6"):
        words(x=x)


@pytest.mark.parametrize(
    "vectors", [np.eye(7), np.zeros(7, np.float32), np.full((7, 2), np.nan, np.float32)]
)
def test_vectors_that_are_none(vectors: Any) -> None:
    with pytest.raises(SweepError, match="vector"):
        words(vectors=vectors)


def test_other_vectors_are_other_data() -> None:
    table = np.eye(7, 4, dtype=np.float32)
    assert words().sha256() == words(vectors=table).sha256()
    assert words(vectors=table + 1).sha256() != words().sha256() != words(vectors=None).sha256()
    assert words().settled and not words(vectors=None).settled
    assert replace(words(), x=words().x[:8], y=words().y[:8]).vectors is not None


# ---- a sweep on words --------------------------------------------------------------------------

SWEEP = """
name: words
dataset: {arxiv10: {path: %s, glove: %s}}
network: %s
protocol: {coin: {models: 4, targets: 1, reserve: 0.2}}
defenses: [[%s]]
attacks: %s
training: {epochs: 2, batch_size: 8%s}
"""


def spelled(
    tmp_path: Path,
    network: str = "{han: {width: 8}}",
    defense: str = "",
    attacks: str = "[loss]",
    more: str = "",
) -> sweep.Sweep:
    knobs = files(tmp_path, table(documents(120)))
    made = SWEEP % (knobs["path"], knobs["glove"], network, defense, attacks, more)
    return sweep.parse(made)


@pytest.mark.parametrize("network", ["{han: {width: 8}}", "{mlp: {width: 8}}"])
@pytest.mark.parametrize("defense", ["", "label_smoothing", "crl", "dpsgd: {accountant: rdp}"])
def test_a_model_is_trained_on_them_and_asked(
    network: str, defense: str, tmp_path: Path, small: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arxiv10, "SHAPE", (3, 6))  # as long as these are
    file = spelled(tmp_path, network, defense)
    data = load(file.dataset, 0)
    preflight.check(file, data)
    point = file.point(0, file.default(0), 0, data)
    bench = ask.Bench(world.of(point, len(data)), data, range(2))
    assert bench.scale == "none"
    models = bench.train()
    needs = sorted(attack.AS_THEY_ARE - {"split_ai"})  # which SELENA alone has
    said = bench.ask(models[1], 1, needs, bench.recipe)
    assert said["logits"].shape == (120, 10)
    for name in ("logits", "input_grad_l2", "weight_grad_l1", "weight_grad_l2"):
        assert np.isfinite(said[name]).all() and said[name].any()
    assert account(data)["high"] <= len(WORDS)


def test_a_trial_and_its_exported_model(
    tmp_path: Path, small: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arxiv10, "SHAPE", (3, 6))
    file = spelled(tmp_path, attacks="[loss, baseline, grad_x]")
    data, out = load(file.dataset, 0), Folder(tmp_path / "results")
    out.write_sweep(sweep.dump(file.resolved()))
    point = file.point(0, file.default(0), 0, data)
    row = replace(trial.run(point, data, tmp_path / "results" / "signals"), trial=0)
    assert row.state == "done" and 0 <= row.numbers["test_accuracy"] <= 1
    out.write(row)
    card = tmp_path / "card"
    card.mkdir()
    model_card.write(out, out.rows(), card, 0, None)
    said = model_card.load(card)(torch.as_tensor(data.x))
    (stored,) = (tmp_path / "results" / "signals").rglob("model-0.npz")
    np.testing.assert_allclose(said.detach(), np.load(stored)["logits"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("defense", ["gaussian_noise", "mixup", "stacking", "random_crop"])
def test_defenses_that_take_records_for_numbers_are_refused(
    defense: str, tmp_path: Path, small: list[Any]
) -> None:
    with pytest.raises(SweepError, match=f"{defense} needs records that are"):
        spelled(tmp_path, defense=defense)


def test_no_other_defense_changes_what_it_is_given() -> None:
    """A part that has its way with the inputs says that it wants numbers, or images."""
    x = torch.rand(2, 6, 4)
    batch = Batch(x, torch.eye(3)[torch.arange(12).reshape(2, 6) % 3], torch.zeros(2, 6).long())
    for name in catalog.names("defenses"):
        made: Any = catalog.make("defenses", name, {})
        if made.owns("batch") and not made.traits().wants & {"numbers", "images"}:
            rngs = [stream("words", m) for m in range(2)]
            assert torch.equal(made.batch(batch, rngs, Clock(0, 1, 0)).x, x), name


MOVED = (
    *("boundary", "adversarial_distance", "distance_to_confident", "samia", "quantile"),
    *("augmentation",),
)


@pytest.mark.parametrize("name", MOVED)
def test_attacks_that_move_records_are_refused(name: str, tmp_path: Path, small: list[Any]) -> None:
    with pytest.raises(SweepError, match="the records are (words|not images)"):
        spelled(tmp_path, attacks=f"[{name}]")


def test_all_leaves_those_out_and_says_why(tmp_path: Path, small: list[Any]) -> None:
    file = spelled(tmp_path, attacks="all")
    assert {"boundary", "samia", "adversarial_distance"} <= set(file.left_out)
    assert "words" in file.left_out["boundary"]
    assert {"loss", "grad_x", "grad_w", "lira"} <= {part.name for part in file.attacks}
    for part in file.attacks:
        assert attack.traits(part).needs <= attack.AS_THEY_ARE


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (", scale: members", "training.scale: got .members.; auto or none"),
        (", scale: {mean: [1], std: [2]}", "training.scale: .*the records of arxiv10 are words"),
        ("}\ncanaries: {near_duplicates: 2", "canaries: got near_duplicates.*are words"),
        ("}\ncanaries: {blank: 2, mislabelled: 2", "canaries: got blank.*are words"),
    ],
)
def test_what_only_numbers_have_is_refused(
    more: str, why: str, tmp_path: Path, small: list[Any]
) -> None:
    file = spelled(tmp_path, more=more)
    with pytest.raises(SweepError, match=why):
        preflight.check(file, load(file.dataset, 0))


def test_networks_for_documents_and_for_images(tmp_path: Path, small: list[Any]) -> None:
    with pytest.raises(SweepError, match="a network for records that are no images"):
        spelled(tmp_path, network="resnet20")
    for dataset in ("digits", "{table: {path: none.csv, label: y}}"):
        text = f"name: x\ndataset: {dataset}\nnetwork: han\nattacks: [loss]\ndefenses: [[]]\n"
        with pytest.raises(SweepError, match="a network for records that are no documents"):
            sweep.parse(text)
