"""What a sweep will do and what it will cost, said before it does it."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from raymia import catalog
from raymia import data as datasets
from raymia.defense import Defense
from raymia.point import plain
from raymia.space import Choice, Range
from raymia.sweep import Sweep
from raymia.yamlfile import json_word


def outline(sweep: Sweep) -> dict[str, Any]:
    """Arms, models, attacks, cost and resources, JSON-able. Reads the data and draws a split, which checks both.

    Units: `sample_epochs` counts the records that the main passes of all trainings go over; `seconds_a_trial` is the
    mean of what the sweep's own results folder has measured, None where there is none.
    Raises SweepError where the data cannot be read or are too few.
    """
    records = datasets.load(sweep.dataset, sweep.search.seed)
    protocol = catalog.make("protocols", sweep.protocol.name, sweep.protocol.knobs)
    member = protocol.draw(len(records.y), sweep.search.seed, 0).member
    (models, targets), epochs, trials = sweep.shape, sweep.recipe().run_epochs, sweep.search.trials
    return {
        "name": sweep.name,
        "dataset": {"name": sweep.dataset.name, "records": len(records.y), "classes": records.classes},
        "network": plain(sweep.network),
        "protocol": plain(sweep.protocol),
        "arms": [_arm(sweep, i) for i in range(len(sweep.arms))],
        "attacks": [plain(part) for part in sweep.attacks],
        "left_out": dict(sweep.left_out),
        "trials": trials,
        "lag": sweep.search.lag,
        "models": models,
        "targets": targets,
        "models_to_train": trials * models,
        "epochs": epochs,
        "records_a_model": float(member.sum(axis=1).mean()),
        "sample_epochs": int(member.sum()) * epochs * trials,
        "teaching": sorted({part.name for arm in sweep.arms for part in arm if _teaches(part.name)}),
        "seconds_a_trial": measured(Path("results") / sweep.name),
        "resources": plain(sweep.resources),
        "machine": machine(),
    }


def _arm(sweep: Sweep, index: int) -> dict[str, Any]:
    parts = sweep.arms[index]
    fixed = {f"{part.name}.{knob}": value for part in parts for knob, value in part.knobs.items()}
    fixed = {key: value for key, value in fixed.items() if not isinstance(value, Range | Choice)}
    free = {key: plain(value) for key, value in sweep.space(index).items()}
    return {"arm": index, "defense": "+".join(p.name for p in parts) or "none", "fixed": plain(fixed), "free": free}


def _teaches(name: str) -> bool:
    """Whether a defense trains further networks beside each model."""
    found = catalog.find("defenses", name)
    return found.teach is not Defense.teach or found.assemble is not Defense.assemble


def machine() -> dict[str, int]:
    """The CPUs and NVIDIA GPUs that this process may use; asks no driver, so that it costs nothing."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))
    return {
        "cpu": cpus,
        "gpu": gpus if visible is None else min(gpus, len([v for v in visible.split(",") if v.strip()])),
    }


def measured(folder: Path) -> float | None:
    """The mean of the trials' whole time in a results folder's timing.csv, in seconds."""
    try:
        with open(folder / "timing.csv", newline="") as file:
            seconds = [float(row["total"]) for row in csv.DictReader(file) if row.get("total")]
    except (OSError, ValueError):
        return None
    return fmean(seconds) if seconds else None


def domain(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """A range or the choices of a knob, for people."""
    if not isinstance(value, Mapping):
        return f"{{{', '.join(map(json_word, value))}}}"
    return f"[{value['low']:g}, {value['high']:g}]" + " log" * bool(value["log"])


def sentences(found: Mapping[str, Any]) -> list[str]:
    """An outline, less its arms, one line each."""
    asked, here = found["resources"], found["machine"]
    data, each = found["dataset"], found["seconds_a_trial"]
    each_model = f"{found['records_a_model']:g} records x {found['epochs']} epochs"
    lines = [
        f"data:      {data['name']}, {data['records']} records, {data['classes']} classes",
        f"network:   {_names([found['network']])}",
        f"protocol:  {_names([found['protocol']])}: {found['models']} models, {found['targets']} of them targets",
        f"attacks:   {_names(found['attacks'])}",
        *(f"left out:  {name} {why}" for name, why in found["left_out"].items()),
        f"to train:  {found['trials']} trials x {found['models']} models = {found['models_to_train']} models",
        f"cost:      {found['sample_epochs']:.3g} sample-epochs ({each_model} x the models to train)",
    ]
    if found["teaching"]:
        lines.append(f"           not counted: the teachers and sub-models of {', '.join(found['teaching'])}")
    if each is not None:
        lines.append(f"time:      {each:.3g} s a trial were measured in results/{found['name']}/timing.csv")
    lines.append(f"at once:   at most {found['lag']} trials (search.lag), however large the cluster")
    what = f"{asked['cpu']:g} CPU, {asked['gpu']:g} GPU" + (f", {asked['spread']} times" if asked["spread"] > 1 else "")
    lines.append(f"resources: a trial asks {what}; this machine has {here['cpu']} CPU, {here['gpu']} GPU")
    if asked["cpu"] > here["cpu"] or asked["gpu"] > here["gpu"]:
        lines.append("           that is more than this machine has: it needs a cluster (RAY_ADDRESS)")
    if found["trials"] < len(found["arms"]):
        lines.append(f"note:      {found['trials']} trials do not reach each of the {len(found['arms'])} arms")
    return lines


def _names(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """`mlp(width=256), ...`"""
    spelled = []
    for part in parts:
        for name, knobs in part.items():
            inside = ", ".join(f"{k}={json_word(v)}" for k, v in knobs.items())
            spelled.append(f"{name}({inside})" if inside else name)
    return ", ".join(spelled)
