"""What a sweep file may say, what it means, and how it is refused."""

import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raymia.attacks
import raymia.defenses
from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Choice, Part, Range
from raymia.study import lanes, sweep
from raymia.study import strict_yaml as yamlfile
from raymia.study.sweep import Point, Sweep

PLUGINS = {
    "defenses/soft.py": """
        from dataclasses import dataclass
        from typing import Annotated
        from raymia.training.defense import Defense
        from raymia.point.space import Choice, Range
        @dataclass(frozen=True)
        class Soft(Defense):
            "Knobs of every type."
            alpha: Annotated[float, Range(0.0, 2.0, least=0.0)] = 1
            steps: Annotated[int, Range(1, 9, least=1, most=20)] = 3
            mode: Annotated[str, Choice(("near", "far"))] = "near"
            hard: bool = False
            plain: float = 0.5
            label: str = "1e-3"
        """,
    "defenses/swap.py": """
        from dataclasses import dataclass
        from raymia.training.defense import Defense
        @dataclass(frozen=True)
        class Swap(Defense):
            "Owns the criterion, as trade does."
            revision = 3
            low: float = 0.0
            high: float = 1.0
            def __post_init__(self):
                if self.low > self.high:
                    raise ValueError("low <= high is allowed")
            def criterion(self, outputs, batch, clock):
                return None
        """,
    "defenses/trade.py": """
        from dataclasses import dataclass
        from raymia.training.defense import Defense
        @dataclass(frozen=True)
        class Trade(Defense):
            "Needs its strength."
            strength: int
            def criterion(self, outputs, batch, clock):
                return None
        """,
    "defenses/kept.py": """
        from dataclasses import dataclass
        from raymia.training.defense import Defense, Traits
        @dataclass(frozen=True)
        class Kept(Defense):
            "Wants the defender's reference."
            def traits(self):
                return Traits(beside="uniform")
        """,
    "defenses/narrow.py": """
        from dataclasses import dataclass
        from typing import Annotated
        from raymia.training.defense import Defense
        from raymia.point.space import Range
        @dataclass(frozen=True)
        class Narrow(Defense):
            "Says what it allows in code."
            wide: Annotated[int, Range(1, 4)] = 2
            soft: float = 0.0
            def __post_init__(self):
                if self.wide > 5:
                    raise ValueError(f"wide: got {self.wide}; at most 5 is allowed")
        """,
    "attacks/cheap.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack
        @dataclass(frozen=True)
        class Cheap(Attack):
            "Always applies."
            standard: ClassVar[bool] = True
            mode: str = "a"
        """,
    "attacks/online.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack, Traits
        @dataclass(frozen=True)
        class Online(Attack):
            "Needs shadows that train on the record."
            standard: ClassVar[bool] = True
            def traits(self):
                return Traits(wants={"in_shadows"})
        """,
    "attacks/crowd.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack, Traits
        @dataclass(frozen=True)
        class Crowd(Attack):
            "Needs a population; not standard."
            def traits(self):
                return Traits(wants={"population"})
        """,
    "attacks/flips.py": """
        from dataclasses import dataclass
        from typing import ClassVar
        from raymia.attack.attack import Attack, Traits
        @dataclass(frozen=True)
        class Flips(Attack):
            "Needs images; not standard."
            def traits(self):
                return Traits(wants={"images"})
        """,
}

GOOD = """\
name: study
dataset: {digits: {records: 100}}
network: mlp
protocol: {coin: {models: 8, targets: 4}}
defenses:
  - []
  - [soft: {alpha: {low: 0.1, high: 1e1, log: true}, steps: [2, 4], mode: far}]
  - [soft, swap: {low: 0.25}]
  - - soft: {alpha: 1}
      trade: {strength: 2}
attacks: standard
attacker: adaptive
training:
  epochs: 5
  lr: 1e-3
  lanes: auto
search:
  trials: 10
  seed: 0
resources:
  cpu: 1
  gpu: 0
"""


class Hash:
    """Stands in for Data: a point asks it for its hash alone."""

    def sha256(self) -> str:
        return "ab" * 32


DATA: Any = Hash()


@pytest.fixture(autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The catalogue's defenses and attacks are the small ones above."""
    import textwrap

    root = tmp_path_factory.mktemp("plugins")
    for name, text in PLUGINS.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    caches = (catalog.names, catalog.find)
    for kind in ("defenses", "attacks"):
        monkeypatch.setattr(getattr(raymia, kind), "__path__", [str(root / kind)])
    for cache in caches:
        cache.cache_clear()
    yield
    for name in PLUGINS:
        sys.modules.pop("raymia." + name.removesuffix(".py").replace("/", "."), None)
    for cache in caches:
        cache.cache_clear()


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must stand once in GOOD"
    return GOOD.replace(old, new)


def message(text: str, *overrides: str) -> str:
    with pytest.raises(SweepError) as caught:
        sweep.parse(text, "x.yaml", overrides)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()
    return str(caught.value)


# ---- what is refused: (what to replace, by what, where, dotted key, the value as shown, what else the message says)

BAD = [
    ("name: study", "name: ../../escape", "1", "name", "'../../escape'", "letters"),
    ("name: study", "name: .hidden", "1", "name", "'.hidden'", "letters"),
    ("name: study", "name: 'a b'", "1", "name", "'a b'", "letters"),
    ("name: study", 'name: "a\\n"', "1", "name", "'a\\n'", "letters"),
    ("name: study", "name: ''", "1", "name", "''", "letters"),
    ("name: study", "name: " + "a" * 65, "1", "name", "'" + "a" * 65 + "'", "64"),
    ("name: study", "name: 12", "1", "name", "12", "put it in quotes, to make it a text; 1 to 64 letters"),
    ("name: study", "name: 2024", "1", "name", "got 2024; put it in quotes", "letters"),
    ("name: study", "name: [a]", "1", "name", "['a']", "letters"),
    ("name: study", "name: über", "1", "name", "'über'", "letters"),
    ("name: study\n", "", "1", "name", "must be given", ""),
    ("name: study", "title: study", "1", "title", "'study'", "allowed: attacker"),
    ("network: mlp", "netwrk: mlp", "3", "netwrk", "'mlp'", "did you mean 'network'?"),
    ("network: mlp", "network: mpl", "3", "network", "'mpl'", "did you mean 'mlp'?"),
    ("network: mlp", "network: null", "3", "network", "null", "a name"),
    ("network: mlp", "network: 3", "3", "network", "3", "a name"),
    ("network: mlp", "network: [mlp]", "3", "network", "['mlp']", "a name"),
    ("network: mlp", "network: {mlp: {}, cnn: {}}", "3", "network", "{'mlp'", "one name"),
    ("network: mlp", "network: {mlp: {wdth: 3}}", "3", "network.mlp.wdth", "3", "did you mean 'width'?"),
    ("network: mlp", "network: {mlp: {width: wide}}", "3", "network.mlp.width", "'wide'", "whole number"),
    ("network: mlp", "network: {mlp: {width: 8.5}}", "3", "network.mlp.width", "8.5", "whole number"),
    ("network: mlp", "network: {mlp: {width: true}}", "3", "network.mlp.width", "true", "whole number"),
    ("network: mlp", "network: {mlp: {width: 0}}", "3", "network.mlp.width", "0", "at least 1"),
    ("network: mlp", "network: {mlp: {width: 0777}}", "3", "network.mlp.width", "'0777'", "whole number"),
    ("network: mlp", "network: {mlp: {width: 12:30:45}}", "3", "network.mlp.width", "'12:30:45'", "whole number"),
    ("network: mlp", "network: {mlp: {width: 1_000}}", "3", "network.mlp.width", "'1_000'", "whole number"),
    ("network: mlp", "network: {mlp: {width: 1e3}}", "3", "network.mlp.width", "1000.0", "whole number"),
    ("network: mlp", "network: {mlp: {width: 0x10}}", "3", "network.mlp.width", "'0x10'", "whole number"),
    ("network: mlp", "network: {mlp: {width: " + "9" * 5000 + "}}", "3", "network.mlp.width", "'999", "finite"),
    ("network: mlp", "network: {mlp: {activation: relou}}", "3", "network.mlp.activation", "'relou'", "'relu'"),
    ("network: mlp", "network: {mlp: {width: {low: 1, high: 2}}}", "3", "network.mlp.width", "{'low'", "whole number"),
    ("network: mlp", "network: {mlp: {width: [8, 16]}}", "3", "network.mlp.width", "[8, 16]", "whole number"),
    ("{digits: {records: 100}}", "digit", "2", "dataset", "'digit'", "did you mean 'digits'?"),
    ("{digits: {records: 100}}", "{digits: 100}", "2", "dataset.digits", "100", "a mapping"),
    ("{digits: {records: 100}}", "arrays", "2", "dataset.arrays.path", "must be given", ""),
    ("{digits: {records: 100}}", "{arrays: {path: 5}}", "2", "dataset.arrays.path", "5", "a text"),
    ("{digits: {records: 100}}", "{digits: {records: -1}}", "2", "dataset.digits.records", "got -1; at least 8 is", ""),
    ("{coin: {models: 8, targets: 4}}", "coins", "4", "protocol", "'coins'", "did you mean 'coin'?"),
    ("models: 8,", "models: 7,", "4", "protocol.coin.models", "got 7; an even number", ""),
    ("models: 8,", "models: 1000000,", "4", "protocol.coin.models", "1000000", "at most 4096"),
    ("targets: 4}", "targets: 5}", "4", "protocol.coin.targets", "got 5; at most models / 2 = 4", ""),
    ("models: 8, targets: 4", "models: 6", "4", "protocol.coin.targets", "got 4; at most models / 2 = 3", ""),
    ("{coin: {models: 8, targets: 4}}", "{slices: {split_seed: x}}", "4", "protocol.slices.split_seed", "'x'", "whole number"),
    ("targets: 4}", "reserve: 2}", "4", "protocol.coin.reserve", "2", "at most 0.9"),
    ("targets: 4}", "targets: 4, targets: 4}", "4", "protocol.coin.targets", "twice", "line 4"),
    ("  - []\n", "  - soft\n", "6", "defenses.0", "'soft'", "a list of parts"),
    ("  - []\n", "  - null\n", "6", "defenses.0", "null", "a list of parts"),
    ("  - []\n", "  - [null]\n", "6", "defenses.0.0", "null", "a name"),
    ("  - []\n", "  - [{}]\n", "6", "defenses.0.0", "{}", "a name"),
    ("  - []\n", "  - [[soft]]\n", "6", "defenses.0.0", "['soft']", "a name"),
    ("  - []\n", "  - [sfot]\n", "6", "defenses.0.0", "'sfot'", "did you mean 'soft'?"),
    ("  - []\n", "  - [sfot: {}]\n", "6", "defenses.0.0.sfot", "'sfot'", "did you mean 'soft'?"),
    ("  - []\n", "  - [../soft]\n", "6", "defenses.0.0", "'../soft'", "allowed: kept, narrow, soft"),
    ("  - []\n", "  - [soft, soft: {}]\n", "6", "defenses.0.1.soft", "'soft'", "once"),
    ("  - []\n", "  - [swap, trade: {strength: 1}]\n", "6", "defenses.0", "'swap+trade'", "criterion"),
    ("  - []\n", "  - [trade]\n", "6", "defenses.0.0.trade.strength", "must be given", ""),
    ("  - []\n", "  - [soft: [1]]\n", "6", "defenses.0.0.soft", "[1]", "a mapping"),
    ("{low: 0.25}", "{low: 2}", "8", "defenses.2.1.swap", "{'low': 2}", "low <= high"),
    ("  - []\n", "  - [narrow: {wide: {low: 7, high: 9}}]\n", "6", "defenses.0.0.narrow.wide", "{'low': 7", "at most 5"),
    ("  - []\n", "  - [narrow: {wide: 7, soft: [0.1, 0.2]}]\n", "6", "defenses.0.0.narrow.wide", "got 7; at most 5", ""),
    ("low: 0.1, high: 1e1, log: true", "low: 2, high: 1", "7", "defenses.1.0.soft.alpha", "{'low': 2", "low < high"),
    ("low: 0.1, high: 1e1, log: true", "low: 1, high: 1", "7", "defenses.1.0.soft.alpha", "{'low': 1", "low < high"),
    ("low: 0.1, high: 1e1", "low: 0, high: 1e1", "7", "defenses.1.0.soft.alpha.low", "0", "low > 0"),
    ("low: 0.1, high: 1e1", "low: -1, high: 1e1", "7", "defenses.1.0.soft.alpha.low", "-1", "at least 0"),
    ("low: 0.1, high: 1e1", "low: 0.1", "7", "defenses.1.0.soft.alpha.high", "must be given", ""),
    ("low: 0.1, high: 1e1", "low: 0.1, hihg: 1", "7", "defenses.1.0.soft.alpha.hihg", "1", "did you mean 'high'?"),
    ("high: 1e1", "high: .inf", "7", "defenses.1.0.soft.alpha.high", "'.inf'", "finite"),
    ("high: 1e1", "high: .NaN", "7", "defenses.1.0.soft.alpha.high", "'.NaN'", "finite"),
    ("high: 1e1", "high: 1e999", "7", "defenses.1.0.soft.alpha.high", "'1e999'", "finite"),
    ("high: 1e1", "high: '10'", "7", "defenses.1.0.soft.alpha.high", "'10'", "a number"),
    ("high: 1e1", "high: null", "7", "defenses.1.0.soft.alpha.high", "null", "a number"),
    ("log: true", "log: yes", "7", "defenses.1.0.soft.alpha.log", "'yes'", "true or false"),
    ("log: true", "log: 1", "7", "defenses.1.0.soft.alpha.log", "1", "true or false"),
    ("steps: [2, 4]", "steps: []", "7", "defenses.1.0.soft.steps", "[]", "1 to 200"),
    ("steps: [2, 4]", "steps: [2, 2]", "7", "defenses.1.0.soft.steps.1", "2", "once"),
    ("steps: [2, 4]", "steps: [2, 99]", "7", "defenses.1.0.soft.steps.1", "99", "at most 20"),
    ("steps: [2, 4]", "steps: [2, x]", "7", "defenses.1.0.soft.steps.1", "'x'", "whole number"),
    ("steps: [2, 4]", "steps: {low: 1.5, high: 3}", "7", "defenses.1.0.soft.steps.low", "1.5", "whole number"),
    ("steps: [2, 4]", "steps: {low: 1, high: 30}", "7", "defenses.1.0.soft.steps.high", "30", "at most 20"),
    ("mode: far", "mode: fra", "7", "defenses.1.0.soft.mode", "'fra'", "did you mean 'far'?"),
    ("mode: far", "mode: [far, fra]", "7", "defenses.1.0.soft.mode.1", "'fra'", "did you mean 'far'?"),
    ("mode: far", "mode: {low: 1, high: 2}", "7", "defenses.1.0.soft.mode", "{'low'", "for numbers"),
    ("mode: far", "hard: no", "7", "defenses.1.0.soft.hard", "'no'", "true or false"),
    ("mode: far", "hard: {low: 0, high: 1}", "7", "defenses.1.0.soft.hard", "{'low'", "for numbers"),
    ("mode: far", "plain: 1,5", "7", "defenses.1.0.soft.5", "null", "allowed: alpha"),
    ("mode: far", "plian: 1.5", "7", "defenses.1.0.soft.plian", "1.5", "did you mean 'plain'?"),
    ("attacks: standard", "attacks: standrad", "11", "attacks", "'standrad'", "did you mean 'standard'? standard, all"),
    ("attacks: standard", "attacks: standart", "11", "attacks", "'standart'", "did you mean 'standard'? standard, all"),
    ("attacks: standard", "attacks: cheap", "11", "attacks", "'cheap'", "did you mean [cheap]? standard, all"),
    ("attacks: standard", "attacks: chaep", "11", "attacks", "'chaep'", "did you mean [cheap]? standard, all"),
    ("attacks: standard", "attacks: 5", "11", "attacks", "5", "standard, all"),
    ("attacks: standard", "attacks: []", "11", "attacks", "[]", "standard, all"),
    ("attacks: standard", "attacks: [chep]", "11", "attacks.0", "'chep'", "did you mean 'cheap'?"),
    ("attacks: standard", "attacks: [cheap: {mod: b}]", "11", "attacks.0.cheap.mod", "'b'", "'mode'"),
    ("attacks: standard", "attacks: [cheap: {mode: [a, b]}]", "11", "attacks.0.cheap.mode", "['a', 'b']", "a text"),
    ("attacks: standard", "attacks: [cheap, cheap]", "11", "attacks.1", "'cheap'", "once"),
    ("attacker: adaptive", "attacker: adaptiv", "12", "attacker", "'adaptiv'", "did you mean 'adaptive'?"),
    ("attacker: adaptive", "attacker: [plain]", "12", "attacker", "['plain']", "adaptive, plain"),
    ("epochs: 5", "epochs: 0", "14", "training.epochs", "0", "at least 1"),
    ("epochs: 5", "epochs: 1000000", "14", "training.epochs", "1000000", "at most 100000"),
    ("epochs: 5", "epoch: 5", "14", "training.epoch", "5", "did you mean 'epochs'?"),
    ("epochs: 5", "epochs: 5.0", "14", "training.epochs", "5.0", "whole number"),
    ("epochs: 5", "optimizer: sdg", "14", "training.optimizer", "'sdg'", "did you mean 'sgd'?"),
    ("epochs: 5", "momentum: 1.5", "14", "training.momentum", "1.5", "at most 1"),
    ("epochs: 5", "milestones: [0.5]", "14", "training.milestones", "[0.5]", "allowed"),
    ("epochs: 5", "milestones: 3", "14", "training.milestones", "got 3; a list of [fraction of epochs, factor", "[[0.5"),
    ("epochs: 5", "milestones: [[0.5, x]]", "14", "training.milestones", "[[0.5, 'x']]", "a list of [fraction"),
    ("epochs: 5", "milestones: [[0.5, true]]", "14", "training.milestones", "[[0.5, True]]", "a list of [fraction"),
    ("epochs: 5", "milestones: [[0.5, 0.1, 3]]", "14", "training.milestones", "[[0.5, 0.1, 3]]", "a list of [fraction"),
    ("epochs: 5", "milestones: [[1.5, 0.1]]", "14", "training.milestones.0.0", "1.5", "less than 1"),
    ("epochs: 5", "milestones: [[30, 0.1]]", "14", "training.milestones.0.0", "30", "a fraction of epochs"),
    ("epochs: 5", "milestones: [[0, 0.1]]", "14", "training.milestones.0.0", "0", "more than 0"),
    ("epochs: 5", "milestones: [[0.5, 0]]", "14", "training.milestones.0.1", "0", "more than 0"),
    ("epochs: 5", "milestones: [[0.5, -1]]", "14", "training.milestones.0.1", "-1", "more than 0"),
    ("epochs: 5", "milestones: [[0.8, 0.1], [0.5, 0.01]]", "14", "training.milestones.1.0", "0.5", "ascending order"),
    ("epochs: 5", "milestones: [[0.5, 0.1], [0.5, 0.01]]", "14", "training.milestones.1.0", "0.5", "comes after 0.5"),
    ("lr: 1e-3", "lr: [0.1, 0.2]", "15", "training.lr", "[0.1, 0.2]", "a number"),
    ("lr: 1e-3", "lr: fast", "15", "training.lr", "'fast'", "a number"),
    ("lanes: auto", "lanes: 0", "16", "training.lanes", "0", "auto, or"),
    ("lanes: auto", "lanes: automatic", "16", "training.lanes", "'automatic'", "auto, or"),
    ("lanes: auto", "lanes: atuo", "16", "training.lanes", "'atuo'", "did you mean 'auto'? auto, or a whole number"),
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
    ("  gpu: 0", "canaries: !!python/object/apply:os.system [id]", "22", "canaries", "os.system", "tags"),
    ("  gpu: 0", "---\nname: other", "22", "the file", "one document", ""),
    ("  gpu: 0", "canaries: " + "[" * 30 + "]" * 30, "22", "canaries.0.0", "20 levels", ""),
    ("  gpu: 0", 'canaries: "\\0"', "22", "canaries", "'\\x00'", "without NUL"),
    ("  gpu: 0", 'canaries: "\\ud800"', "22", "", "", ""),
    ("  gpu: 0", "\tgpu: 0", "22", "not YAML", "", ""),
    ("  gpu: 0", "canaries: {", "23", "not YAML", "", ""),
    ("  gpu: 0", "canaries: \0", "22", "the file", "a NUL", ""),
    ("  gpu: 0", "canaries: \x07", "22", "not YAML", "", ""),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "value", "more"), BAD, ids=[f"{b[1][:40]!r}" for b in BAD])
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


