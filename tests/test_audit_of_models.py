"""raymia.audit: a forest on breast cancer beside a LiRA of our own, and what is refused."""

import inspect
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import raymia
from raymia.cli import main
from raymia.errors import SweepError
from raymia.signals.given import floor_of

X, Y = load_breast_cancer(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(len(Y))
OWN, REST = ORDER[:280], ORDER[280:]
TRAIN, HELD = (X[OWN], Y[OWN]), (X[REST], Y[REST])
LIRA: list[Any] = ["loss", {"lira": {}}, {"lira": {"mode": "online"}}, "rmia"]


def forest(x: Any, y: Any) -> RandomForestClassifier:
    return RandomForestClassifier(50, random_state=0).fit(x, y)


@pytest.fixture(scope="module")
def audited() -> raymia.Audit:
    return raymia.audit(forest(*TRAIN), TRAIN, HELD, forest, shadows=16, attacks=LIRA)


def log_odds(model: RandomForestClassifier) -> np.ndarray:  # type: ignore[type-arg]
    """Of the true class, [N], each side at least half a vote."""
    x, y = X[ORDER], Y[ORDER]
    p = model.predict_proba(x).clip(0.5 / 50)
    return np.log(p[np.arange(len(y)), y] / p[np.arange(len(y)), 1 - y])


def test_it_is_the_lira_that_numpy_makes(audited: raymia.Audit) -> None:
    """Shadows trained here on the same halves; scores equal to 1e-3, AUC to 1e-3."""
    member = audited.found.split.member
    judged = audited.found.split.judged[0]
    phi = np.stack([log_odds(forest(X[ORDER[m]], Y[ORDER[m]]))[judged] for m in member[1:]])
    own, inside = log_odds(forest(*TRAIN))[judged], member[1:, judged]
    sides = []
    for on in (inside, ~inside):
        each = [phi[on[:, i], i] for i in range(len(own))]
        centre = np.array([np.median(of) for of in each])
        free = sum(len(of) - 1 for of in each)
        common = sum(((of - of.mean()) ** 2).sum() for of in each) / free
        sides.append((centre, np.sqrt(common)))
    (mu_in, s_in), (mu_out, s_out) = sides
    online = norm.logpdf(own, mu_in, s_in) - norm.logpdf(own, mu_out, s_out)
    said = audited.scores
    for name, mine in (("lira[mode=online]", online), ("lira", (own - mu_out) / s_out)):
        assert said[name][judged].to_numpy() == pytest.approx(mine, abs=1e-3)
        line = audited.attacks.set_index("attack").loc[name]
        area = roc_auc_score(np.arange(len(own)) < len(OWN), mine)
        assert line["auc"] == pytest.approx(area, abs=1e-3)
        assert line["auc_lo"] < area < line["auc_hi"]
    assert audited.attacks["auc"].max() > 0.65


def test_shadows_do_not_depend_on_the_target(audited: raymia.Audit) -> None:
    split = audited.found.split
    judged = split.judged[0]
    assert split.member[0].sum() == len(OWN) and split.member[0, : len(OWN)].all()
    assert (split.member[1:, judged].sum(0) == 8).all() and not split.member[:, ~judged].any()
    assert (~judged).sum() == round(0.2 * len(REST)) and judged[: len(OWN)].all()
    other = raymia.audit(
        forest(*TRAIN), (X[ORDER[:300]], Y[ORDER[:300]]), (X[ORDER[300:]], Y[ORDER[300:]]), forest,
        shadows=4, attacks=["loss"], reserve=0.0,
    ).found.split.member  # fmt: skip
    same = raymia.audit(
        forest(*TRAIN), TRAIN, HELD, forest, shadows=4, attacks=["loss"], reserve=0.0
    ).found.split.member
    assert np.array_equal(other[1:], same[1:]) and not np.array_equal(other[0], same[0])


def test_of_a_model_that_saw_none_of_the_records_nothing_is_found() -> None:
    own, rest, others = np.array_split(np.random.default_rng(1).permutation(len(Y)), 3)
    strange, sides = forest(X[others], Y[others]), [(X[own], Y[own]), (X[rest], Y[rest])]
    found = raymia.audit(strange, *sides, forest, shadows=16, attacks=LIRA).attacks
    assert ((found["auc_lo"] < 0.5) & (found["auc_hi"] > 0.5)).all(), found


def test_accuracies_and_the_maximum(audited: raymia.Audit) -> None:
    judged = audited.found.split.judged[0]
    right = forest(*TRAIN).predict(X[ORDER]) == Y[ORDER]
    numbers = audited.numbers
    assert numbers["train_accuracy"] == pytest.approx(right[: len(OWN)].mean())
    assert numbers["test_accuracy"] == pytest.approx(right[judged][len(OWN) :].mean())
    low, value, high = (numbers[f"max_attack_auc{end}"] for end in ("_lo", "", "_hi"))
    assert low is not None and value is not None and high is not None and low < value < high
    page = audited.html()
    assert "strongest attack: AUC" in page and f"{value:.3f}" in page and "<svg" in page
    assert audited.html() == page and "http://" not in page and "https://" not in page


def test_without_shadows_no_threshold_is_fitted(tmp_path: Path) -> None:
    found = raymia.audit(forest(*TRAIN), TRAIN, HELD, out=tmp_path / "out")
    names = set(found.attacks["attack"])
    assert {"loss", "entropy", "baseline"} <= names
    assert not any(name.startswith(("lira", "rmia", "nn")) for name in names)
    assert "no shadows" in found.found.left_out["lira"]
    told = found.attacks.set_index("attack")
    assert told.loc["loss", "auc"] > 0.5 and np.isnan(told.loc["loss", "balanced_accuracy"])
    assert any("no threshold is fitted" in sentence for sentence in found.sentences())
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {"report.html", "attacks.csv", "scores.csv"}
    assert (tmp_path / "out/scores.csv").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SweepError, match="nothing is overwritten"):
        raymia.audit(forest(*TRAIN), TRAIN, HELD, out=tmp_path / "out")


