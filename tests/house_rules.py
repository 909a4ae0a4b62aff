"""The rules of the house: source -> what is wrong, one line each."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

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
    "dp_accounting",
    "ray",
    "optuna",
    "pyarrow",
    "obstore",
}

# The folders are the layers: one imports what stands in its own line and above. There is
# nothing else in raymia/.
STREET = (
    ("errors", "streams", "lazy", "machine", "pace"),
    ("point",),
    ("records",),
    ("training",),
    ("verdict",),
    ("readers",),
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
    ("cli", "api"),
)
RANK = {name: rank for rank, names in enumerate(STREET) for name in names}
TOP = (
    "errors",
    "streams",
    "machine",
    "pace",
    "point",
    "records",
    "readers",
    "verdict",
    "results",
    "study",
    "trial",
    "search",
    "cli",
    "api",
)

# library -> the files that may import it
HOMES: dict[str, Callable[[str], bool]] = {
    "ray": lambda path: path.startswith("raymia/cluster/"),
    # the search asks it, and the export writes a study for its other users
    "optuna": lambda path: path.startswith(("raymia/search/", "raymia/report/export/")),
    # what need not be installed
    **dict.fromkeys(
        ("mlflow", "wandb", "tensorboard"), lambda path: path.startswith("raymia/report/export/")
    ),
    **dict.fromkeys(
        ("onnx", "onnxruntime", "onnxscript"), lambda path: path == "raymia/training/portable.py"
    ),
    "yaml": lambda path: path.startswith("raymia/study/"),
    "opacus": lambda path: False,  # only the tests hold ours against it
    "dp_accounting": lambda path: path == "raymia/training/privacy.py",
    "torchvision": lambda path: path.startswith(
        ("raymia/datasets/", "raymia/networks/", "raymia/readers/")
    ),
    # attacks that learn train networks, a worker sets its threads and devices, tensorboard's
    # writer comes with torch
    "torch": lambda path: (
        PurePosixPath(path).parts[1].removesuffix(".py") not in TOP
        and (not path.startswith("raymia/report/") or path == "raymia/report/export/tensorboard.py")
    ),
    "fcntl": lambda path: path.startswith("raymia/results/"),
    "obstore": lambda path: path.startswith("raymia/results/"),
}
OWN_IN_FUNCTIONS = 15  # imports of raymia's own modules that may stand inside functions


@dataclass(frozen=True)
class Import:
    """One imported module (`raymia.data`, `torch.nn`), and where: at the top, in a function, or
    for types only.
    """

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
            if (
                isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                and where == "module"
            ):
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
            package = (
                self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]
            )
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*up, *([base] if base else [])])
        if base == "raymia.lazy":  # torch by another door
            yield Import("raymia.lazy", node.lineno, where)
            yield Import("torch", node.lineno, "types" if where == "types" else "function")
        # names are modules
        elif (
            base == "raymia"
            or base in {f"raymia.{p}" for p in RANK}
            or base in ("raymia.report.export", "raymia.report.page")
        ):
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
    """What `raymia list` and a refused sweep file read costs no heavy import: two seconds are
    all there is.
    """
    declares = (
        source.folder in (*PLURAL, "point", "records", "study", "verdict")
        or source.path in DECLARATIONS
    )
    for found in source.imports:
        if declares and found.top in HEAVY and found.where == "module":
            yield (
                f"{source.path}:{found.line} imports {found.top} when it is imported; do it in the "
                "function"
            )


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
        if (
            source.folder in PLURAL
            and len(parts) > 2
            and parts[0] == "raymia"
            and parts[1] in PLURAL
        ):
            yield (
                f"{source.path}:{found.line} imports {found.module}; shared maths goes to a module "
                "beside the folder"
            )


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
    """A folder imports what stands above it on the street, types included; and there are no
    other folders.
    """
    if source.part not in RANK and source.path != "raymia/__init__.py":
        yield f"{source.path} is of no folder of the street"
    for found in source.imports:
        parts = found.module.split(".")
        # what it stands for is imported by nobody before it is used
        if source.path == "raymia/lazy.py":
            continue
        if (
            parts[0] == "raymia"
            and len(parts) > 1
            and RANK.get(parts[1], -1) > RANK.get(source.part, 99)
        ):
            yield f"{source.path}:{found.line} imports {found.module}, which stands below it"


def columns(source: Source) -> Iterator[str]:
    """A line is at most 100 columns wide."""
    for i, line in enumerate(source.text.splitlines(), 1):
        if len(line) > 100:
            yield f"{source.path}:{i} is {len(line)} columns wide; 100 are allowed"


def links(source: Source) -> Iterator[str]:
    """Only the folder that writes results makes a file by a link."""
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "os.link"
            and source.folder != "results"
        ):
            yield f"{source.path}:{node.lineno} calls os.link"


def overrides(source: Source) -> Iterator[str]:
    """What a knob decides is said by traits(), not by a property in place of a flag."""
    for i, line in enumerate(source.text.splitlines(), 1):
        if "type: ignore[override]" in line:
            yield f"{source.path}:{i} ignores an override"


def sizes(source: Source) -> Iterator[str]:
    """A file can be read in one sitting, a defense on one page and its docstring."""
    lines = source.text.count("\n")
    most = 160 if source.folder == "defenses" else 400
    if lines > most:
        yield f"{source.path} has {lines} lines; {most} are allowed"


UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "ray.cloudpickle"}
NEVER = {
    *(f"{m}.{f}" for m in UNPICKLERS for f in ("load", "loads", "Unpickler", "open")),
    *(
        "yaml.load",
        "yaml.load_all",
        "yaml.unsafe_load",
        "yaml.full_load",
        "eval",
        "exec",
        "os.system",
        "os.popen",
    ),
    *("Tuner.restore", "tune.Tuner.restore", "ray.tune.Tuner.restore"),
}


def security(source: Source) -> Iterator[str]:
    """Nothing that is read from disk can run (reliability C4), and archives stay in their
    folder (C5).
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module in UNPICKLERS | {"yaml"}:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in NEVER:
                    yield f"{source.path}:{node.lineno} imports {node.module}.{alias.name}"
        if isinstance(node, ast.Call):
            yield from (f"{source.path}:{node.lineno} {problem}" for problem in _dangers(node))


def _dangers(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {
        k.arg: k.value.value if isinstance(k.value, ast.Constant) else "?" for k in call.keywords
    }
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


RULES = (libraries, light, instances, names, layers, columns, links, overrides, sizes, security)


def circles(sources: list[Source]) -> list[str]:
    """Modules that import one another in a circle, imports inside functions and for types
    included.
    """
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
