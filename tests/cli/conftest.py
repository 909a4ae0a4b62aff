"""Fixtures of these tests."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_rows import ROWS, TRIALS

from raymia.cluster import driver
from raymia.report import page
from raymia.results.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trials.csv").write_text(TRIALS)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for Ray and for the page: keeps what it was called with, returns `code`, raises
    `error`.
    """
    seen = SimpleNamespace(code=0, error=None, calls=[])

    def run(sweep: Any, folder: Folder, progress: Any, **options: Any) -> int:
        seen.calls.append((sweep, folder.path, options))
        if seen.error is not None:
            raise seen.error
        for row in ROWS[len(folder.rows()) :]:
            folder.write(row)
        folder.derive()
        return int(seen.code)

    def write(folder: Folder, digests: list[str] | None, printed: Any = ()) -> Path:
        return folder.path / "report.html"

    monkeypatch.setattr(driver, "run", run)
    monkeypatch.setattr(page, "write", write)
    return seen
