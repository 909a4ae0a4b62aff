"""The rules of the house hold, and each is shown to fail on a bad source."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from house_rules import (
    HEAVY,
    OWN_IN_FUNCTIONS,
    ROOT,
    RULES,
    Source,
    circles,
    columns,
    instances,
    layers,
    libraries,
    light,
    links,
    names,
    overrides,
    security,
    sizes,
)

SOURCES = [
    Source(p.relative_to(ROOT).as_posix(), p.read_text())
    for p in sorted((ROOT / "raymia").rglob("*.py"))
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[Source], Iterator[str]]) -> None:
    assert SOURCES
    problems = [problem for source in SOURCES for problem in rule(source)]
    assert not problems, "\n".join(problems)


def test_few_of_the_own_modules_are_imported_inside_functions() -> None:
    """Only where the start of the command line or a heavy library asks for it."""
    inside = [
        f"{s.path}:{i.line} {i.module}" for s in SOURCES for i in s.imports if i.where == "function"
    ]
    own = [
        one
        for one in inside
        if one.split()[1].startswith("raymia.") and not one.endswith(" raymia.lazy")
    ]
    assert len(own) <= OWN_IN_FUNCTIONS, "\n".join(own)


def test_no_circles() -> None:
    left = circles(SOURCES)
    assert not left, f"these import one another, or something that does: {left}"


BAD = [
    (libraries, "raymia/trial/run.py", "import ray"),
    (libraries, "raymia/trial/run.py", "def f():\n    from ray import tune"),
    (libraries, "raymia/trial/run.py", "if TYPE_CHECKING:\n    import ray"),
    (libraries, "raymia/verdict/metrics.py", "import torch.nn as nn"),
    (libraries, "raymia/results/folder.py", "from raymia.lazy import torch"),
    (libraries, "raymia/report/page.py", "def f():\n    import torch"),
    (libraries, "raymia/results/folder.py", "import yaml"),
    (libraries, "raymia/results/folder.py", "from optuna.trial import Trial"),
    (libraries, "raymia/training/fit.py", "import opacus"),
    (libraries, "raymia/training/fit.py", "def f():\n    import torchvision"),
    (libraries, "raymia/networks/vgg.py", "import torchvision"),
    (light, "raymia/networks/vgg.py", "import torch"),
    (light, "raymia/datasets/table.py", "import pandas as pd"),
    (light, "raymia/records/data.py", "from sklearn.datasets import load_digits"),
    (light, "raymia/cli.py", "class A:\n    import matplotlib"),
    (instances, "raymia/defenses/a.py", "from raymia.defenses.b import B"),
    (instances, "raymia/defenses/a.py", "from raymia.defenses import b"),
    (instances, "raymia/defenses/a.py", "from . import b"),
    (instances, "raymia/defenses/a.py", "from .b import B"),
    (instances, "raymia/attacks/a.py", "def f():\n    import raymia.defenses.b"),
    (names, "raymia/utils.py", ""),
    (names, "raymia/records/data_utils.py", ""),
    (names, "raymia/helpers/x.py", ""),
    (names, "raymia/attacks/base.py", ""),
    (layers, "raymia/records/data.py", "from raymia.trial import run"),
    (layers, "raymia/records/data.py", "from raymia import trial"),
    (layers, "raymia/records/data.py", "def f():\n    import raymia.cli"),
    (layers, "raymia/records/data.py", "from ..trial import run"),
    (layers, "raymia/training/fit.py", "from ..defenses import mmd"),
    (
        layers,
        "raymia/signals/ask.py",
        "if TYPE_CHECKING:\n    from raymia.attack.attack import Attack",
    ),
    (layers, "raymia/basement.py", ""),
    (layers, "raymia/helpful/x.py", ""),
    (layers, "raymia/results/row.py", "from raymia.cluster.driver import run"),
    (columns, "raymia/point/point.py", "x = 1  #" + 93 * "-"),
    (links, "raymia/signals/ask.py", "os.link(a, b)"),
    (libraries, "raymia/signals/ask.py", "import fcntl"),
    (overrides, "raymia/defenses/a.py", "x = 1  # type: ignore[override]"),
    (sizes, "raymia/training/fit.py", "x = 1\n" * 401),
    (sizes, "raymia/defenses/a.py", "x = 1\n" * 161),
    (security, "raymia/x.py", "pickle.load(f)"),
    (security, "raymia/x.py", "import ray.cloudpickle\nray.cloudpickle.loads(b)"),
    (security, "raymia/x.py", "from pickle import loads"),
    (security, "raymia/x.py", "joblib.load(p)"),
    (security, "raymia/x.py", "torch.load(p)"),
    (security, "raymia/x.py", "torch.load(p, weights_only=False)"),
    (security, "raymia/x.py", "np.load(p, allow_pickle=True)"),
    (security, "raymia/x.py", "np.load(p, allow_pickle=flag)"),
    (security, "raymia/x.py", "yaml.load(t, Loader=L)"),
    (security, "raymia/x.py", "eval('1')"),
    (security, "raymia/x.py", "exec('1')"),
    (security, "raymia/x.py", "subprocess.run('ls', shell=True)"),
    (security, "raymia/x.py", "os.system('ls')"),
    (security, "raymia/x.py", "tune.Tuner.restore(p)"),
    (security, "raymia/x.py", "f(allow_cloudpickle=True)"),
    (security, "raymia/x.py", "tarfile.open(p).extractall(q)"),
]


@pytest.mark.parametrize(
    ("rule", "path", "text"), BAD, ids=lambda v: getattr(v, "__name__", None) or repr(v)[:50]
)
def test_rule_can_fail(rule: Callable[[Source], Iterator[str]], path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


GOOD = [
    ("raymia/cluster/driver.py", "import ray\nfrom raymia.trial import run"),
    ("raymia/search/suggest.py", "import optuna\nfrom raymia.study.sweep import Sweep"),
    (
        "raymia/study/sweep.py",
        "import yaml\nif TYPE_CHECKING:\n    from raymia.records.data import Data",
    ),
    (
        "raymia/training/fit.py",
        "import torch\nfrom raymia.point import catalog\nmodel.eval()\ntorch.load(p, "
        "weights_only=True)",
    ),
    (
        "raymia/networks/vgg.py",
        "from raymia.lazy import torch\ndef f():\n    import torchvision\n    import torch",
    ),
    (
        "raymia/defenses/a.py",
        "from raymia.training.defense import Defense\nfrom raymia.training.losses import relax\n"
        + "x = 1\n" * 118,
    ),
    (
        "raymia/datasets/a.py",
        "np.load(p, allow_pickle=False)\ntarfile.open(p).extractall(q, filter='data')",
    ),
    ("raymia/results/local.py", "import fcntl\nos.link(a, b)"),
    ("raymia/study/something_new.py", "from raymia.records.data import Data"),
]


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_rules_let_good_sources_pass(path: str, text: str) -> None:
    assert [problem for rule in RULES for problem in rule(Source(path, text))] == []


def test_circles_are_found() -> None:
    a, b = (
        Source("raymia/a.py", "def f():\n    from raymia.b import x"),
        Source("raymia/b.py", "from raymia import a"),
    )
    types = Source("raymia/a.py", "if TYPE_CHECKING:\n    from raymia.b import x")
    assert circles([a, b]) == circles([types, b]) == ["raymia.a", "raymia.b"]
    assert circles([a, Source("raymia/b.py", "import json")]) == []


def test_light_commands_import_nothing_heavy() -> None:
    """`raymia pareto`, and a refused sweep file, start without torch: measured, not read."""
    parts = ("cli", "point", "records", "study", "verdict", "results", "report")
    light = [
        s.module for s in SOURCES if s.part in parts and not s.path.endswith("/tensorboard.py")
    ]
    code = f"import sys, {', '.join(light)}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
