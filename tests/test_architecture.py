"""The house rules, kept by reading the imports and calls of every file. Each rule is shown to fail on a bad source."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PLURAL = ("defenses", "attacks", "datasets", "networks", "protocols")
HEAVY = {
    "torch",
    "torchvision",
    "sklearn",
    "scipy",
    "pandas",
    "PIL",
    "matplotlib",
    "opacus",
    "ray",
    "optuna",
    "pyarrow",
}

# The folders are the layers: one imports what stands in its own line and above. There is nothing else in raymia/.
STREET = (
    ("errors", "streams", "lazy", "machine"),
    ("point",),
    ("records",),
    ("training",),
    ("verdict",),
    ("protocols", "datasets", "networks", "defenses"),
    ("results",),
    ("signals",),
    ("attack",),
    ("attacks",),
    ("study",),
    ("trial",),
    ("laws",),
    ("search",),
    ("report",),
    ("cluster",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(STREET) for name in names}
TOP = ("errors", "streams", "machine", "point", "records", "verdict", "results", "study", "trial", "search", "cli")

# library -> the files that may import it
HOMES: dict[str, Callable[[str], bool]] = {
    "ray": lambda path: path.startswith("raymia/cluster/"),
    # the search asks it, and the export writes a study for its other users
    "optuna": lambda path: path.startswith(("raymia/search/", "raymia/report/export/")),
    # what need not be installed
    **dict.fromkeys(("mlflow", "wandb", "tensorboard"), lambda path: path.startswith("raymia/report/export/")),
    "yaml": lambda path: path.startswith("raymia/study/"),
    "opacus": lambda path: path in ("raymia/defenses/dpsgd.py", "raymia/training/privacy.py"),
    "torchvision": lambda path: path.startswith(("raymia/datasets/", "raymia/networks/")),
    # attacks that learn train networks, a worker sets its threads and devices, tensorboard's writer comes with torch
    "torch": lambda path: (
        PurePosixPath(path).parts[1].removesuffix(".py") not in TOP
        and (not path.startswith("raymia/report/") or path == "raymia/report/export/tensorboard.py")
    ),
    "fcntl": lambda path: path.startswith("raymia/results/"),
}
OWN_IN_FUNCTIONS = 10  # imports of raymia's own modules that may stand inside functions


@dataclass(frozen=True)
class Import:
    """One imported module (`raymia.data`, `torch.nn`), and where: at the top, in a function, or for types only."""

    module: str
    line: int
    where: str  # "module", "function" or "types"

    @property
    def top(self) -> str:
        return self.module.split(".")[0]


@dataclass(frozen=True)
class Source:
    """A file of the package; `path` is relative to the repository."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def folder(self) -> str:
        """`defenses` for raymia/defenses/x.py; empty for raymia/x.py."""
        parts = PurePosixPath(self.path).parts
        return parts[1] if len(parts) > 2 else ""

    @property
    def part(self) -> str:
        """The name that STREET knows: the folder's or the file's."""
        return self.folder or PurePosixPath(self.path).stem

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(self._imports(self.tree, "module"))

    def _imports(self, node: ast.AST, where: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inside = where
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and where == "module":
                inside = "function"
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    yield from self._imports(ast.Module([statement], []), "types")
                for statement in child.orelse:
                    yield from self._imports(ast.Module([statement], []), where)
                continue
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, where) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield from self._from(child, where)
            yield from self._imports(child, inside)

    def _from(self, node: ast.ImportFrom, where: str) -> Iterator[Import]:
        base = node.module or ""
        if node.level:
            package = self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*up, *([base] if base else [])])
        if base == "raymia.lazy":  # torch by another door
            yield Import("raymia.lazy", node.lineno, where)
            yield Import("torch", node.lineno, "types" if where == "types" else "function")
        elif base == "raymia" or base in {f"raymia.{p}" for p in RANK} or base == "raymia.report.export":  # names are modules
            yield from (Import(f"{base}.{alias.name}", node.lineno, where) for alias in node.names)
        else:
            yield Import(base, node.lineno, where)


# ---- the rules: source -> what is wrong, one line each


def libraries(source: Source) -> Iterator[str]:
    """Each library has its home."""
    for found in source.imports:
        if found.top in HOMES and not HOMES[found.top](source.path):
            yield f"{source.path}:{found.line} imports {found.top}"
        if found.top == "torchvision" and found.where == "module":
            yield f"{source.path}:{found.line} imports torchvision outside a function"


