"""Sweep files that are refused: the rest of the keys, YAML itself, overrides and files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_fakes import GOOD, edited, message

from raymia.errors import SweepError
from raymia.study import sweep

# (what to replace, by what, where, dotted key, the value as shown, what else the message says)
BAD = [
    ("mode: far", "mode: fra", "7", "defenses.1.0.soft.mode", "'fra'", "did you mean 'far'?"),
    (
        "mode: far",
        "mode: [far, fra]",
        "7",
        "defenses.1.0.soft.mode.1",
        "'fra'",
        "did you mean 'far'?",
    ),
    (
        "mode: far",
        "mode: {low: 1, high: 2}",
        "7",
        "defenses.1.0.soft.mode",
        "{'low'",
        "for numbers",
    ),
    ("mode: far", "hard: no", "7", "defenses.1.0.soft.hard", "'no'", "true or false"),
    (
        "mode: far",
        "hard: {low: 0, high: 1}",
        "7",
        "defenses.1.0.soft.hard",
        "{'low'",
        "for numbers",
    ),
    ("mode: far", "plain: 1,5", "7", "defenses.1.0.soft.5", "null", "allowed: alpha"),
    ("mode: far", "plian: 1.5", "7", "defenses.1.0.soft.plian", "1.5", "did you mean 'plain'?"),
    (
        "attacks: standard",
        "attacks: standrad",
        "11",
        "attacks",
        "'standrad'",
        "did you mean 'standard'? standard, all",
    ),
    (
        "attacks: standard",
        "attacks: standart",
        "11",
        "attacks",
        "'standart'",
        "did you mean 'standard'? standard, all",
    ),
    (
        "attacks: standard",
        "attacks: cheap",
        "11",
        "attacks",
        "'cheap'",
        "did you mean [cheap]? standard, all",
    ),
    (
        "attacks: standard",
        "attacks: chaep",
        "11",
        "attacks",
        "'chaep'",
        "did you mean [cheap]? standard, all",
    ),
    ("attacks: standard", "attacks: 5", "11", "attacks", "5", "standard, all"),
    ("attacks: standard", "attacks: []", "11", "attacks", "[]", "standard, all"),
    ("attacks: standard", "attacks: [chep]", "11", "attacks.0", "'chep'", "did you mean 'cheap'?"),
    (
        "attacks: standard",
        "attacks: [cheap: {mod: b}]",
        "11",
        "attacks.0.cheap.mod",
        "'b'",
        "'mode'",
    ),
    (
        "attacks: standard",
        "attacks: [cheap: {mode: [a, b]}]",
        "11",
        "attacks.0.cheap.mode",
        "['a', 'b']",
        "a text",
    ),
    ("attacks: standard", "attacks: [cheap, cheap]", "11", "attacks.1", "'cheap'", "once"),
    (
        "attacker: adaptive",
        "attacker: adaptiv",
        "12",
        "attacker",
        "'adaptiv'",
        "did you mean 'adaptive'?",
    ),
    ("attacker: adaptive", "attacker: [plain]", "12", "attacker", "['plain']", "adaptive, plain"),
    ("epochs: 5", "epochs: 0", "14", "training.epochs", "0", "at least 1"),
    ("epochs: 5", "epochs: 1000000", "14", "training.epochs", "1000000", "at most 100000"),
    ("epochs: 5", "epoch: 5", "14", "training.epoch", "5", "did you mean 'epochs'?"),
    ("epochs: 5", "epochs: 5.0", "14", "training.epochs", "5.0", "whole number"),
    ("epochs: 5", "optimizer: sdg", "14", "training.optimizer", "'sdg'", "did you mean 'sgd'?"),
    ("epochs: 5", "momentum: 1.5", "14", "training.momentum", "1.5", "at most 1"),
    ("epochs: 5", "milestones: [0.5]", "14", "training.milestones", "[0.5]", "allowed"),
    (
        "epochs: 5",
        "milestones: 3",
        "14",
        "training.milestones",
        "got 3; a list of [fraction of epochs, factor",
        "[[0.5",
    ),
    (
        "epochs: 5",
        "milestones: [[0.5, x]]",
        "14",
        "training.milestones",
        "[[0.5, 'x']]",
        "a list of [fraction",
    ),
    (
        "epochs: 5",
        "milestones: [[0.5, true]]",
        "14",
        "training.milestones",
        "[[0.5, True]]",
        "a list of [fraction",
    ),
    (
        "epochs: 5",
        "milestones: [[0.5, 0.1, 3]]",
        "14",
        "training.milestones",
        "[[0.5, 0.1, 3]]",
        "a list of [fraction",
    ),
    (
        "epochs: 5",
        "milestones: [[1.5, 0.1]]",
        "14",
        "training.milestones.0.0",
        "1.5",
        "less than 1",
    ),
    (
        "epochs: 5",
        "milestones: [[0.5, 0.1], [30, 0.01]]",
        "14",
        "training.milestones.1.0",
        "30",
        "all fractions, or all whole numbers of epochs",
    ),
    ("epochs: 5", "milestones: [[0, 0.1]]", "14", "training.milestones.0.0", "0", "more than 0"),
    ("epochs: 5", "milestones: [[0.5, 0]]", "14", "training.milestones.0.1", "0", "more than 0"),
    ("epochs: 5", "milestones: [[0.5, -1]]", "14", "training.milestones.0.1", "-1", "more than 0"),
    (
        "epochs: 5",
        "milestones: [[0.8, 0.1], [0.5, 0.01]]",
        "14",
        "training.milestones.1.0",
        "0.5",
        "ascending order",
    ),
    (
        "epochs: 5",
        "milestones: [[0.5, 0.1], [0.5, 0.01]]",
        "14",
        "training.milestones.1.0",
        "0.5",
        "comes after 0.5",
    ),
    ("lr: 1e-3", "lr: [0.1, 0.2]", "15", "training.lr", "[0.1, 0.2]", "a number"),
    ("lr: 1e-3", "lr: fast", "15", "training.lr", "'fast'", "a number"),
    ("lanes: auto", "lanes: 0", "16", "training.lanes", "0", "auto, or"),
    ("lanes: auto", "lanes: automatic", "16", "training.lanes", "'automatic'", "auto, or"),
    (
        "lanes: auto",
        "lanes: atuo",
        "16",
        "training.lanes",
        "'atuo'",
        "did you mean 'auto'? auto, or a whole number",
    ),
    ("lanes: auto", "engine: graph", "16", "training.engine", "'graph'", "resources: {gpu: 1}"),
    ("lanes: auto", "precision: tf32", "16", "training.precision", "'tf32'", "{gpu: 1}"),
    (
        "lanes: auto",
        "lanes: 2\n  engine: loop",
        "16",
        "training.lanes",
        "2",
        "1 or auto is allowed with engine: loop",
    ),
    ("lanes: auto", "engine: wide", "16", "training.engine", "'wide'", "stacked"),
    ("lanes: auto", "lanes: true", "16", "training.lanes", "true", "auto, or"),
    ("trials: 10", "trials: 0", "18", "search.trials", "0", "at least 1"),
    ("trials: 10", "trials: 1000000000", "18", "search.trials", "1000000000", "at most 100000"),
    ("trials: 10", "trials: null", "18", "search.trials", "null", "whole number"),
    ("trials: 10", "trails: 10", "18", "search.trails", "10", "did you mean 'trials'?"),
    ("trials: 10", "sampler: nsga2", "18", "search.sampler", "'nsga2'", "random, tpe"),
    ("trials: 10", "race: asha", "18", "search.race", "'asha'", "only null"),
    ("trials: 10", "from: [old]", "18", "search.from", "['old']", "only []"),
    ("trials: 10", "warm: []", "18", "search.warm", "[]", "allowed: constraints"),
    ("trials: 10", "constraints: {a: 1}", "18", "search.constraints", "{'a': 1}", "only {}"),
    ("trials: 10", "lag: 0", "18", "search.lag", "0", "at least 1"),
    ("seed: 0", "seed: -1", "19", "search.seed", "-1", "at least 0"),
    ("seed: 0", "trials: 9", "19", "search.trials", "twice", "line 18"),
    ("cpu: 1", "cpu: -1", "21", "resources.cpu", "-1", "at least 0"),
    ("cpu: 1", "cpus: 1", "21", "resources.cpus", "1", "did you mean 'cpu'?"),
    ("cpu: 1", "cpu: 0", "20", "resources", "{'cpu': 0, 'gpu': 0}", "cpu + gpu > 0"),
    ("gpu: 0", "gpu: 1.5", "22", "resources.gpu", "1.5", "a fraction up to 1, or a whole number"),
    ("cpu: 1", "spread: 0", "21", "resources.spread", "0", "at least 1"),
    ("cpu: 1", "time_limit: 0", "21", "resources.time_limit", "0", "at least 1"),
    ("cpu: 1", "time_limit: 2h", "21", "resources.time_limit", "'2h'", "a number or null"),
    ("gpu: 0", "gpu: many", "22", "resources.gpu", "'many'", "a number"),
    ("  gpu: 0", "keep_signals: 1", "22", "keep_signals", "1", "all, front, none"),
    ("  gpu: 0", "canaries: {records: 5}", "22", "canaries.records", "5", "no such key"),
    ("  gpu: 0", "? [a]\n: 1", "22", "the file", "a text is allowed as a key", ""),
    ("  gpu: 0", "canaries: &a {}", "22", "canaries", "&a", "anchors"),
    ("  gpu: 0", "canaries: *a", "22", "canaries", "*a", "aliases"),
    ("  gpu: 0", "<<: {}", "22", "<<", "{}", "no such key"),
    ("  gpu: 0", "canaries: !!map {}", "22", "canaries", "tag:yaml.org,2002:map", "tags"),
    (
        "  gpu: 0",
        "canaries: !!python/object/apply:os.system [id]",
        "22",
        "canaries",
        "os.system",
        "tags",
    ),
    ("  gpu: 0", "---\nname: other", "22", "the file", "one document", ""),
    ("  gpu: 0", "canaries: " + "[" * 30 + "]" * 30, "22", "canaries.0.0", "20 levels", ""),
    ("  gpu: 0", 'canaries: "\\0"', "22", "canaries", "'\\x00'", "without NUL"),
    ("  gpu: 0", 'canaries: "\\ud800"', "22", "", "", ""),
    ("  gpu: 0", "\tgpu: 0", "22", "not YAML", "", ""),
    ("  gpu: 0", "canaries: {", "23", "not YAML", "", ""),
    ("  gpu: 0", "canaries: \0", "22", "the file", "a NUL", ""),
    ("  gpu: 0", "canaries: \x07", "22", "not YAML", "", ""),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "value", "more"), BAD, ids=[f"{b[1][:40]!r}" for b in BAD]
)
def test_a_bad_file_is_refused_with_its_place_key_and_value(
    old: str, new: str, line: str, key: str, value: str, more: str
) -> None:
    said = message(edited(old, new))
    assert said.startswith(f"x.yaml:{line}: {key}"), said
    assert value in said and more in said, said


BAD_SETS = [
    ("search.trials=x", "search.trials", "'x'", "whole number"),
    ("search.trails=5", "search.trails", "5", "did you mean 'trials'?"),
    ("search.trials=100000000000000000000", "search.trials", "'1000", "finite"),
    ("serach.trials=5", "serach", "{'trials': 5}", "did you mean 'search'?"),
    ("training.epochs=[1", "", "", "not YAML"),
    ("defenses.9=[]", "defenses.9", "0 to 3", "index"),
    ("defenses.-1=[]", "defenses.-1", "0 to 3", "index"),
    ("defenses.0.0=soft", "defenses.0.0", "empty", ""),
    ("defenses.1.0.soft.alpha.low=50", "defenses.1.0.soft.alpha", "{'low': 50", "low < high"),
    ("name.first=x", "name.first", "'study'", "no parts"),
    ("attacks=[flops]", "attacks.0", "'flops'", "did you mean 'flips'?"),
    ("resources=*x", "", "*x", "aliases"),
    ("network={mlp: {width: 1, width: 2}}", "network.mlp.width", "twice", ""),
    ("resources.gpu=.nan", "resources.gpu", "'.nan'", "finite"),
]


@pytest.mark.parametrize(
    ("spelled", "key", "value", "more"), BAD_SETS, ids=[b[0] for b in BAD_SETS]
)
def test_a_bad_override_is_refused_with_its_key_and_value(
    spelled: str, key: str, value: str, more: str
) -> None:
    said = message(GOOD, spelled)
    place = f"--set {spelled.partition('=')[0]}: {key}"
    assert said.startswith(place) or key == "defenses.1.0.soft.alpha", said
    assert key in said and value in said and more in said, said


@pytest.mark.parametrize(
    "spelled", ["search.trials", "=5", "a..b=1", ".=1", ".".join("a" * 30) + "=1"]
)
def test_an_override_that_is_none_says_how_one_looks(spelled: str) -> None:
    assert "a.b=value" in message(GOOD, spelled)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    cases = {
        "missing": None,
        "large": b"#" * 1_000_001,
        "latin": b"name: a\nx: \xfcber\n",
        "empty": b"",
        "list": b"- a\n",
    }
    said = {}
    for name, raw in cases.items():
        if raw is not None:
            (tmp_path / name).write_bytes(raw)
        with pytest.raises(SweepError) as caught:
            sweep.load(tmp_path / name)
        said[name] = str(caught.value)
        assert str(tmp_path / name) in said[name] and "\n" not in said[name]
    with pytest.raises(SweepError):
        sweep.load(tmp_path)
    assert (
        "No such file" in said["missing"]
        and "1 MB" in said["large"]
        and "name: must be given" in said["empty"]
    )
    assert (
        ":2: the file: got byte 0xfc; UTF-8 is allowed" in said["latin"]
        and "a mapping is allowed" in said["list"]
    )


def test_aliases_never_unfold_and_depth_never_overflows() -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(
        f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "anchors are not allowed" in message(bomb)
    assert "20 levels" in message("name: " + "[" * 900 + "]" * 900)
    assert "20000 values" in message("name: [" + "1," * 30_000 + "]")


@given(st.text(max_size=60))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        sweep.parse(text, "x.yaml")
    except SweepError as error:
        assert "\n" not in str(error)


@given(
    at=st.integers(0, len(GOOD) - 1),
    junk=st.sampled_from(list("[]{}:,-#&*!|>'\"%@` \n\t\0a1")),
    cut=st.integers(0, 5),
)
def test_a_mutated_file_is_read_or_refused(at: int, junk: str, cut: int) -> None:
    try:
        sweep.parse(GOOD[:at] + junk + GOOD[at + cut :], "x.yaml")
    except SweepError as error:
        assert "\n" not in str(error)