@pytest.mark.parametrize(("spelled", "key", "value", "more"), BAD_SETS, ids=[b[0] for b in BAD_SETS])
def test_a_bad_override_is_refused_with_its_key_and_value(spelled: str, key: str, value: str, more: str) -> None:
    said = message(GOOD, spelled)
    place = f"--set {spelled.partition('=')[0]}: {key}"
    assert said.startswith(place) or key == "defenses.1.0.soft.alpha", said
    assert key in said and value in said and more in said, said


@pytest.mark.parametrize("spelled", ["search.trials", "=5", "a..b=1", ".=1", ".".join("a" * 30) + "=1"])
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
    assert "No such file" in said["missing"] and "1 MB" in said["large"] and "name: must be given" in said["empty"]
    assert ":2: the file: got byte 0xfc; UTF-8 is allowed" in said["latin"] and "a mapping is allowed" in said["list"]


def test_aliases_never_unfold_and_depth_never_overflows() -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    assert "anchors are not allowed" in message(bomb)
    assert "20 levels" in message("name: " + "[" * 900 + "]" * 900)
    assert "20000 values" in message("name: [" + "1," * 30_000 + "]")


@given(st.text(max_size=60))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        sweep.parse(text, "x.yaml")
    except SweepError as error:
        assert "\n" not in str(error)


