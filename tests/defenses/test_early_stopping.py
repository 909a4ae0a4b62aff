import pytest

from raymia.defenses.early_stopping import EarlyStopping
from raymia.point.schedule import Training


@pytest.mark.parametrize(
    ("fraction", "epochs", "run"), [(0.5, 60, 30), (1.0, 60, 60), (0.02, 10, 1), (1 / 3, 30, 10)]
)
def test_stops_on_the_full_schedule(fraction: float, epochs: int, run: int) -> None:
    before = Training(epochs=epochs)
    after = EarlyStopping(fraction=fraction).training(before)
    assert after.run_epochs == run and after.epochs == epochs
    assert [after.lr_at(e) for e in range(epochs)] == [before.lr_at(e) for e in range(epochs)]


def test_never_runs_longer_than_it_would() -> None:
    assert EarlyStopping(fraction=0.5).training(Training(epochs=60, stop=10)).run_epochs == 10
