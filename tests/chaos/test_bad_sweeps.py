"""Two hundred sweep files that are wrong, each refused in one line that names file, line and key
before anything is started; and whatever becomes of a good one, it is answered.
"""

import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_folder import CODES, Started, call, refused

SWEEPS = Path(__file__).parents[2] / "sweeps"
GOOD = """\
name: study
dataset: {digits: {records: 100}}
network: {mlp: {width: 8}}
protocol: {coin: {models: 8, targets: 4, reserve: 0.2}}
defenses:
  - []
  - [relaxloss: {alpha: {low: 0.1, high: 1e1, log: true}}]
  - [srcm: {r1: {low: 3, high: 25}, d: 1}, label_smoothing: {epsilon: [0.1, 0.2]}]
  - [dpsgd: {sigma: 1.0}, training: {epochs: 9}]
attacks: [loss, {lira: {mode: offline}}]
attacker: adaptive
training: {epochs: 5, lr: 1e-3, lanes: auto, milestones: [[0.5, 0.1]], scale: none}
search: {trials: 10, seed: 0, lag: 2, objective: {privacy: max_attack_auc}}
resources: {cpu: 1, gpu: 0, spread: 1, time_limit: 60}
keep_signals: all
canaries: {mislabelled: 2}
published: {source: a paper, rows: [{arm: 0, test_accuracy: 0.9}]}
"""
_SCALARS = ["x", "[]", "{}", "[1, 2]", "{a: 1}", "true", "'1'", ".nan", ".inf", "1e400", "-1"]
# (what stands there, what is put there instead, the key that must be named)
BAD = [
    ("name: study", [f"name: {v}" for v in _SCALARS[1:5]], "name"),
    ("name: study", [f"name: {v}" for v in ("../x", "/x", "''", "a/b", "-a", "1")], "name"),
    ("name: study", ['name: "a\\0"', 'name: "a\\u202Eb"', "name: " + "n" * 65], "name"),
    ("name: study", ["Name: s", "nmae: s", "\N{CYRILLIC SMALL LETTER EN}ame: s"], ""),
    ("{digits: {records: 100}}", ["digit", "3", "null", "[digits]", "{digits: 7}"], "dataset"),
    ("{digits: {records: 100}}", ["{digits: {}, mnist: {}}", "../digits"], "dataset"),
    ("records: 100", [f"records: {v}" for v in _SCALARS], "dataset.digits.records"),
    ("records: 100", ["record: 100", "records: 7", "records: 0"], "dataset.digits.record"),
    ("{mlp: {width: 8}}", ["m" * 300_000, "{" + "m" * 999 + ": {}}"], "network"),
    ("{mlp: {width: 8}}", ["mpl", "{mlp: 8}", "han", "[mlp]", "null"], "network"),
    ("width: 8", [f"width: {v}" for v in [*_SCALARS, "0", "8.5", "0x8"]], "network.mlp.width"),
    ("models: 8", [f"models: {v}" for v in [*_SCALARS, "7", "5000"]], "protocol.coin.models"),
    ("targets: 4", [f"targets: {v}" for v in [*_SCALARS, "5", "0"]], "protocol.coin.targets"),
    ("reserve: 0.2", [f"reserve: {v}" for v in _SCALARS], "protocol.coin.reserve"),
    ("reserve: 0.2", ["reserve: 1", "reserve: 0.95"], "protocol.coin.reserve"),
    ("coin:", ["coins:", "Coin:", "slices:"], "protocol"),
    ("  - []\n", ["  - x\n", "  - null\n", "  - {}\n", "  - [[]]\n", "  - [1]\n"], "defenses.0"),
    ("  - []\n", ["  - [relaxlos]\n", "  - [srcm, srcm]\n", "  - ['']\n"], "defenses.0"),
    ("low: 0.1, ", ["", "low: x, ", "low: 11, ", "low: 0, "], "defenses.1.0.relaxloss.alpha"),
    ("log: true", ["log: 1", "log: yes", "lgo: true"], "defenses.1.0.relaxloss.alpha"),
    ("high: 1e1", ["high: .inf", "high: '10'", "hihg: 1"], "defenses.1.0.relaxloss.alpha"),
    ("r1: {low: 3", ["r1: {low: x", "r1: {low: 30", "r2: {low: 3"], "defenses.2.0.srcm"),
    ("d: 1}", ["d: x}", "d: [x]}", "d: {}}"], "defenses.2.0.srcm.d"),
    ("[0.1, 0.2]", ["[]", "[0.1, 0.1]", "[2]", "['0.1']"], "defenses.2.1.label_smoothing.eps"),
    ("sigma: 1.0", ["sigma: -1", "sigma: x", "sigm: 1"], "defenses.3.0.dpsgd.sig"),
    ("{epochs: 9}", ["{epoch: 9}", "{epochs: 0}", "{epochs: x}"], "defenses.3.1.training"),
    ("[loss, {lira", ["[los, {lira", "[loss, loss, {lira", "[3, {lira"], "attacks"),
    ("mode: offline", ["mode: ofline", "mode: 1", "mod: offline"], "attacks.1.lira.mod"),
    ("attacker: adaptive", [f"attacker: {v}" for v in ("adaptiv", "1", "[]", "null")], "attacker"),
    ("epochs: 5", [f"epochs: {v}" for v in [*_SCALARS, "0", "100001"]], "training.epochs"),
    ("lr: 1e-3", [f"lr: {v}" for v in _SCALARS], "training.lr"),
    ("lanes: auto", ["lanes: aut", "lanes: 0", "lanes: 1.5"], "training.lanes"),
    ("[[0.5, 0.1]]", ["[0.5]", "[[0.5]]", "[[0.5, 0]]", "[[-1, 1]]", "x"], "training.milestones"),
    ("scale: none", ["scale: non", "scale: {mean: 1}", "scale: 3"], "training.scale"),
    ("trials: 10", [f"trials: {v}" for v in [*_SCALARS, "0", "2.5"]], "search.trials"),
    ("seed: 0", [f"seed: {v}" for v in _SCALARS], "search.seed"),
    ("lag: 2", ["lag: 0", "lag: 2000", "lagg: 2"], "search.lag"),
    ("privacy: max_attack_auc", ["privacy: auc", "accuracy: x", "prvacy: x"], "search.objective"),
    ("cpu: 1", ["cpu: -1", "cpu: 0", "cpus: 1"], "resources"),
    ("gpu: 0", ["gpu: 1.5", "gpu: x", "gpu: -0.5"], "resources.gpu"),
    ("time_limit: 60", ["time_limit: 0", "time_limit: 1h"], "resources.time_limit"),
    ("keep_signals: all", ["keep_signals: al", "keep_signals: 1"], "keep_signals"),
    ("{mislabelled: 2}", ["{mislabelled: -1}", "{mislabeled: 2}", "[1]", "standrad"], "canaries"),
    ("source: a paper", ["sources: a", "source: 3"], "published"),
    ("arm: 0", ["arm: 9", "arm: x", "amr: 0"], "published.rows.0"),
    ("name: study", ["<<: {a: 1}", "? [a]\n: 1", "!!python/object:os.system x: y"], ""),
    ("name: study", ["name: &a study", "name: *a", "name: !!str study"], "name"),
    ("name: study\n", ["name: study\nname: other\n", "\tname: study\n", "name study\n"], ""),
    ("name: study", ["name: [", "name: 'a", "name: {a: 1", "name: @a", "name: study\0"], ""),
]  # fmt: skip
FILES = [(old, new, key) for old, news, key in BAD for new in news]