@given(at=st.integers(0, len(GOOD) - 1), junk=st.sampled_from(list("[]{}:,-#&*!|>'\"%@` \n\t\0a1")), cut=st.integers(0, 5))
def test_a_mutated_file_is_read_or_refused(at: int, junk: str, cut: int) -> None:
    try:
        sweep.parse(GOOD[:at] + junk + GOOD[at + cut :], "x.yaml")
    except SweepError as error:
        assert "\n" not in str(error)


# ---- what it means ---------------------------------------------------------------------------------------------------


def test_the_three_spellings_of_a_knob_and_what_is_left_out() -> None:
    study = sweep.parse(GOOD)
    none, spelled, left_out, mapped = study.arms
    assert none == ()
    assert spelled[0].knobs["alpha"] == Range(0.1, 10.0, log=True) and spelled[0].knobs["steps"] == Choice((2, 4))
    assert spelled[0].knobs["mode"] == "far"
    # a declared range is searched; choices, booleans and knobs without a domain stay at their default
    expected = {"alpha": Range(0.0, 2.0), "steps": Range(1, 9), "mode": "near", "hard": False}
    assert dict(left_out[0].knobs) == expected | {"plain": 0.5, "label": "1e-3"}
    assert left_out[1] == Part("swap", {"low": 0.25, "high": 1.0})
    assert [part.name for part in mapped] == ["soft", "trade"]
    assert isinstance(left_out[0].knobs["steps"].low, int) and isinstance(left_out[0].knobs["alpha"].low, float)
    assert study.space(2) == {"soft.alpha": Range(0.0, 2.0), "soft.steps": Range(1, 9)}
    assert study.space(0) == {}


