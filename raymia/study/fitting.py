"""Ranges that depend on the data: what a sweep file leaves out is filled in once they are known."""

from dataclasses import replace

from raymia.point import catalog
from raymia.point.space import Part, Range
from raymia.records.data import Data
from raymia.study.sweep import Sweep
from raymia.training.defense import Facts


def fitted(sweep: Sweep, data: Data) -> Sweep:
    """The sweep with the ranges that its file leaves out as each defense has them for such data:
    so many classes, images of such a side, such a learning rate. Twice is once.
    """
    side = min(data.shape[1:]) if data.image else 0
    facts = Facts(data.classes, side, sweep.schedule(len(data)))
    return replace(sweep, arms=tuple(tuple(_part(p, facts) for p in arm) for arm in sweep.arms))


def _part(part: Part, facts: Facts) -> Part:
    own = catalog.find("defenses", part.name).ranges(facts)
    knobs = {
        knob: own[knob] if isinstance(value, Range) and value.left_out and knob in own else value
        for knob, value in part.knobs.items()
    }
    return Part(part.name, knobs)
