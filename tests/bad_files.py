"""A good sweep file, and more than two hundred that are wrong at one place each."""

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