def test_everything_left_out_has_its_default() -> None:
    study = sweep.parse("{name: a, dataset: digits, network: mlp, defenses: [[]]}")
    assert study.protocol.name == "coin" and study.attacker == "adaptive" and study.keep_signals == "all"
    assert study.search == sweep.Search(24, "tpe", 0, 8, None, (), {}) and study.training == {} and study.lanes == "auto"
    assert study.resources == sweep.Resources(1.0, 0.0, 1, None) and study.shape == (8, 4) and study.device == "cpu"
    assert study == sweep.parse("{name: a, dataset: digits, network: mlp, defenses: [[]], search: null, training: null}")


def test_a_trial_may_take_gpus_alone_and_whole_ones_or_a_fraction_of_one() -> None:
    for gpu in (0.25, 1, 2, 2.0):
        assert sweep.parse(GOOD, "x", ["resources.cpu=0", f"resources.gpu={gpu}"]).resources.gpu == gpu
    assert sweep.parse(GOOD, "x", ["resources.cpu=1.5"]).resources.cpu == 1.5


def test_a_rule_may_hold_at_one_end_of_a_range() -> None:
    study = sweep.parse(edited("- []", "- [narrow: {wide: {low: 1, high: 9}}]"))
    assert study.space(0) == {"narrow.wide": Range(1, 9)}


