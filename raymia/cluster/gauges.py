"""What a run measures of itself, for those who watch a cluster: gauges beside Ray's own metrics."""

import time

from ray.util.metrics import Gauge

from raymia.cluster.queue import Agenda
from raymia.results.row import Row
from raymia.verdict.front import hypervolume

GAUGES = {
    "raymia_trials_done": "Trials that have a row, failed ones too.",
    "raymia_models_a_minute": "Models of the trials that this run finished, a minute.",
    "raymia_hypervolume": "Area that the front dominates, 1 for a perfect point (accuracy, AUC).",
}


class Gauges:
    """Set at every row that is written, under the sweep's name."""

    def __init__(self, agenda: Agenda) -> None:
        self._rows, self._began, self._models = agenda.rows, time.monotonic(), 0
        self._gauges = {
            name: Gauge(name, description=what, tag_keys=("sweep",))
            for name, what in GAUGES.items()
        }
        for gauge in self._gauges.values():
            gauge.set_default_tags({"sweep": agenda.sweep.name})

    def __call__(self, row: Row) -> None:
        self._models += row.models if row.state == "done" else 0
        minutes = (time.monotonic() - self._began) / 60
        self._gauges["raymia_trials_done"].set(len(self._rows))
        self._gauges["raymia_models_a_minute"].set(self._models / max(minutes, 1e-9))
        self._gauges["raymia_hypervolume"].set(hypervolume([r.values for r in self._rows.values()]))