def light(source: Source) -> Iterator[str]:
    """What `raymia list` and a refused sweep file read costs no heavy import: two seconds are all there is."""
    declares = source.folder in (*PLURAL, "point", "records", "study", "verdict") or source.path in DECLARATIONS
    for found in source.imports:
        if declares and found.top in HEAVY and found.where == "module":
            yield f"{source.path}:{found.line} imports {found.top} when it is imported; do it in the function"


DECLARATIONS = (
    "raymia/cli.py",
    "raymia/lazy.py",
    "raymia/machine.py",
    "raymia/cluster/commands.py",
    "raymia/attack/attack.py",
    "raymia/training/defense.py",
    "raymia/training/recipe.py",
    "raymia/training/architecture.py",
    "raymia/training/losses.py",
)


def instances(source: Source) -> Iterator[str]:
    """Files of a plural folder never import one another."""
    for found in source.imports:
        parts = found.module.split(".")
        if source.folder in PLURAL and len(parts) > 2 and parts[0] == "raymia" and parts[1] in PLURAL:
            yield f"{source.path}:{found.line} imports {found.module}; shared maths goes to a module beside the folder"


def names(source: Source) -> Iterator[str]:
    """A module is named after what it is."""
    for part in PurePosixPath(source.path).with_suffix("").parts:
        if set(part.lower().split("_")) & {
            "utils",
            "util",
            "common",
            "helpers",
            "helper",
            "base",
            "misc",
            "manager",
            "handler",
        }:
            yield f"{source.path}: no module is named {part}"


def layers(source: Source) -> Iterator[str]:
    """A folder imports what stands above it on the street, types included; and there are no other folders."""
    if source.part not in RANK and source.path != "raymia/__init__.py":
        yield f"{source.path} is of no folder of the street"
    for found in source.imports:
        parts = found.module.split(".")
        if source.path == "raymia/lazy.py":  # what it stands for is imported by nobody before it is used
            continue
        if parts[0] == "raymia" and len(parts) > 1 and RANK.get(parts[1], -1) > RANK.get(source.part, 99):
            yield f"{source.path}:{found.line} imports {found.module}, which stands below it"


def columns(source: Source) -> Iterator[str]:
    """A line is at most 100 columns wide."""
    for i, line in enumerate(source.text.splitlines(), 1):
        if len(line) > 100:
            yield f"{source.path}:{i} is {len(line)} columns wide; 100 are allowed"


def links(source: Source) -> Iterator[str]:
    """Only the folder that writes results makes a file by a link."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.link" and source.folder != "results":
            yield f"{source.path}:{node.lineno} calls os.link"


def overrides(source: Source) -> Iterator[str]:
    """What a knob decides is said by traits(), not by a property in place of a flag."""
    for i, line in enumerate(source.text.splitlines(), 1):
        if "type: ignore[override]" in line:
            yield f"{source.path}:{i} ignores an override"


def sizes(source: Source) -> Iterator[str]:
    """A file can be read in one sitting, a defense on one page."""
    lines = source.text.count("\n")
    most = 120 if source.folder == "defenses" else 400
    if lines > most:
        yield f"{source.path} has {lines} lines; {most} are allowed"


UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "ray.cloudpickle"}
NEVER = {
    *(f"{m}.{f}" for m in UNPICKLERS for f in ("load", "loads", "Unpickler", "open")),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system", "os.popen"),
    *("Tuner.restore", "tune.Tuner.restore", "ray.tune.Tuner.restore"),
}


def security(source: Source) -> Iterator[str]:
    """Nothing that is read from disk can run (reliability C4), and archives stay in their folder (C5)."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module in UNPICKLERS | {"yaml"}:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in NEVER:
                    yield f"{source.path}:{node.lineno} imports {node.module}.{alias.name}"
        if isinstance(node, ast.Call):
            yield from (f"{source.path}:{node.lineno} {problem}" for problem in _dangers(node))