def test_defaults_are_clipped_into_the_range_of_the_file() -> None:
    def default(soft: str) -> dict[str, Any]:
        return sweep.parse(edited("- []", f"- [soft: {soft}]")).default(0)

    assert default("{}") == {"soft.alpha": 1.0, "soft.steps": 3}
    assert default("{alpha: {low: 1.5, high: 2}, steps: {low: 1, high: 2}}") == {"soft.alpha": 1.5, "soft.steps": 2}
    assert default("{alpha: 1, steps: [7, 3]}") == {"soft.steps": 3}
    assert default("{alpha: 1, steps: [7, 8]}") == {"soft.steps": 7}
    assert sweep.parse(edited("strength: 2", "strength: {low: 4, high: 6}")).default(3)["trade.strength"] == 4


def test_numbers_and_words_are_those_of_yaml_1_2() -> None:
    pairs = "a: 1e-3|b: on|c: no|d: 0777|e: 12:30:45|f: 1_0|g: +3|h: -0.0|i: .5|j: 5.|k: ~|l: True|m: '1'|n: 0|1: x"
    values = yamlfile.parse(pairs.replace("|", "\n"), "x").plain()
    expected = {"a": 1e-3, "b": "on", "c": "no", "d": "0777", "e": "12:30:45", "f": "1_0", "g": 3, "h": 0.0, "i": 0.5}
    assert values == expected | {"j": 5.0, "k": None, "l": True, "m": "1", "n": 0, "1": "x"}
    assert str(values["h"]) == "0.0" and type(values["g"]) is int and values["l"] is True


