"""Whether a sweep can run on its records, what it will do and what it will cost: said before
anything is started.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from raymia import machine
from raymia.attack import attack
from raymia.errors import SweepError
from raymia.point import catalog, columns
from raymia.point.columns import word
from raymia.point.objectives import CANARY, LEAST_OTHERS
from raymia.point.point import plain
from raymia.point.space import Choice, Part, Range
from raymia.records import account, canaries
from raymia.records import data as datasets
from raymia.records.data import Data
from raymia.records.split import POPULATION, REFERENCE, Bools, Split, drawn
from raymia.study import engines, reading
from raymia.study.fitting import fitted
from raymia.study.strict_yaml import show
from raymia.study.sweep import Sweep, net_offers
from raymia.training.defense import Defense
from raymia.training.recipe import check as check_recipe
from raymia.training.recipe import recipe

_FOR_IMAGES = (
    "is for images, which only the file could say that these are: it runs where it is asked for by "
    "name"
)


def check(sweep: Sweep, data: Data) -> Split:
    """The split of the undefended first draw, once it is known that every arm can run on these
    records.

    Only a file says whether its records are images, and only their number whether a split of
    them leaves everyone something. Raises SweepError: key, value, what is allowed.
    """
    protocol = catalog.made("protocols", sweep.protocol)
    split = drawn(protocol, data.units, sweep.search.seed, 0)
    _check_network(sweep, data)
    _check_offers(sweep, data, split)
    _check_words(sweep, data)
    _check_scale(sweep, data, split)
    _check_checkpoint(sweep, data, split)
    planted = (
        canaries.places(sweep.canaries, split, sweep.search.seed, 0) > 0
        if sweep.canaries
        else np.zeros(len(data), bool)
    )
    if said := _one_sided(sweep, split, planted):
        fewer = ", or fewer canaries," * bool(planted.any())
        raise SweepError(
            f"dataset.{sweep.dataset.name}: got {len(data)} records; more{fewer} are allowed: "
            f"{said}"
        )
    _check_objective(sweep, split, planted)
    for i, arm in enumerate(sweep.arms):
        if said := reading.problem(partial(_check_carved, sweep, split, planted), arm):
            knobs = [recipe([reading.corner(part, "low")]).traits().share_knob for part in arm]
            j, knob = next((j, knob) for j, knob in enumerate(knobs) if knob)
            value = plain(arm[j].knobs[knob])
            raise SweepError(f"defenses.{i}.{j}.{arm[j].name}.{knob}: got {show(value)}; {said}")
    return split


def _check_objective(sweep: Sweep, split: Split, planted: Bools) -> None:
    """Whether there are enough non-members for the rate that the search goes by."""
    name = sweep.search.objective["privacy"]
    outside = split.judged & ~split.member[split.targets]
    halves = [int((outside & ~planted & half).sum()) for half in (split.half, ~split.half)]
    there = int((outside & planted).sum()) if name == CANARY else min(halves)
    least = LEAST_OTHERS.get(name, 0)
    if there < least:
        of = "planted non-members" if name == CANARY else "non-members on each half of the records"
        more = "canaries or targets" if name == CANARY else "records or targets"
        raise SweepError(
            f"search.objective.privacy: got {name!r}; it needs {least} {of}, all targets together, "
            f"and there are {there}: more {more} are allowed"
        )


def _check_network(sweep: Sweep, data: Data) -> None:
    name, network, where = (
        sweep.network.name,
        catalog.find("networks", sweep.network.name),
        sweep.dataset.name,
    )
    if network.images and not data.image:
        flat = [
            other
            for other in catalog.names("networks")
            if not catalog.find("networks", other).images
            and (data.vectors is not None or not catalog.find("networks", other).documents)
        ]
        raise SweepError(
            f"network: got {name!r}; {', '.join(flat)} is allowed: the records of {where} are no "
            "images"
        )
    least = catalog.made("networks", sweep.network).smallest()
    if network.images and min(data.shape[1:]) < least:
        _, height, width = data.shape
        seen = f"those of {where} have {width}x{height}"
        raise SweepError(
            f"network: got {name!r}; it is for images of at least {least}x{least} pixels, {seen}"
        )
    augment = sweep.schedule(len(data)).augment
    if augment != "none" and not data.image:
        raise SweepError(
            f"training.augment: got {augment!r}; none is allowed: the records of {where} are no "
            "images"
        )


def _check_words(sweep: Sweep, data: Data) -> None:
    """Nothing where the records are numbers."""
    scale = sweep.schedule(len(data)).scale
    if data.vectors is not None and scale not in ("auto", "none"):
        raise SweepError(
            f"training.scale: got {show(plain(scale))}; auto or none is allowed: the records of "
            f"{sweep.dataset.name} are words"
        )
    between = sorted({"blank", "near_duplicates"} & set(sweep.canaries))
    if data.vectors is not None and between:
        raise SweepError(
            f"canaries: got {between[0]}; mislabelled or out_of_distribution is allowed: the "
            f"records of {sweep.dataset.name} are words, and nothing lies between two of them"
        )


def _check_scale(sweep: Sweep, data: Data, split: Split) -> None:
    scale = sweep.schedule(len(data)).scale
    if scale == "reference" and not len(split.aside):
        raise SweepError(
            "training.scale: got 'reference'; members, none or {mean, std} is allowed: the "
            "protocol sets no reference records aside"
        )
    each = data.shape[0] if data.image else int(np.prod(data.shape))
    if isinstance(scale, tuple) and {len(side) for side in scale} - {1, each}:
        raise SweepError(
            f"training.scale: got {len(scale[0])} means and {len(scale[1])} deviations; 1 or "
            f"{each} is allowed"
        )


def _check_checkpoint(sweep: Sweep, data: Data, split: Split) -> None:
    if sweep.schedule(len(data)).checkpoint == "best" and not len(split.aside):
        raise SweepError(
            "training.checkpoint: got 'best'; last is allowed: the protocol sets no reference "
            "records aside"
        )


def _check_offers(sweep: Sweep, data: Data, split: Split) -> None:
    """Attacks and arms among what there really is: a small reserve of few records may set none
    aside.
    """
    offers = _offers(sweep, data, split)
    kept = f"protocol.{sweep.protocol.name}.reserve: {sweep.protocol.knobs.get('reserve')}"

    def in_full(said: str) -> str:
        return (
            f"{said}; {kept} sets none of {len(data)} records aside" if "reserve" in said else said
        )

    for part in sweep.attacks:
        if said := attack.inapplicable(part, offers):
            raise SweepError(
                f"attacks: got {attack.column(part)!r}; it cannot apply: {in_full(said)}"
            )
    for i, arm in enumerate(sweep.arms):
        there = offers | net_offers(sweep.network, data.image, data.vectors is not None)
        if said := reading.problem(partial(check_recipe, offers=there), arm):
            raise SweepError(
                f"defenses.{i}: got {'+'.join(part.name for part in arm)!r}; {in_full(said)}"
            )


def _offers(sweep: Sweep, data: Data, split: Split) -> frozenset[str]:
    protocol = catalog.made("protocols", sweep.protocol)
    empty = {
        name
        for role, name in ((REFERENCE, "reference"), (POPULATION, "population"))
        if not (split.role == role).any()
    }
    return frozenset(
        (protocol.offers - empty)
        | reading.offered(sweep.arms, sweep.network)
        | ({"images"} if data.image else set())
        | ({"numbers"} if data.vectors is None else set())
    )


def _check_carved(sweep: Sweep, split: Split, planted: Bools, parts: Sequence[Part]) -> None:
    share = recipe(parts).traits().share
    if share and (said := _one_sided(sweep, split.carve(share, sweep.search.seed, 0), planted)):
        raise SweepError(f"less is allowed, or more records: {said}")


def _one_sided(sweep: Sweep, split: Split, planted: Bools) -> str:
    """What is missing where a target lacks members or non-members on a half of the cross-fit,
    so that no number can be taken; empty where nothing is.
    """
    counted = [traits for part in sweep.attacks if (traits := attack.traits(part)).counts]
    judged = split.judged & ~planted
    if any(one.informed for one in counted):
        judged = judged & ~split.known
    for target, on in zip(split.targets, judged, strict=True):
        for half in (split.half, ~split.half) if counted else (np.ones_like(split.half),):
            inside = split.member[target][on & half]
            if not inside.any() or inside.all():
                return (
                    f"target {target} needs members and non-members on both halves of the judged "
                    "records"
                )
    return ""


def outline(sweep: Sweep) -> dict[str, Any]:
    """Arms, models, attacks, cost and resources, JSON-able. Reads the data and draws a split,
    which checks both.

    Units: `sample_epochs` counts the records that the main passes of all trainings go over;
    `seconds_a_trial` is the mean of what the sweep's own results folder has measured, None
    where there is none. Raises SweepError where the data cannot be read, are too few, or are
    none that every arm can run on.
    """
    records = datasets.load(sweep.dataset, sweep.search.seed)
    sweep = fitted(sweep, records)
    split = check(sweep, records)
    member = split.member
    (models, targets), trials = sweep.shape, sweep.search.trials
    steps = "steps" not in catalog.find("networks", sweep.network.name).lacks
    epochs = sweep.schedule(len(records)).run_epochs if steps else 1
    return {
        "name": sweep.name,
        "dataset": {
            "name": sweep.dataset.name,
            "records": len(records.y),
            "classes": records.classes,
        },
        "account": account.account(records),
        "network": plain(sweep.network),
        "protocol": plain(sweep.protocol),
        "arms": [_arm(sweep, i) for i in range(len(sweep.arms))],
        "attacks": [plain(part) for part in sweep.attacks],
        "left_out": {
            name: _FOR_IMAGES if records.image and why == attack.NO_IMAGES else why
            for name, why in sweep.left_out.items()
        },
        "left_out_of_arms": _left_out_of_arms(sweep),
        "trials": trials,
        "repeats": sweep.search.repeats,
        "lag": sweep.search.lag,
        "models": models,
        "targets": targets,
        "models_to_train": trials * models,
        "engine": sweep.engine(len(records))._asdict(),
        "offer": engines.offer(
            sweep.device,
            catalog.find("networks", sweep.network.name).images,
            sweep.schedule(len(records)),
        ),
        "epochs": epochs,
        "records_a_model": float(member.sum(axis=1).mean()),
        "sample_epochs": int(member.sum()) * epochs * trials,
        "teaching": sorted(
            {part.name for arm in sweep.arms for part in arm if _teaches(part.name)}
        ),
        "seconds_a_trial": measured(Path("results") / sweep.name),
        "resources": plain(sweep.resources),
        "machine": machine.here(),
    }


def _arm(sweep: Sweep, index: int) -> dict[str, Any]:
    parts = sweep.arms[index]
    fixed = {
        columns.knob(part.name, knob): value for part in parts for knob, value in part.knobs.items()
    }
    fixed = {key: value for key, value in fixed.items() if not isinstance(value, Range | Choice)}
    free = {key: plain(value) for key, value in sweep.space(index).items()}
    return {
        "arm": index,
        "defense": "+".join(p.name for p in parts) or "none",
        "fixed": plain(fixed),
        "free": free,
    }


def _left_out_of_arms(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """Of the attacks that only some arms allow: column -> the other arms, and why."""
    out, there = {}, [reading.offered([arm], sweep.network) for arm in sweep.arms]
    for part in sweep.attacks:
        wants = attack.traits(part).wants
        lacking = [i for i, own in enumerate(there) if wants & attack.OF_A_DEFENSE - own]
        if lacking:
            why = attack.inapplicable(part, {*wants, "numbers"} - attack.OF_A_DEFENSE)
            out[attack.column(part)] = {"arms": lacking, "why": why}
    return out


def _teaches(name: str) -> bool:
    """Whether a defense trains further networks beside each model."""
    found = catalog.find("defenses", name)
    return found.teach is not Defense.teach or found.assemble is not Defense.assemble


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
        return f"{{{', '.join(map(word, value))}}}"
    return f"[{value['low']:g}, {value['high']:g}]" + " log" * bool(value["log"])


def sentences(found: Mapping[str, Any]) -> list[str]:
    """An outline, less its arms, one line each."""
    asked, here = found["resources"], found["machine"]
    each = found["seconds_a_trial"]
    each_model = f"{found['records_a_model']:g} records x {found['epochs']} epochs"
    lines = [
        *account.sentences(found["account"]),
        f"network:   {_names([found['network']])}",
        f"protocol:  {_names([found['protocol']])}: {found['models']} models, {found['targets']} "
        "of them targets",
        f"attacks:   {_names(found['attacks'])}",
        *(f"left out:  {name} {why}" for name, why in found["left_out"].items()),
        *(
            f"left out:  {name} of arm {', '.join(map(str, one['arms']))}: {one['why']}"
            for name, one in found["left_out_of_arms"].items()
        ),
        f"to train:  {found['trials']} trials x {found['models']} models = "
        f"{found['models_to_train']} models",
        f"cost:      {found['sample_epochs']:.3g} sample-epochs ({each_model} x the models to "
        "train)",
    ]
    engine = found["engine"]
    at_once = f"{engine['lanes']} models at a time" if engine["lanes"] > 1 else "model by model"
    lines.append(f"engine:    {engine['engine']}, {at_once}: {engine['why']}")
    lines += [f"           {found['offer']}"] * bool(found["offer"])
    if found["teaching"]:
        lines.append(
            f"           not counted: the teachers and sub-models of {', '.join(found['teaching'])}"
        )
    if each is not None:
        lines.append(
            f"time:      {each:.3g} s a trial were measured in results/{found['name']}/timing.csv"
        )
    lines.append(
        f"at once:   at most {found['lag']} trials (search.lag), however large the cluster"
    )
    what = f"{asked['cpu']:g} CPU, {asked['gpu']:g} GPU" + (
        f", {asked['spread']} times" if asked["spread"] > 1 else ""
    )
    lines.append(
        f"resources: a trial asks {what}; this machine has {here['cpu']} CPU, {here['gpu']} GPU"
    )
    if asked["cpu"] > here["cpu"] or asked["gpu"] > here["gpu"]:
        lines.append(
            "           that is more than this machine has: it needs a cluster (RAY_ADDRESS)"
        )
    repeats = found["repeats"]
    if found["trials"] < len(found["arms"]) * repeats:
        lines.append(
            f"note:      {found['trials']} trials do not reach each of the {len(found['arms'])} "
            "arms" + (f", {repeats} times each" if repeats > 1 else "")
        )
    return lines


def _names(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """`mlp(width=256), ...`"""
    spelled = []
    for part in parts:
        for name, knobs in part.items():
            inside = ", ".join(f"{k}={word(v)}" for k, v in knobs.items())
            spelled.append(f"{name}({inside})" if inside else name)
    return ", ".join(spelled)
