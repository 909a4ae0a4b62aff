"""How far each trial is, from the workers to the driver: through the keys and values of Ray's head,
which every worker reaches already. A word takes 0.3 ms, and there is at most one a second.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict

import ray
from ray.experimental import internal_kv

from raymia.cluster.progress import Progress
from raymia.pace import PACE, Stand

_EVERY = 1.0  # seconds between two looks
_SPACE = b"raymia"


@contextlib.contextmanager
def told(trial: int) -> Iterator[None]:
    """On a worker: what happens inside is told as this trial's."""
    if not ray.is_initialized():  # in one process, without Ray
        yield
        return
    key = _key(str(trial))

    def tell(stand: Stand) -> None:
        with contextlib.suppress(Exception):  # a head that is gone ends the trial some other way
            internal_kv._internal_kv_put(key, json.dumps(asdict(stand)), namespace=_SPACE)

    with PACE.heard(tell):
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                internal_kv._internal_kv_del(key, namespace=_SPACE)


class Board:
    """On the driver: the last word of each trial, read by a thread, since a head that is gone may
    not answer for long. Nothing is read where nothing of it is shown.
    """

    def __init__(self, progress: Progress) -> None:
        self._stands: dict[int, Stand] = {}
        progress.look = lambda: self._stands
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if progress.looks:
            self._thread.start()

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=2 * _EVERY)

    def _watch(self) -> None:
        while not self._left.wait(_EVERY):
            with contextlib.suppress(Exception):
                self._stands = _read()


def _read() -> dict[int, Stand]:
    found, begin = {}, _key("")
    for key in internal_kv._internal_kv_list(begin, namespace=_SPACE):
        said = internal_kv._internal_kv_get(key, namespace=_SPACE)
        if said is not None:  # or its trial has just ended
            found[int(key.removeprefix(begin))] = Stand(**json.loads(said))
    return found


def _key(trial: str) -> bytes:
    """Of this run alone: a cluster may have several."""
    return f"{ray.get_runtime_context().get_job_id()}/{trial}".encode()
