"""Ray that does not start is one line, whatever it raises; a signal meanwhile stays a signal."""

import signal
from pathlib import Path

import pytest

from raymia.cluster import session
from raymia.cluster.interrupt import Stopped
from raymia.errors import EnvironmentFault


@pytest.mark.parametrize(
    "error",
    [
        Exception("The current node timed out during startup.\nThe GCS is overloaded."),
        RuntimeError("no room"),
        OSError(28, "no space left"),
    ],
)
def test_whatever_ray_raises_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**settings: object) -> None:
        raise error

    monkeypatch.setattr(session.ray, "init", init)
    with pytest.raises(EnvironmentFault) as said:
        session._start({}, "", tmp_path)
    assert said.value.exit_code == 3
    text = str(said.value)
    assert text.startswith("Ray cannot be started here: ") and "\n" not in text


def test_a_signal_is_none_of_rays_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**settings: object) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(session.ray, "init", init)
    with pytest.raises(Stopped):
        session._start({}, "", tmp_path)
