"""The upper end that a gate goes by: over the settings of benchmarks/upper.py it is hardly ever
below the true maximum, whatever the attacks, their correlation, records, targets and draws.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import binom

from raymia.verdict import maximum, metrics

RUNS, BAR = 100, 0.035


def bench() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "upper.py"
    spec = importlib.util.spec_from_file_location("upper", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


UPPER = bench()
Setting = tuple[str, float, int, int, str]


def missed(setting: Setting, runs: int) -> float:
    return float(UPPER.measured(setting, runs)[-2])


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark counts its AUCs by itself; afterwards they are scikit-learn's again."""
    for module in (maximum, metrics):
        monkeypatch.setattr(module, "auc", metrics.auc)


@pytest.mark.parametrize("setting", [s for s in UPPER.SETTINGS if s[2] == 400], ids=str)
def test_it_covers_the_true_maximum(setting: Setting) -> None:
    assert missed(setting, RUNS) * RUNS <= binom.ppf(0.9999, RUNS, BAR)


@pytest.mark.nightly
@pytest.mark.parametrize("setting", UPPER.SETTINGS, ids=str)
def test_it_covers_in_two_thousand_runs(setting: Setting) -> None:
    assert missed(setting, 2000) <= BAR
