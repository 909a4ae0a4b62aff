"""Parts that are not raymia's own: of an installed package, by name, and of a single file."""

import json
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.errors import EnvironmentFault, SweepError
from raymia.point import catalog, origins
from raymia.point.origins import Cargo
from raymia.point.point import Point
from raymia.records.data import load
from raymia.results.folder import Folder
from raymia.study import sweep
from raymia.trial import run as trial

REPOSITORY = Path(__file__).parents[1]
SLOW = '''
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Defense


@dataclass(frozen=True)
class SlowStart(Defense):
    """Divides the learning rate.

    Source: this test.

    Neutral: by 1.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"by": 1.0}
    cite: ClassVar[str] = "@misc{slow}"

    by: Annotated[float, Range(1.0, 8.0, least=1.0)] = 2.0

    def training(self, training: Training) -> Training:
        return replace(training, lr=training.lr / self.by)
'''
SURE = '''
from dataclasses import dataclass

from raymia.attack.attack import Attack


@dataclass(frozen=True)
class Sure(Attack):
    """The largest log-probability.

    Source: this test.
    """

    def score(self, view, rng):
        return view.log_p[view.asked].max(-1)
'''
BLOBS = '''
from dataclasses import dataclass

import numpy as np

from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class Blobs(Dataset):
    """Points around three centres.

    Source: this test.
    """

    def read(self):
        draw = np.random.default_rng(0)
        y = np.arange(150) % 3
        x = draw.normal(size=(150, 4)).astype(np.float32) + 2 * y[:, None].astype(np.float32)
        return Data("blobs", x, y, 3, image=False)
'''
TINY = """
name: foreign
dataset: %s
network: {mlp: {width: 8}}
protocol: {coin: {models: 4, targets: 1}}
defenses: [[], [%s: {by: 4}]]
attacks: [loss, %s]
training: {epochs: 2}
search: {trials: 2}
"""


def wheel(folder: Path, name: str, version: str, module: str = "extra") -> Path:
    """A wheel with a defense, an attack and a data set, each an entry point."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    points = f"""
        [raymia.defenses]
        slow_start = {module}:SlowStart
        [raymia.attacks]
        sure = {module}:Sure
        [raymia.datasets]
        blobs = {module}:Blobs
    """
    files = {
        f"{module}.py": SLOW + SURE + BLOBS,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": textwrap.dedent(points),
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as file:
        for inside, text in {**files, f"{info}/RECORD": record}.items():
            file.writestr(inside, text)
    return path


class Fresh:
    """An environment of its own that sees raymia and what it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        self.python = folder / "venv" / "bin" / "python"
        (here,) = (folder / "venv" / "lib").glob("python*/site-packages")
        seen = [p for p in sys.path if p.endswith("site-packages")]
        (here / "shared.pth").write_text("\n".join([str(REPOSITORY), *seen]) + "\n")

    def pip(self, *arguments: str) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def install(self, path: Path) -> None:
        self.pip("install", "--quiet", "--no-index", "--no-deps", "--force-reinstall", str(path))

    def run(self, *arguments: str, code: int = 0) -> str:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env=kept,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def raymia(self, *arguments: str, code: int = 0) -> str:
        return self.run("-m", "raymia.cli", *arguments, code=code)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    made = Fresh(tmp_path_factory.mktemp("fresh"))
    made.install(wheel(made.folder, "raymia-extra", "1.2"))
    (made.folder / "tiny.yaml").write_text(TINY % ("blobs", "slow_start", "sure"))
    return made


DIGESTS = """
import json, sys
from raymia.study import sweep
from raymia.records.data import load
from raymia.trial import run
file = sweep.load("tiny.yaml")
data = load(file.dataset, 0)
point = file.point(1, file.default(1), 0, data)
row = run.run(point, data)
print(json.dumps([point.digest(), row.versions, row.knobs, row.state, sorted(row.numbers)]))
"""


def test_a_package_is_listed_checked_and_swept_by_name(fresh: Fresh) -> None:
    (mine,) = [
        one
        for one in json.loads(fresh.raymia("list", "defenses", "--json"))
        if one["name"] == "slow_start"
    ]
    assert mine["from"] == "raymia-extra 1.2" and mine["knobs"][0]["high"] == 8.0
    assert "slow_start" in fresh.raymia("points", "tiny.yaml")
    digest, versions, knobs, state, numbers = json.loads(fresh.run("-c", DIGESTS))
    assert state == "done" and knobs == {"slow_start.by": 4.0} and "auc.sure" in numbers
    assert versions["raymia-extra"] == "1.2"
    fresh.install(wheel(fresh.folder, "raymia-extra", "1.3"))
    newer = json.loads(fresh.run("-c", DIGESTS))
    assert newer[0] != digest and newer[1]["raymia-extra"] == "1.3"
    fresh.install(wheel(fresh.folder, "raymia-extra", "1.2"))
    assert json.loads(fresh.run("-c", DIGESTS))[0] == digest


