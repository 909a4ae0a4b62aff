"""By which engine models are trained, and how many at a time, where the sweep file says `auto`.

A pure rule read from a committed table that `benchmarks/training.py --write` makes: the answer is
part of a point's digest, so no stopwatch may decide it while a sweep runs.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from raymia import machine
from raymia.point import catalog
from raymia.point.columns import word
from raymia.point.point import told
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.study.strict_yaml import Node

AUTO = ("lanes", "auto")  # what a results folder's file says where nothing was said


class Row(NamedTuple):
    """What was the fastest of a network for batches and numbers of models like that."""

    device: str
    network: str  # with the knobs that are not at their defaults
    precision: str
    batch_at_most: int
    models_at_least: int
    engine: str
    lanes: int


class Chosen(NamedTuple):
    engine: str
    lanes: int
    why: str


@cache
def _table() -> tuple[Row, ...]:
    text = resources.files("raymia.study").joinpath("engines.csv").read_text()
    return tuple(
        Row(device, network, precision, int(batch), int(models), engine, int(lanes))
        for device, network, precision, batch, models, engine, lanes in list(
            csv.reader(text.splitlines())
        )[1:]
    )


def spelled(network: Part) -> str:
    """`mlp` or `mlp depth=4 width=1024`."""
    knobs: Mapping[str, Any] = told("networks", network)[network.name]
    return " ".join([network.name, *(f"{k}={word(v)}" for k, v in sorted(knobs.items()))])


def chosen(device: str, network: Part, training: Training, models: int, lanes: int | str) -> Chosen:
    """For `models` models of a network on `cpu` or `cuda`: what the file says, and of what it
    leaves to us the table's row with the smallest batches and the most models that fits. What is
    not in the table runs in the plain loop.
    """
    name, batch = spelled(network), training.batch_size
    if _trains_itself(network):
        return Chosen("loop", 1, f"{network.name} trains itself")
    fits = [
        row
        for row in _table()
        if (row.device, row.network, row.precision) == (device, name, training.precision)
        and batch <= row.batch_at_most
        and row.models_at_least <= models
    ]
    best = min(fits, key=lambda row: (row.batch_at_most, -row.models_at_least), default=None)
    if training.engine == "auto":
        if lanes != "auto":
            return Chosen("loop" if lanes == 1 else "stacked", int(lanes), "as the file says")
        if best is not None:
            return Chosen(best.engine, best.lanes, "the fastest that was measured")
        return Chosen(
            "loop", 1, f"never measured: {name}, batches of {batch}, {training.precision}, {device}"
        )
    if lanes == "auto":
        stacks = training.engine in ("stacked", "graph")
        lanes = best.lanes if best is not None and stacks else 1
    return Chosen(training.engine, int(lanes), "as the file says")


def offer(device: str, images: bool, training: Training) -> str:
    """A sentence where a precision that nobody asked for may be worth trying; else empty."""
    if training.precision != "float32" or not images:
        return ""
    if device == "cpu" and not machine.multiplies_bf16():
        return ""
    here = "a GPU" if device == "cuda" else "this processor"
    return (
        f"training.precision: bf16 may train this network faster on {here} (on a processor that "
        "multiplies it, pictures of 28 x 28 or more: 1.8 to 2.6 times the speed of the published "
        "loop); numbers move within their intervals; only you choose it"
    )


def _trains_itself(network: Part) -> bool:
    return "steps" in catalog.find("networks", network.name).lacks


def check(
    node: Node, training: Mapping[str, Any], lanes: int | str, gpu: float, network: Part
) -> None:
    """Refuses, of a sweep file's training, an engine that is none for the machine or the lanes,
    and a schedule of steps for what trains itself.
    """
    engine, given = training.get("engine"), node.mapping()
    if _trains_itself(network) and (
        idle := [key for key in given if key != "scale" and (key, given[key].value) != AUTO]
    ):
        raise given[idle[0]].refuse(
            f"only scale is allowed: {network.name} trains itself, by its own knobs"
        )
    for key, value in (("engine", "graph"), ("precision", "tf32")):
        if training.get(key) == value and not gpu:
            raise given[key].refuse("that is allowed on a GPU (resources: {gpu: 1})")
    if engine in ("loop", "compiled") and lanes not in (1, "auto"):
        raise given["lanes"].refuse(
            f"1 or auto is allowed with engine: {engine}, which trains one model after another"
        )
