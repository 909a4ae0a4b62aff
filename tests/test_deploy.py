"""A recipe that is trained on all records, and handed out."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result

from raymia import cli
from raymia.point import catalog
from raymia.point.point import Point
from raymia.records import data as datasets
from raymia.records.data import Data
from raymia.report import model_card, readme
from raymia.report.deploy import FILES, sentences
from raymia.results.folder import Folder
from raymia.study import sweep
from raymia.training.defense import Owned
from raymia.training.privacy import epsilon
from raymia.training.recipe import recipe
from raymia.trial import deploy
from raymia.trial import run as trial
from raymia.trial.row import facts

REST = """
protocol: {coin: {models: 4, targets: 2, reserve: 0.5}}
attacks: [loss]
training: {epochs: 3, batch_size: 8, lr: 0.02}
"""
SETS = {  # name -> data set, network, defenses
    "table": (
        "{table: {path: people.csv, label: who, missing: category}}",
        "{mlp: {width: 8}}",
        "[[], [temperature: {t: 3.0}, top_k: {k: 2}, rounding], [memguard: {steps: 5, iterations: "
        "2}, rounding], [dpsgd], [stacking], [mmd]]",
    ),
    "digits": ("{digits: {records: 100}}", "{mlp: {width: 8}}", "[[], [rounding]]"),
    "pictures": ("{arrays: {path: pictures.npz}}", "{cnn: {width: 4}}", "[[srcm]]"),
}
BARE, RELEASED, GUARDED, PRIVATE, STACKED, HELD = range(6)  # the trials of the table


def write_data() -> None:
    """Into the current folder: a table with texts and with columns that are called as outputs are,
    and small pictures.
    """
    rng = np.random.default_rng(0)
    with open("people.csv", "w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["logits", "colour, or none", "age", "who", "probabilities"])
        for i in range(120):
            colour = ("red", "é green", "NA", "")[rng.integers(4)]
            label = ("cat", "dog", "owl")[(i + (colour == "NA")) % 3]
            size, age, last = rng.normal(), rng.normal(40, 9), rng.integers(2)
            write.writerow([f"{size:.4f}", colour, f"{age:.2f}", label, ("yes", "no")[last]])
    x = (rng.random((60, 1, 1, 1)) * rng.integers(0, 256, (60, 3, 8, 8))).astype(np.uint8)
    np.savez("pictures.npz", x=x, y=np.array(["a", "b"])[x.mean((1, 2, 3)).argsort() % 2])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and a results folder for each of the sets."""
    root = tmp_path_factory.mktemp("deploy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_data()
        for name, (dataset, network, arms) in SETS.items():
            text = f"name: {name}\ndataset: {dataset}\nnetwork: {network}\ndefenses: {arms}{REST}"
            asked, folder = sweep.parse(text), Folder(Path(name))
            records = datasets.load(asked.dataset, asked.search.seed)
            folder.write_sweep(sweep.dump(asked.resolved()))
            for arm in range(len(asked.arms)):
                point = asked.point(arm, asked.default(arm), 0, records)
                folder.write(replace(trial.run(point, records), trial=arm))
            folder.derive()
    return root


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def call(name: str, number: int, out: Path | None, *more: str) -> Result:
    given = [] if out is None else ["--out", str(out)]
    return CliRunner().invoke(cli.main, ["deploy", name, "--trial", str(number), *given, *more])


def deployed(name: str, number: int, out: Path, *more: str) -> dict[str, Any]:
    """The card of what was deployed."""
    done = call(name, number, out, *more)
    assert done.exit_code == 0, done.output
    card: dict[str, Any] = json.loads((out / "card.json").read_text())
    return card


def point_of(name: str, number: int) -> tuple[Point, Data]:
    point = Folder(Path(name)).rows()[number].as_point
    return point, datasets.load(point.dataset, point.seed)


def raw(name: str, session: Any) -> dict[str, Any]:
    """The records as they stand in their files, by the names of the inputs."""
    if name == "pictures":
        return {"x": np.load("pictures.npz")["x"]}
    if name == "digits":
        return {"x": point_of(name, 0)[1].x}
    with open("people.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    kinds = {"tensor(float)": np.float32, "tensor(string)": object}
    return {
        one.name: np.array([[line[one.name.rstrip("_")]] for line in lines]).astype(kinds[one.type])
        for one in session.get_inputs()
    }


# ---- the file says what the model says ---------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), [("table", BARE), ("digits", 0), ("pictures", 0)])
def test_onnx_of_the_raw_records_is_the_model(name: str, number: int, tmp_path: Path) -> None:
    """Two ways from one training: through ONNX from the file's own cells, and through raymia's
    reader, safetensors and torch.
    """
    deployed(name, number, tmp_path / "onnx")
    deployed(name, number, tmp_path / "raymia", "--format", "safetensors")
    model = model_card.load(tmp_path / "raymia")
    right = model(torch.as_tensor(point_of(name, number)[1].x)).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    given = raw(name, session)
    assert right.std(0).min() > 1e-3  # of each record something else, far beyond what is allowed
    for batch in (1, 3, len(right)):
        logits, p = session.run(None, {key: value[:batch] for key, value in given.items()})
        np.testing.assert_allclose(logits, right[:batch], rtol=0, atol=1e-5)
        e = np.exp(right[:batch].astype(np.float64))
        np.testing.assert_allclose(p, e / e.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")
def test_torchscript_is_the_model(tmp_path: Path) -> None:
    card = deployed("pictures", 0, tmp_path / "pt", "--format", "torchscript")
    deployed("pictures", 0, tmp_path / "st", "--format", "safetensors")
    x = torch.as_tensor(np.load("pictures.npz")["x"])
    loaded = torch.jit.load(str(tmp_path / "pt" / "model.pt"))
    model = model_card.load(tmp_path / "st")
    for batch in (1, 5):
        torch.testing.assert_close(loaded(x[:batch])[0], model(x[:batch]), atol=1e-5, rtol=0)
    assert card["differs_by"] < 1e-5


@pytest.mark.parametrize("kind", FILES)
def test_the_same_bytes_each_time(kind: str, tmp_path: Path) -> None:
    """TorchScript in processes of its own: it numbers the classes of a process."""
    folders = [tmp_path / str(i) for i in range(2)]
    if kind == "torchscript":
        begin = [sys.executable, "-m", "raymia.cli", "deploy", "digits", "--trial", "0"]
        commands = ([*begin, "--format", kind, "--out", str(out)] for out in folders)
        started = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
        assert [one.communicate() and one.returncode for one in started] == [0, 0]
    else:
        for out in folders:
            deployed("table", PRIVATE, out, "--format", kind)
    files = [(out / FILES[kind]).read_bytes() for out in folders]
    assert files[0] == files[1]
    here, packages = str(Path(__file__).parents[1]).encode(), b"site-packages"
    assert here not in files[0] and packages not in files[0]


def test_secret_draws_are_others_each_time(tmp_path: Path) -> None:
    files = []
    for i in range(2):
        deployed("table", PRIVATE, tmp_path / str(i), "--format", "safetensors", "--secret")
        files.append((tmp_path / str(i) / "model.safetensors").read_bytes())
    assert files[0] != files[1]


@pytest.mark.parametrize(
    ("name", "kind"), [("table", "onnx"), ("digits", "onnx"), ("digits", "torchscript")]
)
def test_what_readme_shows_runs_without_raymia(name: str, kind: str, tmp_path: Path) -> None:
    card = deployed(name, 0, tmp_path / "out", "--format", kind)
    text = (tmp_path / "out" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    header = 'logits_,"colour, or none",age,who,probabilities_\n'
    (tmp_path / "out" / "new.csv").write_text(header + "0.5,NA,41,cat,no\n-2,red,12.5,owl,yes\n")
    lack = ["raymia"] + ["torch"] * (kind == "onnx")
    code += f"\nimport sys; assert not {{*{lack}}} & {{*sys.modules}}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = eval(done.stdout)
    assert len(said) == (2 if name == "table" else 1) and set(said) <= set(card["class_names"])


def test_the_page_shows_the_card_s_own_code() -> None:
    page = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text()
    assert f"```python\n{readme.COLUMNS}```" in page


# ---- who it is trained on ----------------------------------------------------------------------


def test_all_records_are_members_and_the_scale_is_the_sweep_s(place: Path) -> None:
    point, records = point_of("table", BARE)
    found = deploy.run(point, records)
    assert found.members == len(records) and not found.world.apart
    reference = deploy.World(point, records.units).split.aside
    mean = found.model.network.normalise.mean.numpy()
    np.testing.assert_allclose(mean, records.x[reference].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "training", "why"),
    [
        ({"mmd": {}}, {}, "needs records"),
        ({"memguard": {}}, {}, "needs records"),
        ({}, {"checkpoint": "best"}, "best epoch"),
        ({"dpsgd": {}}, {}, "no epsilon"),
        ({"dpsgd": {}}, {"scale": "none"}, ""),
        ({"relaxloss": {}}, {}, ""),
    ],
)
def test_what_needs_the_reserve_keeps_it(
    parts: dict[str, Any], training: dict[str, Any], why: str
) -> None:
    point, records = point_of("table", BARE)
    spelled = tuple(catalog.Part(name, knobs) for name, knobs in parts.items())
    point = replace(point, recipe=spelled, training=replace(point.training, **training))
    world = deploy.whole(point, records)
    reference = deploy.World(point, records.units).split.aside
    out = np.flatnonzero(~world.split.member[0])
    assert why in world.apart and bool(why) == bool(world.apart)
    assert out.tolist() == (reference.tolist() if why else []) and len(reference) == 30


def test_a_share_that_a_recipe_gives_up_is_of_all_records() -> None:
    point, records = point_of("table", BARE)
    knobs = {name: k.default for name, k in catalog.knobs(catalog.find("defenses", "dmp")).items()}
    point = replace(point, recipe=(catalog.Part("dmp", knobs),))
    found = deploy.run(point, records)
    split, share = found.world.split, recipe(point.recipe).traits().share
    assert 0 < share < 1 and split.held.sum() == int(share * len(records))
    assert (split.held ^ split.member).all()
    # its student learns from them what its teacher says
    row = Folder(Path("table")).rows()[BARE]
    (said, *_) = sentences(row, records, found, "onnx", None)["What it is"]
    assert found.trained_on == len(records) and "all 120 records of the data set, 60" in said
    knobs = {"share": 0.25}
    found = deploy.run(replace(point, recipe=(catalog.Part("advreg", knobs),)), records)
    (said, *_) = sentences(row, records, found, "onnx", None)["What it is"]
    assert found.trained_on == 90 and "90 of the 120" in said and "30 are the reference" in said


def test_copies_share_their_membership() -> None:
    point, records = point_of("table", BARE)
    double = np.arange(len(records)) // 2 * 2
    records = replace(records, x=records.x[double], y=records.y[double], copies="group")
    point = replace(point, recipe=(catalog.Part("mmd", {}),))
    member = deploy.whole(point, records).split.member[0]
    assert (member[::2] == member[1::2]).all() and 0 < member.sum() < len(records)


# ---- what is said ------------------------------------------------------------------------------


def test_epsilon_is_that_of_the_larger_number_of_members(tmp_path: Path) -> None:
    card = deployed("table", PRIVATE, tmp_path / "out", "--format", "safetensors")
    # 120 records less the 30 of the reference; batches of 8, 3 epochs; sigma 1
    assert card["trained_on"] == 90
    right = epsilon(1.0, 8 / 90, 3 * 12, 1e-5, "pld")
    assert right is not None and card["facts"]["epsilon"] == pytest.approx(right)
    then = Folder(Path("table")).rows()[PRIVATE].numbers["epsilon"]
    assert then is not None and then > 1.2 * right and card["facts_of_the_sweep"]["epsilon"] == then
    said = " ".join(card["said"]["Differential privacy"])
    assert f"{right:.4g}" in said and "guesses that seed" in said


def test_no_epsilon_where_members_give_the_scale() -> None:
    point, records = point_of("table", PRIVATE)
    world = deploy.whole(replace(point, training=replace(point.training, scale="members")), records)
    numbers, why = facts(world, records)
    assert numbers["epsilon"] is None and "scale" in why


def test_the_card_says_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    card = deployed("table", GUARDED, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    front, _, rest = text.removeprefix("---\n").partition("---\n")
    keys = [
        line.partition(":")[0] for line in front.splitlines() if not line.startswith((" ", "-"))
    ]
    assert keys == ["library_name", "pipeline_tag", "tags", "metrics"]
    assert "tabular-classification" in front and "license" not in front
    row = Folder(Path("table")).rows()[GUARDED]
    for number in (row.numbers["test_accuracy"], row.numbers["max_attack_auc"]):
        assert f"{number:.3f}" in rest
    assert "not attacked" in rest and "no accuracy" in rest
    assert "memguard, rounding: not in the file" in rest and card["released_inside"] == []
    assert "30 are kept out: memguard+rounding needs records" in rest
    # neither what draws records, nor where they lie, nor how many are what
    assert not {"seed", "replicate", "protocol"} & {*card, *card["point"]}
    assert "people.csv" not in json.dumps(card)
    columns = [(one["name"], one["input"], one["categories"]) for one in card["columns"]]
    assert columns == [
        ("logits", "logits_", None),
        ("colour, or none", "colour, or none", ["(empty)", "NA", "red", "é green"]),
        ("age", "age", None),
        ("probabilities", "probabilities_", ["no", "yes"]),
    ]
    assert {*card["columns"][0]} == {"name", "input", "categories"}
    assert card["class_names"] == ["cat", "dog", "owl"]


# ---- what is released --------------------------------------------------------------------------


def test_what_is_in_the_graph_is_what_was_attacked(tmp_path: Path) -> None:
    """temperature, top_k and rounding, one after the other, as raymia releases in numpy."""
    card = deployed("table", RELEASED, tmp_path / "out")
    assert card["released_inside"] == ["temperature", "top_k", "rounding"]
    assert card["released_through"] == [] and "take them out" in str(card["said"])
    deployed("table", BARE, tmp_path / "bare", "--format", "safetensors")
    point, records = point_of("table", RELEASED)
    own = model_card.load(tmp_path / "bare")(torch.as_tensor(records.x)).numpy()
    release = recipe(point.recipe).release(
        Owned(own, np.arange(9), np.arange(9), np.random.default_rng(0))
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    logits, p = session.run(None, raw("table", session))
    np.testing.assert_allclose(logits, release(own), atol=1e-5)
    assert len(np.unique(p)) < 120  # whole hundredths, nearly


GRAPHS = [n for n in catalog.names("defenses") if catalog.find("defenses", n)().owns("in_graph")]


@pytest.mark.parametrize("name", GRAPHS)
def test_a_release_in_torch_is_the_one_in_numpy(name: str) -> None:
    part = catalog.find("defenses", name)()
    rng = np.random.default_rng(0)
    logits = (9 * rng.normal(size=(200, 7))).astype(np.float32)
    logits[:50] = rng.integers(0, 3, (50, 7))  # ties
    assert part.owns("release")
    release = part.release(Owned(logits, np.arange(9), np.arange(9), rng))
    found = part.in_graph(torch.as_tensor(logits)).numpy()
    np.testing.assert_allclose(found, release(logits), rtol=1e-6)
    assert abs(found - logits).max() > 0.1


def test_these_can_stand_in_a_graph() -> None:
    assert GRAPHS == ["rounding", "temperature", "top_k"]


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "more", "said"),
    [
        (STACKED, (), "under stacking is no one network"),
        (99, (), "--trial: got 99"),
        (0, ("--format", "pickle"), "pickle"),
    ],
)
def test_bad_arguments_leave_nothing(
    number: int, more: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = call("table", number, tmp_path / "out", *more)
    assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("here")
    done = call("digits", 0, tmp_path, "--format", "safetensors")
    assert done.exit_code == 2 and "nothing is overwritten" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    deployed("digits", 0, tmp_path / "empty", "--format", "safetensors")
    done = call("digits", 0, Path("digits/inside"))
    assert done.exit_code == 2 and "outside the results folder" in done.output


def test_all_files_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "card.json":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    done = call("digits", 0, tmp_path / "out", "--format", "safetensors")
    assert done.exit_code == 3 and "No space left" in done.output and not list(tmp_path.iterdir())


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = call("digits", 0, tmp_path / "out")
    assert done.exit_code == 3 and "needs onnxscript: pip install" in done.output
    assert done.output.count("\n") == 1 and not list(tmp_path.iterdir())


def test_other_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = datasets.load
    monkeypatch.setattr(datasets, "load", lambda part, seed: right(part, seed + 1))
    done = call("digits", 0, tmp_path / "out")
    assert done.exit_code == 2 and "are not those of the sweep" in done.output


def test_words_are_for_raymia_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(part: Any, seed: int) -> Data:
        x = np.arange(60, dtype=np.float32).reshape(20, 3) % 5
        return Data("w", x, np.arange(20) % 2, 2, False, vectors=np.ones((5, 2), np.float32))

    monkeypatch.setattr(datasets, "load", words)
    monkeypatch.setattr(Data, "sha256", lambda _: point.data)
    point = Folder(Path("digits")).rows()[0].as_point
    done = call("digits", 0, tmp_path / "out")
    assert done.exit_code == 2 and "numbers of words" in done.output


def test_a_graph_that_says_something_else_is_not_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = torch.onnx.export

    def other(*given: Any, **more: Any) -> Any:
        program: Any = made(*given, **more)
        proto = program.model_proto
        weights = max(proto.graph.initializer, key=lambda one: len(one.raw_data))
        weights.CopyFrom(
            onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(weights), weights.name)
        )
        return type("Program", (), {"model_proto": proto})

    monkeypatch.setattr(torch.onnx, "export", other)
    done = call("digits", 0, tmp_path / "out")
    assert done.exit_code == 1 and "differ by" in done.output and not list(tmp_path.iterdir())