def test_texts_as_labels_and_a_seed_of_its_own() -> None:
    words = np.array(["malignant", "benign"])
    seeds: list[int] = []

    def train(x: Any, y: Any, seed: int) -> LogisticRegression:
        seeds.append(seed)
        return LogisticRegression(max_iter=5000).fit(x / X.std(0), y)

    class Scaled:
        def __init__(self, one: LogisticRegression) -> None:
            self.one, self.classes_ = one, one.classes_

        def predict_proba(self, x: Any) -> Any:
            return self.one.predict_proba(x / X.std(0))

    model = Scaled(train(TRAIN[0], words[TRAIN[1]], 0))
    with_words = raymia.audit(
        model, (X[OWN], words[Y[OWN]]), (X[REST], words[Y[REST]]),
        lambda x, y, seed: Scaled(train(x, y, seed)), shadows=4, attacks=["loss", "lira"],
    )  # fmt: skip
    assert list(with_words.found.classes) == ["benign", "malignant"]
    assert with_words.numbers["train_accuracy"] > 0.9  # type: ignore[operator]
    assert len(set(seeds[1:])) == 4


def test_a_module_of_torch_says_logits() -> None:
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(30, 2))
    found = raymia.audit(net, TRAIN, HELD, attacks=["loss"])
    with torch.no_grad():
        p = net.eval()(torch.as_tensor(X[ORDER]).float()).log_softmax(-1).numpy()
    judged = found.found.split.judged[0]
    expected = p[np.arange(len(Y)), Y[ORDER]][judged]
    order = np.argsort(found.scores["loss"][judged].to_numpy())
    assert (np.diff(expected[order]) >= -1e-4).all(), "the likelier label looks more like a member"
    own = raymia.audit(lambda x: 9 * np.eye(2)[Y[: len(x)] * 0], TRAIN, HELD, attacks=["baseline"])
    assert own.attacks["auc"][0] == pytest.approx(0.5, abs=0.1)


def test_half_a_vote_of_a_forest_and_no_more_of_others() -> None:
    assert floor_of(forest(*TRAIN), 2) == 0.01
    assert floor_of(make_pipeline(StandardScaler(), forest(*TRAIN)), 2) == 0.01
    assert floor_of(LogisticRegression(), 2) == 1e-7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shadows": 5}, "shadows: got 5; an even number"),
        ({"reserve": 0.9}, "reserve: got 0.9"),
        ({"held_out": (X[:5], Y[:5])}, "held_out: got 5 records"),
        ({"held_out": (X[:, :4], Y)}, "shape"),
        ({"train": (X.astype(str), Y)}, "numbers"),
        ({"train": (X * np.nan, Y)}, "not finite"),
        ({"attacks": ["grad_x"]}, "grad_x.*no network is released"),
        ({"attacks": ["lirra"]}, "did you mean 'lira'"),
        ({"model": 3}, "the model is a int"),
        ({"model": lambda x: x}, "finite logits"),
        ({"model": lambda x: x.nothing}, "cannot be asked about its records: AttributeError"),
        ({"train_model": lambda x, y: x.nothing}, "train_model failed on 255 records"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change: dict[str, Any], said: str) -> None:
    usual: dict[str, Any] = {"model": forest, "train": TRAIN, "held_out": HELD, "shadows": 4}
    usual |= {"train_model": forest, "attacks": ["loss"]} | change
    usual["model"] = forest(*TRAIN) if usual["model"] is forest else usual["model"]
    with pytest.raises(SweepError, match=said) as error:
        raymia.audit(**usual)
    assert "\n" not in str(error.value)


