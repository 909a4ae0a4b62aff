"""An audit that could not be made is not one that found nothing."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "nightly" / "dependencies.py"
verdict = runpy.run_path(str(SCRIPT))["verdict"]

GOOD = {"name": "click", "version": "8.5.1", "vulns": []}
WEAK = {
    "name": "ray",
    "version": "2.51.0",
    "vulns": [{"id": "CVE-2025-62593", "fix_versions": ["2.52.0"], "description": "rebinding"}],
}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def said(*found: dict[str, object]) -> tuple[int, str]:
    code, lines = verdict(json.dumps({"dependencies": found, "fixes": []}), "")
    return code, "\n".join(lines)


def test_a_known_weakness_fails_and_is_named_with_its_mend() -> None:
    code, text = said(GOOD, WEAK)
    assert code == 1 and "2 packages audited, 1 weak" in text
    assert "ray 2.51.0: CVE-2025-62593, mended in 2.52.0" in text


def test_what_was_not_asked_is_counted() -> None:
    assert said(GOOD) == (0, "1 packages audited, 0 weak")
    assert said(GOOD, SKIPPED) == (
        0,
        "1 packages audited, 0 weak; 1 not known to the service",
    )


@pytest.mark.parametrize("answer", ["", "not json", "[]", "{}"])
def test_no_answer_is_said_and_does_not_fail(answer: str) -> None:
    code, (line,) = verdict(answer, "Traceback\nConnectionError: no such host\n")
    assert code == 0 and line.startswith("NOT AUDITED: ") and "no such host" in line


def test_a_service_that_knows_nothing_has_audited_nothing() -> None:
    assert said(SKIPPED)[1].startswith("NOT AUDITED: the service knows none of 1 packages")
