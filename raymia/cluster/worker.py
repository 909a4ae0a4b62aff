"""What runs on the workers: one trial after another."""

import errno
import faulthandler
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import ray
from ray import tune

from raymia.cluster import processes
from raymia.cluster.groups import Spread, settle
from raymia.cluster.pool import MOST, NOTHING, Pool
from raymia.cluster.telling import told
from raymia.cluster.transport import FolderFault, Shelf, shelf
from raymia.errors import EnvironmentFault
from raymia.point.origins import Cargo
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.study.sweep import Resources
from raymia.trial import run as trials

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Trial(tune.Trainable):  # type: ignore[misc]
    """A worker that runs one trial after another; the records come once, from the object store."""

    _shelf: Shelf | None = None
    _spread = Spread([], None)
    _own = False

    def setup(
        self,
        config: Mapping[str, Any],
        data: Data,
        place: str,
        pool: Pool | None,
        asked: Resources,
        register: str | None,
        keeper: Any,
        nonce: str,
        cargo: Cargo = NOTHING,
    ) -> None:
        """`place`: the results folder. `pool`: attackers for all trials; None: this one starts
        its own, beside itself.

        `keeper` and `nonce`: for nodes that do not see the folder; None where all do.
        """
        processes.hold(register, "trial")
        cargo.unload()
        settle(asked.gpu > 0)
        self._data, self._limit = data, asked.time_limit
        self._shelf = shelf(keeper, place, nonce)
        self._signals = self._shelf.root if self._shelf else Path(place, "signals")
        self._folder = Local(Path(place))
        self._own = pool is None
        size = min(max(1, ceil(asked.cpu)), MOST)
        self._pool = pool or Pool.start(size, register, here=True, cargo=cargo)
        facts = (register, place, nonce, keeper, cargo)
        self._spread = Spread.start(asked.spread, asked.gpu, asked.cpu, self._shelf, *facts)
        self.reset_config(config)

    def cleanup(self) -> None:
        self._spread.stop()
        if self._own:
            self._pool.stop()
        if self._shelf:
            self._shelf.remove()

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        self._index, self._point = new_config["trial"], new_config["point"]
        return True

    def step(self) -> dict[str, Any]:
        """One trial. `fault` instead of a row is what no other trial would be spared, a full
        disk say.
        """
        if self._limit is not None:
            # Ends this process even where it no longer hears Python; a worker that ends so
            # late, the driver does not run again. The second keeps the two clocks in order.
            faulthandler.dump_traceback_later(self._limit + 1.0, exit=True)
        try:
            with told(self._index):
                row = self._run()
        except EnvironmentFault as fault:
            if self._shelf and not isinstance(fault, FolderFault):
                # a disk of this node alone: the driver runs the trial again, elsewhere if it
                # can
                raise
            return {"fault": str(fault), "done": True}
        except ray.exceptions.RayError:
            raise  # an attacker was lost for good: the driver runs the trial again
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                if self._shelf:
                    raise
                return {"fault": f"{self._signals}: {error.strerror}", "done": True}
            row = trials.failed(self._point, error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        return {"row": json.dumps(replace(row, trial=self._index).to_json()), "done": True}

    def _run(self) -> Row:
        point: Point = self._point
        # an attacker is free again once its trial is over, whatever it was asked
        until = None if self._limit is None else time.monotonic() + self._limit + 1.0
        attack = partial(self._pool.map, until=until)
        try:
            row = trials.run(
                point,
                self._data,
                self._signals,
                map=attack,
                spread=self._spread.map,
                keep=self._shelf.keep if self._shelf else self._folder.replace,
            )
            if self._shelf:
                self._shelf.send(trials.folders(point, self._data.units))  # the split
            return row
        finally:
            if self._shelf:
                self._shelf.clear()


class Lost(Exception):
    """The worker of a trial ended, and not of its own accord."""