def test_line_ends_and_byte_order_marks_change_nothing(tmp_path: Path) -> None:
    study = sweep.parse(GOOD)
    for name, raw in {"crlf": GOOD.replace("\n", "\r\n").encode(), "bom": b"\xef\xbb\xbf" + GOOD.encode()}.items():
        (tmp_path / name).write_bytes(raw)
        assert sweep.load(tmp_path / name) == study
    (tmp_path / "crlf").write_bytes(edited("seed: 0", "seed: x").replace("\n", "\r\n").encode())
    with pytest.raises(SweepError, match="crlf:19: search.seed: got 'x'"):
        sweep.load(tmp_path / "crlf")


def test_overrides_are_as_if_written() -> None:
    sets = [
        "search.trials=50",
        "defenses.1.0.soft.alpha={low: 1, high: 2}",
        "network.mlp.width=8",
        "resources.time_limit=60",
    ]
    study = sweep.parse(GOOD, "x", [*sets, "search.lag=3", "defenses.0=[swap]", "defenses.2.0.soft.steps=4", "search.lag=2"])
    assert study.search.trials == 50 and study.search.lag == 2 and study.network.knobs["width"] == 8
    assert study.arms[1][0].knobs["alpha"] == Range(1.0, 2.0) and study.resources.time_limit == 60.0
    assert study.arms[0][0].name == "swap" and study.arms[2][0].knobs["steps"] == 4


def test_attacks_that_cannot_apply_are_left_out_or_refused() -> None:
    assert [p.name for p in sweep.parse(GOOD).attacks] == ["cheap", "online"]
    assert [p.name for p in sweep.parse(GOOD, "x", ["attacks=all"]).attacks] == ["cheap", "crowd", "flips", "online"]
    halves = sweep.parse(GOOD, "x", ["protocol={halves: {reserve: 0}}", "attacks=all"])
    assert [p.name for p in halves.attacks] == ["cheap", "flips"] and set(halves.left_out) == {"crowd", "online"}
    assert "shadows" in halves.left_out["online"] and "reserve" in halves.left_out["crowd"]
    said = message(GOOD, "protocol=halves", "attacks=[cheap, online: {}]")
    assert said.startswith("--set attacks: attacks.1.online: got 'online'; it cannot apply") and "shadows" in said
    variants = sweep.parse(GOOD, "x", ["attacks=[cheap, cheap: {mode: b}]"]).attacks
    assert [p.knobs["mode"] for p in variants] == ["a", "b"]