def _dangers(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {k.arg: k.value.value if isinstance(k.value, ast.Constant) else "?" for k in call.keywords}
    if name in NEVER:
        yield f"calls {name}"
    if name == "torch.load" and given.get("weights_only") is not True:
        yield "calls torch.load without weights_only=True"
    if given.get("allow_pickle", False) is not False:
        yield "allows pickle"
    if given.get("shell", False) is not False:
        yield "starts a shell"
    if "allow_cloudpickle" in given:
        yield "allows cloudpickle"
    if name.endswith(".extractall") and given.get("filter") != "data":
        yield "extracts an archive without filter='data'"


RULES = (libraries, light, instances, names, layers, links, overrides, sizes, security)


def circles(sources: list[Source]) -> list[str]:
    """Modules that import one another in a circle, imports inside functions and for types included."""
    known = {s.module for s in sources}
    graph: dict[str, set[str]] = {}
    for s in sources:
        graph[s.module] = {i.module for i in s.imports} & known - {s.module}
    while leaves := [m for m, wanted in graph.items() if not wanted]:
        for leaf in leaves:
            del graph[leaf]
        for wanted in graph.values():
            wanted.difference_update(leaves)
    return sorted(graph)


SOURCES = [Source(p.relative_to(ROOT).as_posix(), p.read_text()) for p in sorted((ROOT / "raymia").rglob("*.py"))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[Source], Iterator[str]]) -> None:
    assert SOURCES
    problems = [problem for source in SOURCES for problem in rule(source)]
    assert not problems, "\n".join(problems)


def test_few_of_the_own_modules_are_imported_inside_functions() -> None:
    """Only where the start of the command line or a heavy library asks for it."""
    inside = [f"{s.path}:{i.line} {i.module}" for s in SOURCES for i in s.imports if i.where == "function"]
    own = [one for one in inside if one.split()[1].startswith("raymia.") and not one.endswith(" raymia.lazy")]
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
    (layers, "raymia/signals/ask.py", "if TYPE_CHECKING:\n    from raymia.attack.attack import Attack"),
    (layers, "raymia/basement.py", ""),
    (layers, "raymia/helpful/x.py", ""),
    (layers, "raymia/results/row.py", "from raymia.cluster.driver import run"),
    (columns, "raymia/point/point.py", "x = 1  #" + 93 * "-"),
    (links, "raymia/signals/ask.py", "os.link(a, b)"),
    (libraries, "raymia/signals/ask.py", "import fcntl"),
    (overrides, "raymia/defenses/a.py", "x = 1  # type: ignore[override]"),
    (sizes, "raymia/training/fit.py", "x = 1\n" * 401),
    (sizes, "raymia/defenses/a.py", "x = 1\n" * 121),
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


@pytest.mark.parametrize(("rule", "path", "text"), BAD, ids=lambda v: getattr(v, "__name__", None) or repr(v)[:50])
def test_rule_can_fail(rule: Callable[[Source], Iterator[str]], path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


GOOD = [
    ("raymia/cluster/driver.py", "import ray\nfrom raymia.trial import run"),
    ("raymia/search/suggest.py", "import optuna\nfrom raymia.study.sweep import Sweep"),
    ("raymia/study/sweep.py", "import yaml\nif TYPE_CHECKING:\n    from raymia.records.data import Data"),
    (
        "raymia/training/fit.py",
        "import torch\nfrom raymia.point import catalog\nmodel.eval()\ntorch.load(p, weights_only=True)",
    ),
    ("raymia/networks/vgg.py", "from raymia.lazy import torch\ndef f():\n    import torchvision\n    import torch"),
    (
        "raymia/defenses/a.py",
        "from raymia.training.defense import Defense\nfrom raymia.training.losses import relax\n" + "x = 1\n" * 118,
    ),
    ("raymia/datasets/a.py", "np.load(p, allow_pickle=False)\ntarfile.open(p).extractall(q, filter='data')"),
    ("raymia/results/local.py", "import fcntl\nos.link(a, b)"),
    ("raymia/study/something_new.py", "from raymia.records.data import Data"),
]


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_rules_let_good_sources_pass(path: str, text: str) -> None:
    assert [problem for rule in RULES for problem in rule(Source(path, text))] == []


def test_circles_are_found() -> None:
    a, b = Source("raymia/a.py", "def f():\n    from raymia.b import x"), Source("raymia/b.py", "from raymia import a")
    types = Source("raymia/a.py", "if TYPE_CHECKING:\n    from raymia.b import x")
    assert circles([a, b]) == circles([types, b]) == ["raymia.a", "raymia.b"]
    assert circles([a, Source("raymia/b.py", "import json")]) == []


@pytest.mark.parametrize(
    ("parts", "allowed"),
    [
        (("cli", "point", "records", "study", "verdict"), set()),
        (("results", "report"), {"pandas", "pyarrow"}),
    ],
)
def test_light_commands_import_nothing_heavy(parts: tuple[str, ...], allowed: set[str]) -> None:
    """`raymia pareto`, and a refused sweep file, start without torch: measured, not read."""
    light = [s.module for s in SOURCES if s.part in parts and not s.path.endswith("/tensorboard.py")]
    code = f"import sys, {', '.join(light)}; print(*sorted({HEAVY - allowed!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