def test_a_name_twice_is_refused_naming_both(fresh: Fresh) -> None:
    fresh.install(wheel(fresh.folder, "raymia-other", "7", module="other"))
    try:
        said = fresh.raymia("points", "tiny.yaml", code=2)
        assert "raymia-extra" in said and "raymia-other" in said and "'blobs'" in said
        assert len(said.strip().splitlines()) == 1
    finally:
        fresh.pip("uninstall", "--quiet", "--yes", "raymia-other")


@pytest.mark.cluster
def test_a_package_sweeps_on_ray_and_its_versions_are_not_mixed(fresh: Fresh) -> None:
    fresh.raymia("run", "tiny.yaml", "--out", "out")
    rows = Folder(fresh.folder / "out").rows()
    assert [row.state for row in rows] == ["done", "done"]
    assert [row.versions["raymia-extra"] for row in rows] == ["1.2", "1.2"]
    fresh.install(wheel(fresh.folder, "raymia-extra", "1.3"))
    try:
        said = fresh.raymia("run", "tiny.yaml", "--out", "out", code=3)
        assert "raymia-extra 1.2 (here 1.3)" in said
    finally:
        fresh.install(wheel(fresh.folder, "raymia-extra", "1.2"))


# ---- a single file -----------------------------------------------------------------------------


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The spelling of a class in a file of the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(origins, "_FILES", {})
    (tmp_path / "mine.py").write_text(SLOW)
    yield "mine.py:SlowStart"
    catalog._found.cache_clear()


def point(spelled: str) -> Point:
    file = sweep.parse(TINY % ("{digits: {records: 120}}", spelled, "entropy"))
    return file.point(1, file.default(1), 0, load(file.dataset, 0))


def test_a_class_of_a_file_is_swept(slow: str) -> None:
    one = point(slow)
    row = trial.run(one, load(one.dataset, 0))
    assert row.state == "done" and row.knobs == {"slow_start.by": 4.0}
    assert row.defense == "slow_start" and len(row.versions["file:mine.py"]) == 64
    before = one.digest()
    Path("mine.py").write_text(SLOW.replace("training.lr / self.by", "training.lr / self.by / 2"))
    assert point(slow).digest() != before
    Path("sub").mkdir()
    Path("sub/mine.py").write_text(SLOW)
    origins._FILES.clear()
    assert point("sub/mine.py:SlowStart").digest() == before  # where it lies makes no difference


def test_the_resolved_sweep_names_the_file(slow: str) -> None:
    file = sweep.parse(TINY % ("{digits: {records: 120}}", slow, "entropy"))
    written = sweep.dump(file.resolved())
    assert slow in written and sweep.parse(written) == file


@pytest.mark.parametrize(
    ("spelled", "text", "said"),
    [
        ("none.py:SlowStart", None, "'none.py' cannot be read"),
        ("bad.py:SlowStart", "import nothing_of_this_name", "cannot be loaded: ModuleNotFound"),
        ("bad.py:SlowStart", "x = (", "cannot be loaded: SyntaxError"),
        ("bad.py:SlowStart", "x = 1", "cannot be loaded: AttributeError"),
        ("bad.py:SlowStart", "class SlowStart: ...", "is no Defense"),
        ("bad.py:Mixup", SLOW.replace("SlowStart", "Mixup"), "'mixup', which there is"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_on_one_line(
    spelled: str, text: str | None, said: str, slow: str
) -> None:
    if text is not None:
        Path("bad.py").write_text(text)
    with pytest.raises(SweepError, match="defenses.1.0") as caught:
        point(spelled)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_two_files_with_one_class_are_refused_naming_both(slow: str) -> None:
    Path("more.py").write_text(SLOW)
    point(slow)
    with pytest.raises(SweepError, match=r"mine.py and more.py both have a SlowStart"):
        point("more.py:SlowStart")


def test_a_worker_without_the_file_gets_its_text(slow: str) -> None:
    one = point(slow)
    cargo = Cargo.of(one.foreign)
    Path("mine.py").unlink()
    digest = one.digest()
    origins._FILES.clear()
    catalog._found.cache_clear()
    with pytest.raises(SweepError):
        catalog.find("defenses", "slow_start")
    cargo.unload()
    assert one.digest() == digest and trial.run(one, load(one.dataset, 0)).state == "done"


def test_a_node_without_a_package_says_so() -> None:
    with pytest.raises(EnvironmentFault, match=r"raymia-extra 1.2 is needed on every node; on .*"):
        Cargo({}, {"raymia-extra": "1.2"}).unload()
    with pytest.raises(EnvironmentFault, match=rf"numpy 0.1 is needed.* it is {np.__version__}"):
        Cargo({}, {"numpy": "0.1"}).unload()
    Cargo({}, {"numpy": np.__version__}).unload()


@pytest.mark.cluster
def test_the_text_of_a_file_reaches_the_workers(slow: str, tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from raymia.study import sweep
        from raymia.cluster import driver
        file = sweep.load("tiny.yaml")
        Path("mine.py").unlink()
        sys.exit(driver.run(file, Path("out")))
    """
    Path("tiny.yaml").write_text(TINY % ("{digits: {records: 120}}", slow, "entropy"))
    environment: Any = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = Folder(tmp_path / "out").rows()
    assert [row.defense for row in rows] == ["none", "slow_start"]
    assert {row.state for row in rows} == {"done"}