def test_images_are_asked_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog.find("datasets", "table"), "image", False)
    monkeypatch.setattr(catalog.find("datasets", "arrays"), "image", None)
    table = "dataset={table: {path: x.csv, label: y}}"
    assert "flips" not in [p.name for p in sweep.parse(GOOD, "x", [table, "attacks=all"]).attacks]
    assert "images" in message(GOOD, table, "attacks=[flips]")
    assert "no images" in message(GOOD, table, "network=resnet18")
    said = message(GOOD, table, "training.augment=crop_flip")
    assert said.startswith("--set training.augment: training.augment: got 'crop_flip'; none is allowed") and "table" in said
    assert sweep.parse(GOOD, "x", [table, "training.augment=none"]).training["augment"] == "none"
    arrays = "dataset={arrays: {path: x.npz}}"  # only the file knows: taken if asked for by name
    assert "flips" in sweep.parse(GOOD, "x", [arrays, "attacks=all"]).left_out
    assert [p.name for p in sweep.parse(GOOD, "x", [arrays, "attacks=[flips]"]).attacks] == ["flips"]


def test_a_defense_that_needs_a_reference_needs_a_reserve() -> None:
    sweep.parse(GOOD, "x", ["defenses.0=[kept]"])
    assert "reserve" in message(GOOD, "defenses.0=[kept]", "protocol.coin.reserve=0")


# ---- file -> object -> file ------------------------------------------------------------------------------------------

FILES = [
    GOOD,
    "{name: a, dataset: digits, network: mlp, defenses: [[]]}",
    edited("lanes: auto", "milestones: [[0.5, 0.1]]"),
    edited("lanes: auto", "milestones: []"),
]


@pytest.mark.parametrize("text", FILES)
def test_a_resolved_file_is_the_same_sweep(text: str) -> None:
    study = sweep.parse(text)
    written = sweep.dump(study.resolved())
    again = sweep.parse(written)
    assert again == study and sweep.dump(again.resolved()) == written
    assert json.loads(json.dumps(study.resolved())) == study.resolved()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:-1 ", min_size=1), inner, max_size=3)


@given(st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, nested, max_leaves=8))
def test_what_is_dumped_is_read_back(value: Any) -> None:
    read = yamlfile.parse(yamlfile.dump({"value": value}), "x").plain()
    assert read == {"value": value} and repr(read) == repr({"value": value}).replace("-0.0", "0.0")


# ---- points ----------------------------------------------------------------------------------------------------------


def a_point(text: str = GOOD, arm: int = 2, replicate: int = 0, **knobs: Any) -> Point:
    study = sweep.parse(text)
    return study.point(arm, study.default(arm) | {k.replace("_", "."): v for k, v in knobs.items()}, replicate, DATA)


def test_a_point_is_resolved() -> None:
    point = a_point(soft_alpha=2, soft_steps=3.0)
    assert point.knobs["soft.alpha"] == 2.0 and isinstance(point.knobs["soft.alpha"], float)
    assert isinstance(point.knobs["soft.steps"], int) and point.defense == "soft+swap" and a_point(arm=0).defense == "none"
    assert point.training.epochs == 5 and point.training.lr == 1e-3 and point.data == "ab" * 32
    assert point.training.batch_size == catalog.make("datasets", "digits", {}).training().batch_size
    assert (point.lanes, point.device, point.seed, point.replicate) == (4, "cpu", 0, 0)
    assert a_point(edited("gpu: 0", "gpu: 0.25")).device == "cuda"
    assert a_point(edited("lanes: auto", "lanes: 2")).lanes == 2


def test_a_point_survives_json_and_pickle() -> None:
    point = a_point()
    assert Point.from_json(json.loads(json.dumps(point.to_json()))) == point
    assert Point.from_json(json.loads(json.dumps(point.to_json()))).digest() == point.digest()
    assert pickle.loads(pickle.dumps(point)) == point


@pytest.mark.parametrize("knobs", [{}, {"soft.alpha": 1}, {"soft.alpha": 1, "soft.steps": 3, "swap.low": 0.1}])
def test_a_point_takes_exactly_the_free_knobs(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="free knobs"):
        sweep.parse(GOOD).point(2, knobs, 0, DATA)


@pytest.mark.parametrize(
    "knobs", [{"soft_alpha": 2.1}, {"soft_alpha": -0.1}, {"soft_steps": 2.5}, {"soft_alpha": float("nan")}]
)
def test_a_point_takes_no_knob_outside_its_domain(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is allowed|NaN"):
        a_point(**knobs)


def test_the_digest_does_not_depend_on_spelling() -> None:
    first = a_point()
    shuffled = "\n".join(sorted(GOOD.replace("\n  ", "\0").splitlines(), reverse=True)).replace("\0", "\n  ")
    assert a_point(shuffled).digest() == first.digest()
    assert a_point(edited("{low: 0.25}", "{high: 1, low: 0.25}")).digest() == first.digest()
    assert a_point(edited("{low: 0.25}", "{low: 2.5e-1}")).digest() == first.digest()
    assert a_point(edited("attacks: standard", "attacks: [cheap: {mode: a}, online]")).digest() == first.digest()
    # resources and the number of trials decide no number; neither does where the records lie
    assert a_point(edited("cpu: 1", "cpu: 2")).digest() == first.digest()
    assert a_point(edited("trials: 10", "trials: 20")).digest() == first.digest()
    moved = dataclasses.replace(first, dataset=Part("arrays", {"path": "elsewhere.npz", "records": None}))
    assert moved.digest() == first.digest() and len(first.digest()) == 64


CHANGES: dict[str, Any] = {
    "data": "cd" * 32,
    "network": Part("mlp", {"width": 8, "depth": 2, "activation": "relu"}),
    "protocol": Part("coin", {"reserve": 0.2, "models": 10, "targets": 4}),
    "recipe": (Part("swap", {"low": 0.25, "high": 1.0}),),
    "attacks": (Part("cheap", {"mode": "a"}),),
    "attacker": "plain",
    "training": Training(epochs=6),
    "canaries": {"records": 1},
    "seed": 1,
    "replicate": 1,
    "lanes": 1,
    "device": "cuda",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Point) if f.name != "dataset"])
