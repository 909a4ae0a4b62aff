"""A warm pool of actors that attacks are mapped over."""

import faulthandler
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

from raymia.cluster.processes import hold
from raymia.pace import PACE
from raymia.point.origins import Cargo

_AHEAD = 2  # calls that an actor is given at a time: one to work on, one that waits in its queue
_RETRIES = 3  # of a call that was lost with its attacker; each on a fresh attacker of its own
MOST = 32  # attackers beside one trial, or beside all of this machine

NOTHING = Cargo()


class Attacker:
    """Runs one call at a time, on one CPU thread and without a GPU."""

    def __init__(self, register: str | None, cargo: Cargo) -> None:
        # Ray 2.60 lets an actor that asked for no GPU see all of them.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["OMP_NUM_THREADS"] = "1"  # read by torch, which nothing here has imported yet
        hold(register, "attacker")
        cargo.unload()

    def call(self, function: Callable[[Any], Any], item: Any, limit: float | None = None) -> Any:
        """`function(item)`; this process ends where it takes more than so many seconds."""
        if limit is not None:
            faulthandler.dump_traceback_later(limit, exit=True)
        try:
            return function(item)
        finally:
            faulthandler.cancel_dump_traceback_later()


class AttackerLost(Exception):
    """A call whose process ended each time that it was made."""


@dataclass(frozen=True)
class Pool:
    """The actors. Picklable: every trial has the same ones, and their calls queue up behind one
    another.
    """

    actors: tuple[Any, ...]
    register: str | None = None
    cargo: Cargo = NOTHING

    @classmethod
    def start(
        cls, size: int, register: str | None = None, here: bool = False, cargo: Cargo = NOTHING
    ) -> "Pool":
        """`size` actors that take no CPU from the trials: a trial does nothing while its
        attacks run.

        An actor that is lost is started again. `here`: all of them on this very node, outside of
        the trial's bundles, so that they can neither starve nor wait for one another.
        """
        where = _here() if here else "SPREAD"
        remote = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=where)(Attacker)
        return cls(tuple(remote.remote(register, cargo) for _ in range(size)), register, cargo)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        until: float | None = None,
    ) -> list[Any]:
        """`list(map(function, items))`, on the actors. Raises what the first call to fail
        raised, and AttackerLost.

        `until`: the time of `time.monotonic` at which an actor that still works on a call ends
        itself, free for the next.
        """
        waiting = list(enumerate(items))[::-1]
        results: dict[int, Any] = {}
        running: dict[Any, tuple[int, Any, Any]] = {}
        free = list(islice(cycle(self.actors), _AHEAD * len(self.actors)))[::-1]
        while waiting or running:
            while waiting and free:
                index, item = waiting.pop()
                actor = free.pop()
                running[actor.call.remote(function, item, _left(until))] = (index, item, actor)
            ready, _ = ray.wait(list(running), timeout=1.0)  # wakes up, so that a signal is heard
            for ref in ready:
                index, item, actor = running.pop(ref)
                try:
                    results[index] = _result(ref)
                except _LOST:
                    results[index] = self._alone(function, item, until)
                free.append(actor)
                PACE.done()
        return [results[index] for index in sorted(results)]

    def _alone(self, function: Callable[[Any], Any], item: Any, until: float | None) -> Any:
        """A call that was lost, perhaps by another one of its actor: made again on a fresh actor,
        where it can only be lost by its own doing. Raises AttackerLost after _RETRIES of that.
        """
        remote = ray.remote(num_cpus=0, scheduling_strategy=_here())(Attacker)
        why = ""
        for _ in range(_RETRIES):
            actor = remote.remote(self.register, self.cargo)
            ref = actor.call.remote(function, item, _left(until))
            try:
                while not ray.wait([ref], timeout=1.0)[0]:
                    pass
                return _result(ref)
            except _LOST as error:
                why = " ".join(str(error).split())
            finally:
                ray.kill(actor)
        _, _, detail = why.rpartition("exit detail: ")
        raise AttackerLost(
            f"{item}: its process ended each of {_RETRIES + 1} times: {detail[:200]}"
        )

    def stop(self) -> None:
        for actor in self.actors:
            ray.kill(actor)


_LOST = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)


def _here() -> Any:
    return On(ray.get_runtime_context().get_node_id(), soft=False)


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.1, until - time.monotonic())


def _result(ref: Any) -> Any:
    """The value of a call that has ended. Raises what the call itself raised, which is what a
    row is to say.
    """
    try:
        return ray.get(ref, timeout=60)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise RuntimeError(str(error).strip().splitlines()[-1]) from None