def test_the_page_of_the_docs_shows_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts and words as they stand there, rates as far as another build of scikit-learn has them
    to the second digit.
    """
    page = (Path(__file__).parents[1] / "docs" / "audit.md").read_text()
    monkeypatch.chdir(tmp_path)
    code, shown = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)[:2]
    exec(compile(code, "docs/audit.md", "exec"), {})  # noqa: S102
    said = capsys.readouterr().out.splitlines()
    number = re.compile(r"[0-9]+\.[0-9]{3}")
    for mine, there in zip(said, shown.splitlines(), strict=False):
        assert number.sub("", mine) == number.sub("", there)
        pairs = zip(number.findall(mine), number.findall(there), strict=True)
        assert all(abs(float(a) - float(b)) < 0.02 for a, b in pairs)
    assert (tmp_path / "audit-of-mine" / "report.html").is_file()


# ---- the command


CODE = f"""
from sklearn.ensemble import RandomForestClassifier
import numpy as np
{inspect.getsource(forest).replace("x: Any, y: Any) -> RandomForestClassifier", "x, y)")}
def build():
    data = np.load("train.npz")
    return forest(data["x"], data["y"])
def broken():
    raise ValueError("no")
"""


def call(folder: Path, model: str, *more: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.chdir(folder)
    np.savez("train.npz", x=TRAIN[0], y=TRAIN[1])
    np.savetxt("held.csv", np.column_stack(HELD), delimiter=",", comments="",
               header=",".join([*(f"f{i}" for i in range(30)), "target"]))  # fmt: skip
    np.savez("held.npz", x=HELD[0], y=HELD[1])
    (folder / "mine_audited.py").write_text(CODE)
    usual = ["--train", "train.npz", "--held-out", "held.npz", "--attacks", "loss,lira"]
    return CliRunner().invoke(main, ["audit", model, *usual, *more])


def test_the_command_says_what_the_function_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--train-model", "mine_audited.py:forest", "--shadows", "4", "--out", "out")
    done = call(tmp_path, "mine_audited.py:build", *more, monkeypatch=monkeypatch)
    assert done.exit_code == 0, done.output
    found = raymia.audit(forest(*TRAIN), TRAIN, HELD, forest, 4, ["loss", "lira"])
    assert done.output.splitlines() == [*found.sentences(), "out/report.html"]
    assert (tmp_path / "out" / "report.html").read_text() == found.html()


def test_a_torchscript_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = torch.nn.Linear(30, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced: Any = torch.jit.trace(net, torch.zeros(1, 30))
        traced.save(str(tmp_path / "net.pt"))
    more = ("--attacks", "loss", "--held-out", "held.csv", "--label", "target")
    done = call(tmp_path, "net.pt", *more, monkeypatch=monkeypatch)
    assert done.exit_code == 2 and "train.npz has no" in done.output
    done = call(tmp_path, "net.pt", "--attacks", "loss", monkeypatch=monkeypatch)
    assert done.exit_code == 0 and "strongest attack: AUC" in done.output, done.output


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("model.joblib", (), "a pickle runs whatever it holds, and is not read"),
        ("train.npz", (), "module:function, file.py:function or a TorchScript file"),
        ("no.pt", ("--attacks", "loss"), "is no TorchScript file"),
        ("mine_audited.py:none", (), "cannot be loaded"),
        ("mine_audited.py:broken", (), "failed: ValueError: no"),
        ("nowhere_at_all:build", (), "cannot be loaded: ModuleNotFoundError"),
        ("mine_audited.py:build", ("--train", "gone.npz"), "gone.npz: No such file"),
        ("mine_audited.py:build", ("--held-out", "mine_audited.py"), "--held-out"),
        ("mine_audited.py:build", ("--attacks", "lira"), "no shadows"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    model: str, more: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call(tmp_path, model, *more, monkeypatch=monkeypatch)
    assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "audit").exists()