def test_the_digest_changes_with_every_field(name: str) -> None:
    point = a_point()
    assert dataclasses.replace(point, **{name: CHANGES[name]}).digest() != point.digest()


def test_the_digest_changes_with_the_order_of_the_parts_and_their_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    point = a_point()
    assert dataclasses.replace(point, recipe=point.recipe[::-1]).digest() != point.digest()
    assert point.canonical()["revisions"]["defenses.swap"] == 3
    before = point.digest()
    monkeypatch.setattr(catalog.find("defenses", "swap"), "revision", 4)
    assert point.digest() != before


def test_lanes_come_from_the_committed_table() -> None:
    assert [lanes.auto("cpu", "mlp", n) for n in (2, 4, 64)] == [1, 4, 4]
    assert lanes.auto("cuda", "mlp", 64) == lanes.auto("cpu", "no_such", 64) == 1


# ---- going on --------------------------------------------------------------------------------------------------------


def resolved(*sets: str) -> dict[str, Any]:
    return sweep.parse(GOOD, "x", sets).resolved()


ALLOWED = ["search.trials=20", "protocol.coin.models=12", "attacks=[cheap]", "attacks=all", "resources.cpu=2"]
ALLOWED += ["resources.time_limit=9", "keep_signals=none", "resources.spread=2"]
FORBIDDEN = {
    "search.trials=9": "search.trials",
    "protocol.coin.models=10": "",
    "protocol.coin.targets=2": "protocol.coin.targets",
    "protocol=halves": "protocol.coin",
    "search.seed=1": "search.seed",
    "search.sampler=random": "search.sampler",
    "search.lag=4": "search.lag",
    "name=other": "name",
    "dataset.digits.records=99": "dataset.digits.records",
    "network.mlp.width=8": "network.mlp.width",
    "defenses.1.0.soft.alpha.high=5": "defenses.1.0.soft.alpha.high",
    "defenses=[[]]": "defenses",
    "attacker=plain": "attacker",
    "training.epochs=6": "training.epochs",
    "training.lanes=1": "training.lanes",
    "resources.gpu=1": "resources.gpu",
}


@pytest.mark.parametrize("spelled", ALLOWED)
def test_a_folder_may_go_on_with_this_changed(spelled: str) -> None:
    assert sweep.changed(resolved(), resolved(spelled))
    sweep.check_continues(resolved(), sweep.parse(GOOD, "x", [spelled]))


@pytest.mark.parametrize("spelled", FORBIDDEN)
def test_a_folder_may_not_go_on_with_that_changed(spelled: str) -> None:
    new = sweep.parse(GOOD, "x", [spelled, "search.trials=20"] if "trials" not in spelled else [spelled])
    base = resolved("protocol.coin.models=12") if "models=10" in spelled else resolved()
    with pytest.raises(SweepError) as caught:
        sweep.check_continues(base, new)
    key = FORBIDDEN[spelled] or "protocol.coin.models"
    assert f"another sweep: {key}" in str(caught.value) and "may change" in str(caught.value)


def test_changed_names_the_dotted_keys() -> None:
    assert sweep.changed(resolved(), resolved()) == []
    assert sweep.changed(resolved(), resolved("search.seed=1", "training.epochs=6")) == [
        "training.epochs",
        "search.seed",
    ]
    assert sweep.changed({"a": [1, {"b": 1}]}, {"a": [1, {"b": True}]}) == ["a.1.b"]


def test_the_resolved_file_goes_on_with_itself() -> None:
    study = sweep.parse(GOOD)
    sweep.check_continues(yamlfile.parse(sweep.dump(study.resolved()), "sweep.yaml").plain(), study)


# ---- what it costs to be refused -------------------------------------------------------------------------------------

HEAVY = "{'torch', 'ray', 'sklearn', 'scipy', 'optuna', 'opacus', 'torchvision', 'pandas', 'matplotlib'}"


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("{name: a, dataset: digits, network: mlp, defenses: [[], [relaxloss, srcm]]}")
    code = f"import sys; from raymia.study import sweep; sweep.load(sys.argv[1]); print({HEAVY} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.yaml")], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_a_sweep_is_frozen() -> None:
    study: Sweep = sweep.parse(GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.name = "x"  # type: ignore[misc]
