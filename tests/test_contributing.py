"""The files that CONTRIBUTING.md shows are tried as they stand there."""

import re
from pathlib import Path

import pytest

from raymia.laws import attacks, datasets, defenses, networks, protocols
from raymia.point import catalog, origins
from raymia.records.data import load
from raymia.study import sweep
from raymia.trial import run as trial

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"```python\n# raymia/(\w+)/(\w+)\.py\n(.*?)```", re.DOTALL)
SHOWN = {kind: (name, text) for kind, name, text in BLOCK.findall(PAGE)}
LAWS = {
    "defenses": defenses.check,
    "attacks": attacks.check,
    "datasets": datasets.check,
    "networks": networks.check,
    "protocols": protocols.check,
}


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(origins, "_FILES", {})
    monkeypatch.chdir(tmp_path)


def spelled(kind: str) -> str:
    """The file of a kind, written where we are, as a sweep file names it."""
    name, text = SHOWN[kind]
    Path(f"{name}.py").write_text(text)
    return f"{name}.py:{name.title()}"


def test_each_kind_is_shown() -> None:
    assert SHOWN.keys() == LAWS.keys() == set(catalog.KINDS)


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_what_is_shown_keeps_the_laws(kind: str) -> None:
    LAWS[kind](catalog.named(kind, spelled(kind)))


def test_what_is_shown_can_be_swept_together() -> None:
    file = sweep.parse(f"""
name: shown
dataset: {spelled("datasets")}
network: {spelled("networks")}
protocol: {spelled("protocols")}
defenses: [[{spelled("defenses")}: {{alpha: 0.5}}]]
attacks: [loss, {spelled("attacks")}]
training: {{epochs: 2}}
""")
    data = load(file.dataset, 0)
    row = trial.attempt(file.point(0, file.default(0), 0, data), data)
    assert row.state == "done" and row.numbers["auc.margin"] is not None, row.reason
    assert {key for key in row.versions if key.startswith("file:")} == {
        f"file:{name}.py" for name, _ in SHOWN.values()
    }
