"""Whole trials as tasks: `raymia confirm` on the cluster that `run` would use."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from raymia.cluster import processes
from raymia.cluster.groups import settle
from raymia.cluster.interrupt import Stop
from raymia.cluster.pool import NOTHING
from raymia.cluster.progress import Progress
from raymia.cluster.scratch import scratch
from raymia.cluster.session import session
from raymia.cluster.telling import Board, told
from raymia.errors import EnvironmentFault
from raymia.point.origins import Cargo
from raymia.records.data import Data
from raymia.results.location import Location
from raymia.study.sweep import Resources

_RETRIES = 3  # of a task whose worker or node was lost
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


@contextlib.contextmanager
def everywhere(
    asked: Resources,
    out: Path | Location,
    data: Data,
    progress: Progress,
    cargo: Cargo = NOTHING,
) -> Iterator[Map]:
    """A `map` whose calls are tasks of Ray, each with one trial's CPUs and GPUs; results come
    in the order of the items.

    Ray queues them, retries those whose worker was lost and has the cluster grow. The caller
    holds the lock of `out`. Raises Stopped, SweepError where a trial could never start,
    EnvironmentFault.
    """
    one_bundle, size = replace(asked, spread=1), data.x.nbytes + data.y.nbytes
    with Stop() as stop, scratch(out) as here, session(one_bundle, here, size, stop) as cluster:
        stop.listen()  # Ray has put its own handlers
        stop.check()
        with Board(progress):
            yield mapper(one_bundle, cluster.register, stop, progress, cargo)


def mapper(
    asked: Resources,
    register: str | None,
    stop: Stop,
    progress: Progress,
    cargo: Cargo = NOTHING,
) -> Map:
    """The `map` of a cluster that is there; each item tells how far it is by its place."""

    def call(function: Callable[[Any], Any], item: Any, place: int) -> Any:
        processes.hold(register, "task")
        settle(asked.gpu > 0)
        cargo.unload()
        with told(place):
            return function(item)

    task = ray.remote(num_cpus=asked.cpu, num_gpus=asked.gpu, max_retries=_RETRIES)(call)

    def mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        ref = ray.put(function)
        for one in [task.remote(ref, item, i) for i, item in enumerate(items)]:
            while not ray.wait([one], timeout=0.5)[0]:
                stop.check()
                progress.tick()
            try:
                found = ray.get(one)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                why = str(error).strip().splitlines()[0]
                raise EnvironmentFault(
                    f"a task was lost {_RETRIES + 1} times: {why}; the same command goes on"
                ) from error
            yield found

    return mapped
