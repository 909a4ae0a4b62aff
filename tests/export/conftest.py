"""Fixtures of these tests."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exported import SET, TEXT

from raymia.records import data
from raymia.results.folder import Folder
from raymia.study import sweep
from raymia.trial import run as trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of five trials that were made, one that failed and one of which a number is
    unknown.
    """
    asked, out = sweep.parse(TEXT), Folder(tmp_path_factory.mktemp("results") / "away")
    records = data.load(asked.dataset, asked.search.seed)
    out.write_sweep(sweep.dump(asked.resolved()))
    for i, (arm, knobs) in enumerate(SET):
        point = asked.point(arm, asked.default(arm) if knobs is None else knobs, 0, records)
        out.write(replace(trial.run(point, records, Path(out.path, "signals")), trial=i))
    first = out.rows()[0]
    for i, change in (
        (5, {"state": "failed", "reason": "=it, broke", "numbers": {}, "attacks": []}),
        (6, {}),
    ):
        point = asked.point(1, {"relaxloss.alpha": float(i - 5)}, 1, records)
        named = {
            "digest": point.digest(),
            "point": point.to_json(),
            "knobs": dict(point.knobs),
            "defense": point.defense,
        }
        numbers = first.numbers | {"max_attack_auc": None}
        out.write(replace(first, **{"trial": i, **named, "numbers": numbers, **change}))
    out.derive()
    assert isinstance(out.path, Path)
    return out.path


@pytest.fixture(autouse=True)
def nothing_changes(folder: Path) -> Any:
    """Whatever a test does, the results folder is as it was before."""

    def state() -> dict[str, tuple[str, int]]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            str(f): (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns)
            for f in files
        }

    before = state()
    yield
    assert state() == before