def test_there_are_two_hundred() -> None:
    assert len({GOOD.replace(old, new) for old, new, _ in FILES}) == len(FILES) >= 200
    assert all(GOOD.count(old) == 1 for old, _, _ in FILES)


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GOOD)
    assert isinstance(call("run", str(tmp_path / "x.yaml")).exception, Started)


@pytest.mark.parametrize(("old", "new", "key"), FILES, ids=[repr(new)[1:41] for _, new, _ in FILES])
def test_a_bad_file_is_refused_by_file_line_and_key(
    old: str, new: str, key: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD.replace(old, new))
    said = refused(call("run", str(file)))
    first = GOOD[: GOOD.index(old)].count("\n") + 1
    found = re.match(rf"raymia: {re.escape(str(file))}:(\d+): (.*)", said)
    assert found, said
    if key:  # else it is no YAML, or a key that there is none of
        assert found[2].startswith(key) and int(found[1]) == first, said
    else:
        assert abs(int(found[1]) - first) <= 1 or "not YAML" in said or "given" in said, said


# ---- whatever becomes of a good one ------------------------------------------------------------

_TEXTS = [GOOD, *(path.read_text() for path in sorted(SWEEPS.glob("*.yaml")))]
_TOKENS = re.compile(r"[\w.+-]+|[^\w\s]|\n *")
_BITS = [
    "null",
    "[]",
    "{}",
    "''",
    "1e99",
    "-1",
    "0",
    "\t",
    "\0",
    "&a",
    "*a",
    "!!x",
    "%",
    "\x85",
    "é",
]
_BITS += [
    "low",
    "high",
    "search",
    "standard",
    "all",
    "none",
    "---",
    "...",
    "?",
    ": ",
    "- ",
    "#",
    '"',
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good sweep file with one to four of its words cut out, doubled, swapped or replaced."""
    words = _TOKENS.findall(text := draw(st.sampled_from(_TEXTS)))
    marks = _TOKENS.split(text)
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(words) - 1))
        how = draw(st.sampled_from(["out", "twice", "swap", "word", "bit", "text"]))
        j = draw(st.integers(0, len(words) - 1))
        words[i] = {
            "out": "",
            "twice": words[i] * 2,
            "swap": words[j],
            "word": words[j] + words[i],
            "bit": draw(st.sampled_from(_BITS)),
            "text": draw(st.text(max_size=4)),
        }[how]
    made = "".join(a + b for a, b in zip(marks, [*words, ""], strict=True))
    return made[: draw(st.integers(0, len(made)))] if draw(st.booleans()) else made


def answered(text: str, file: Path) -> None:
    file.write_bytes(text.encode(errors="surrogatepass"))
    result = call("run", str(file))
    if not isinstance(result.exception, Started):
        assert result.exit_code in CODES - {0, 1}, result.exc_info
        assert str(file) in refused(result, result.exit_code)


_WALK = dict(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@settings(max_examples=60, **_WALK)
@given(text=mutated())
def test_whatever_becomes_of_a_file_is_answered(text: str, tmp_path_factory: object) -> None:
    answered(text, _file(tmp_path_factory))


@pytest.mark.nightly
@settings(max_examples=10_000, **_WALK)
@given(text=mutated())
def test_ten_thousand_are_answered_in_two_seconds_each(text: str, tmp_path_factory: object) -> None:
    begun = time.process_time()
    answered(text, _file(tmp_path_factory))
    assert time.process_time() - begun <= 2.0


def _file(factory: object) -> Path:
    assert isinstance(factory, pytest.TempPathFactory)
    return factory.getbasetemp() / "mutated.yaml"
