"""A pool of actors does what `map` does, whatever happens to the actors."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raymia.cluster import scratch, session, telling
from raymia.cluster.pool import AttackerLost, Pool
from raymia.cluster.progress import Progress
from raymia.pace import Stand
from raymia.study.sweep import Resources
from raymia.verdict.metrics import ScoreError

from .conftest import until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    out = tmp_path_factory.mktemp("pool")
    with scratch.scratch(out) as here, session.session(Resources(), here, 0) as cluster:
        assert cluster.register == str(here / "processes")
        pool = Pool.start(2, cluster.register)
        yield pool
        pool.stop()
    assert not here.exists()


def test_results_come_in_the_order_of_the_items(pool: Pool) -> None:
    def late_first(i: int) -> int:
        import time

        time.sleep(0.3 if i == 0 else 0.0)
        return i * i

    assert pool.map(late_first, range(9)) == [i * i for i in range(9)]
    assert pool.map(late_first, []) == []


def test_what_a_call_raises_is_raised_as_it_was(pool: Pool) -> None:
    def fail(i: int) -> int:
        raise ScoreError(f"item {i}")

    with pytest.raises(ScoreError) as raised:
        pool.map(fail, [3])
    assert type(raised.value) is ScoreError and str(raised.value) == "item 3"


def test_actors_are_processes_of_their_own_without_a_gpu(pool: Pool) -> None:
    def look(_: int) -> tuple[int, str | None]:
        import os
        import time

        time.sleep(0.2)
        return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")

    seen = pool.map(look, range(4))
    assert len({pid for pid, _ in seen}) == 2 and os.getpid() not in dict(seen)
    assert {devices for _, devices in seen} == {""}


def test_the_call_of_a_killed_actor_is_made_again(pool: Pool, tmp_path: Path) -> None:
    def die_once(i: int, folder: str = str(tmp_path)) -> int:
        import os
        import signal
        from pathlib import Path

        mark = Path(folder, "died")
        if i == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    begin = time.monotonic()
    assert pool.map(die_once, range(4)) == [0, 1, 2, 3]
    assert (tmp_path / "died").exists() and time.monotonic() - begin < 60


def test_a_call_that_ends_its_process_each_time_is_given_up_and_named(
    pool: Pool, tmp_path: Path
) -> None:
    def die(i: int, folder: str = str(tmp_path)) -> int:
        import os
        from pathlib import Path

        if i == 3:
            with open(Path(folder, "tries"), "a") as file:
                file.write("x")
            os._exit(1)
        return i

    with pytest.raises(AttackerLost, match=r"^3: its process ended each of 4 times"):
        pool.map(die, range(4))
    assert (tmp_path / "tries").read_text() == "xxxx"
    assert pool.map(die, range(3)) == [0, 1, 2]  # the pool is there for the next trial


def test_a_call_that_hangs_leaves_its_attacker_to_the_next_trial(pool: Pool) -> None:
    def hang(i: int) -> int:
        import time

        time.sleep(3600 if i < 0 else 0)
        return i

    with pytest.raises(AttackerLost, match="-1"):
        pool.map(hang, [0, -1], until=time.monotonic() + 0.5)
    assert pool.map(hang, range(4)) == [0, 1, 2, 3]


def test_the_driver_hears_where_a_trial_stands_and_forgets_it_at_its_end(pool: Pool) -> None:
    import ray

    @ray.remote(num_cpus=0)
    class Here:
        def __init__(self) -> None:
            self._told = telling.told(7)

        def begin(self) -> None:
            from raymia.pace import PACE  # that of the process, not a copy of the driver's

            self._told.__enter__()
            PACE.begin("models", 8)

        def end(self) -> None:
            self._told.__exit__(None, None, None)

    progress = Progress(verbose=True)
    with telling.Board(progress):
        one = Here.remote()
        ray.get(one.begin.remote(), timeout=60)
        until(lambda: dict(progress.look()) == {7: Stand("models", 0, 8)})
        ray.get(one.end.remote(), timeout=60)
        until(lambda: not progress.look())
        ray.kill(one)
