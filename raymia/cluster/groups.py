"""The groups of models of one trial, over the bundles that it was given: several GPUs for one
trial.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Inside

from raymia.cluster import processes
from raymia.cluster.pool import _result
from raymia.cluster.transport import Shelf, arrays, of, shelf
from raymia.machine import keep_memory
from raymia.pace import PACE
from raymia.point.origins import Cargo
from raymia.signals.observe import Work

_RETRIES = 3
_LOOK = 15.0  # seconds between two looks at which nodes are there


def settle(gpu: bool) -> None:
    """One CPU thread, and no GPU unless one was asked for: in Ray 2.60 who asks for none sees
    all of them.
    """
    import torch
    from threadpoolctl import threadpool_limits

    from raymia.training.precision import exact

    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
    threadpool_limits(1)
    torch.set_num_threads(1)
    exact()
    keep_memory()


class Observer:
    """Trains and asks one group of models at a time, on a bundle of its own."""

    def __init__(
        self,
        register: str | None,
        place: str,
        nonce: str,
        keeper: Any,
        cargo: Cargo,
        gpu: bool,
    ) -> None:
        processes.hold(register, "observer")
        cargo.unload()
        settle(gpu)
        self._shelf, self._place = shelf(keeper, place, nonce), place

    def where(self) -> str:
        """The node that this one is on."""
        return str(ray.get_runtime_context().get_node_id())

    def call(self, work: Work, group: range) -> None:
        """`work(group)`, with the signals in the results folder, or on this node's shelf and
        sent from there.
        """
        root = self._shelf.root if self._shelf else Path(self._place, "signals")
        try:
            do(replace(work, root=root), group, self._shelf)
        finally:
            if self._shelf:
                self._shelf.clear()


def do(work: Work, group: range, shelf: Shelf | None) -> None:
    """`work(group)`; where there is a shelf, with what is known of these models, whose weights
    travel only if needed.
    """
    if shelf is None:
        work(group)
        return
    folders = work.world.folders
    shelf.fetch(folders, of(group, "npz"))
    if work.lacks(group):
        shelf.fetch(folders, of(group, "npz", "safetensors"))
        work(group)
        shelf.send(folders)
    else:
        PACE.done(len(group))


class Spread:
    """`map` for the groups of a trial: this process takes one after another, and so does an
    Observer on each further bundle.
    """

    def __init__(self, observers: list[Any], shelf: Shelf | None) -> None:
        self._observers, self._shelf = observers, shelf
        self._where = {one: one.where.remote() for one in observers}

    @classmethod
    def start(
        cls, wanted: int, gpu: float, cpu: float, shelf: Shelf | None, *facts: Any
    ) -> "Spread":
        """Observers for the bundles after the first, which is that of the trial itself. Raises
        nothing: Ray waits for them.
        """
        group = ray.util.get_current_placement_group()
        if wanted <= 1 or group is None:
            return cls([], shelf)
        remote = ray.remote(Observer)
        options = {
            "num_cpus": cpu,
            "num_gpus": gpu,
            "max_restarts": -1,
            "max_task_retries": _RETRIES,
        }
        beside = [Inside(group, placement_group_bundle_index=i) for i in range(1, wanted)]
        return cls(
            [
                remote.options(**options, scheduling_strategy=at).remote(*facts, gpu > 0)
                for at in beside
            ],
            shelf,
        )

    def map(self, work: Work, groups: Iterable[range]) -> list[None]:
        """Does all groups; the order does not matter, because a group only writes files. Raises
        what a group raised.
        """
        waiting = list(groups)
        count = len(waiting)
        ref = ray.put(work) if self._observers and count > 1 else None
        running: dict[Any, tuple[Any, Any]] = {}
        free = list(self._observers) if ref is not None else []
        looked = time.monotonic()
        while waiting or running:
            while free and len(waiting) > 1:  # the last one is done here at once
                one, group = free.pop(), waiting.pop()
                running[one.call.remote(ref, group)] = one, group
            if waiting:
                do(work, waiting.pop(0), self._shelf)
            ready, _ = (
                ray.wait(list(running), timeout=0.0 if waiting else 1.0) if running else ([], [])
            )
            for done in ready:
                one, group = running.pop(done)
                free.append(one)
                _result(done)
                PACE.done(len(group))
            if running and not waiting and time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                waiting = self._taken_back(running)
        if self._shelf is not None:
            self._shelf.fetch(work.world.folders, arrays)  # what the others sent
        return [None] * count

    def _taken_back(self, running: dict[Any, tuple[Any, Any]]) -> list[Any]:
        """The groups of observers whose node is gone: where no other node has room, Ray would
        wait for ever.
        """
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        groups = []
        for ref, (one, group) in list(running.items()):
            known, _ = ray.wait([self._where[one]], timeout=0.0)
            if known and ray.get(known[0]) not in alive:
                del running[ref]
                self._observers.remove(one)
                del self._where[one]
                ray.kill(one)  # or Ray starts it again where there is room some day
                groups.append(group)
        return groups

    def stop(self) -> None:
        for one in self._observers:
            ray.kill(one)
