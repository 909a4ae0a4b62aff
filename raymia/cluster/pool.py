"""A warm pool of actors that attacks are mapped over."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

from raymia.cluster.processes import hold
from raymia.point.origins import Cargo

_AHEAD = 2  # calls that an actor is given at a time: one to work on, one that waits in its queue
_RETRIES = 3
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

    def call(self, function: Callable[[Any], Any], item: Any) -> Any:
        return function(item)


@dataclass(frozen=True)
class Pool:
    """The actors. Picklable: every trial has the same ones, and their calls queue up behind one
    another.
    """

    actors: tuple[Any, ...]

    @classmethod
    def start(
        cls, size: int, register: str | None = None, here: bool = False, cargo: Cargo = NOTHING
    ) -> "Pool":
        """`size` actors that take no CPU from the trials: a trial does nothing while its
        attacks run.

        An actor that is killed is started again and its calls are made again, `_RETRIES` times
        each. `here`: all of them on this very node, outside of the trial's bundles, so that
        they can neither starve nor wait for one another.
        """
        where = On(ray.get_runtime_context().get_node_id(), soft=False) if here else "SPREAD"
        remote = ray.remote(
            num_cpus=0, max_restarts=-1, max_task_retries=_RETRIES, scheduling_strategy=where
        )
        return cls(tuple(remote(Attacker).remote(register, cargo) for _ in range(size)))

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """`list(map(function, items))`, on the actors. Raises what the first call to fail
        raised.
        """
        waiting = list(enumerate(items))[::-1]
        results: dict[int, Any] = {}
        running: dict[Any, tuple[int, Any]] = {}
        free = list(islice(cycle(self.actors), _AHEAD * len(self.actors)))[::-1]
        while waiting or running:
            while waiting and free:
                index, item = waiting.pop()
                actor = free.pop()
                running[actor.call.remote(function, item)] = (index, actor)
            ready, _ = ray.wait(list(running), timeout=1.0)  # wakes up, so that a signal is heard
            for ref in ready:
                index, actor = running.pop(ref)
                results[index] = _result(ref)
                free.append(actor)
        return [results[index] for index in sorted(results)]

    def stop(self) -> None:
        for actor in self.actors:
            ray.kill(actor)


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
