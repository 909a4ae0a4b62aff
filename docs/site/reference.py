"""The reference of raymia, made of its code: keys of a sweep file, columns of the tables, commands,
and what there is of each kind.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

import click

from raymia.cli import COMMANDS, main
from raymia.point import catalog, columns
from raymia.point.schedule import Training
from raymia.results.tables import ATTACK_COLUMNS
from raymia.study import keys, preflight

WHAT = {
    "defenses": "Parts of a recipe. `[]` is none of them, `[srcm: {}, relaxloss: {}]` two at once.",
    "attacks": "A score is higher for a member, everywhere.",
    "networks": "Normalise, backbone, head: the input of the head are its features.",
    "datasets": "By name and path; nothing is uploaded.",
    "protocols": "Who trains on what: one membership matrix for targets and shadows.",
}

# what a column holds: `*` is an attack, `<part>` and what stands in such brackets anything
COLUMNS: Mapping[str, str] = {
    "trial": "The number of the trial, in the order of the search.",
    "digest": "What names the point: everything that its numbers follow from.",
    "signals": "The folder below `signals/` with what its models said.",
    "state": "`done`, `failed` (an error, `reason` says which; `--retry-failed` tries again) or "
    "`invalid` (the recipe itself gives no numbers, e.g. a loss that is not finite).",
    "reason": "Why it is not `done`.",
    "dataset": "The data set, with its arguments.",
    "network": "The network, with its arguments.",
    "defense": "The parts of the recipe, joined by `+`; `none` is no defense.",
    "<part>.<knob>": "The strength: the value of a knob of a part.",
    "seed": "Of all draws of this trial.",
    "models": "Models trained: targets and shadows.",
    "targets": "Of them, those that are attacked.",
    "members": "Records that the first target trained on and is judged on.",
    "nonmembers": "Records that it did not train on and is judged on.",
    "train_accuracy": "Accuracy on members, mean over targets.",
    "test_accuracy": "Accuracy on non-members, mean over targets: what the defense costs.",
    "max_attack_auc": "AUC of the strongest attack, cross-fitted: chosen on one half of the "
    "records, scored on the other, so that more attacks do not raise it by luck. 0.5 is guessing.",
    "max_attack_auc_upper": "The largest upper end of all attacks that count, one-sided 97.5%: "
    "what `gate` goes by.",
    "worst_attack": "The attack with the largest AUC over all records.",
    "plain_max_auc": "Its AUC, not cross-fitted: too high by the luck of the best.",
    "auc.*": "AUC of one attack: how often a random member scores above a random non-member.",
    "auc_targets.*": "Its t interval over the targets, where there are two or more.",
    "auc_reference.*": "AUC of the records that the defense holds out (MMD, MemGuard, AdvReg) "
    "against non-members: what it costs those whose records it uses.",
    "max_auc_reference": "The largest of these.",
    "advantage_reference": "The largest advantage against the records that the defense holds out, "
    "cross-fitted.",
    "advantage_reference.*": "The same of one attack.",
    "epsilon": "What DP-SGD's accountant promises; empty where nothing is promised (no noise, "
    "sampling that is not Poisson's, features scaled by members; `notes` says why).",
    "delta": "The delta of that epsilon.",
    "sample_rate": "The q of Poisson sampling.",
    "epsilon_lower": "What epsilon is at least, by what the attacks achieved (95%): the larger of "
    "the two that hold for one run whatever the mechanism is.",
    "epsilon_lower_one_run": "By Steinke, Nasr & Jagielski's audit of one run.",
    "epsilon_lower_f_dp": "By the audit of one run in terms of f-DP.",
    "epsilon_lower_clopper_pearson": "As if records were independent runs: not a bound of one run.",
    "epsilon_lower_gdp": "As if the mechanism were Gaussian, at `delta`.",
    "gdp_mu_lower": "The mu of that Gaussian mechanism, at least.",
    "advantage": "The largest TPR - FPR over attacks, cross-fitted; thresholds come from shadows.",
    "advantage.*": "TPR - FPR of one attack.",
    "advantage_upper": "The largest upper end over attacks.",
    "max_tpr_at_fpr_<rate>": "The largest share of members found at that share of false alarms, "
    "over attacks, cross-fitted; empty where non-members are too few.",
    "max_tpr_at_fpr_<rate>_upper": "The largest upper end over attacks.",
    "tpr_at_fpr_<rate>.*": "Of one attack: the share of members found at that share of false "
    "alarms, pooled over targets.",
    "fpr_resolution": "One over the pooled non-members: the smallest false alarm rate there is.",
    "canary_auc": "AUC of the strongest attack on planted records: the worst case.",
    "canary_auc.*": "Of one attack.",
    "canary_tpr_at_fpr_<rate>": "Planted members found at that share of false alarms by it.",
    "canary_tpr_at_fpr_<rate>.*": "Of one attack.",
    "majority": "The share of the most frequent class: the accuracy that everybody has for free.",
    "learned": "1 where train accuracy is above it (one-sided 99%), else 0.",
    "train_loss": "Mean cross-entropy of members, of outputs as released.",
    "train_loss_sd": "Its standard deviation over them.",
    "test_loss": "Mean cross-entropy of non-members.",
    "test_loss_sd": "Its standard deviation over them.",
    "train_top5_accuracy": "Share of members whose label is among the five most likely classes; "
    "where there are more than five.",
    "test_top5_accuracy": "The same of non-members.",
    "held": "Members of a target that the defense takes for itself (AdvReg, split DMP).",
    "reference_records": "Records of the reserve that the defense uses.",
    "acted.<part>.<what>": "What a part did, as a share; 0: nothing, and its numbers are those of "
    "the recipe without it.",
    "dtc_members": "Mean distance to the confident region, of members (`distance_to_confident`).",
    "dtc_nonmembers": "The same of non-members.",
    "dtc_gap": "Their difference, relative to non-members.",
    "objective": "What is weighed against accuracy, where it is not `max_attack_auc`.",
    "notes": "What must be known to read the row.",
    "confirmed_<column>_change": "The confirmed number less that of the search.",
    "confirmed_<column>": "`pareto.csv`, after `raymia confirm`: the same from fresh seeds.",
    "target": "`attacks.csv`: the number of the attacked model.",
    "attack": "`attacks.csv`: the attack, with its variant; `@plain`: by shadows without a "
    "defense. `timing.csv`: seconds of attacks.",
    "auc": "`attacks.csv`: AUC on this target.",
    "balanced_accuracy": "`attacks.csv`: (TPR + 1 - FPR) / 2 at the threshold from shadows.",
    "tpr_at_fpr_<rate>": "`attacks.csv`: of this target; empty where non-members are too few.",
    "ppv_at_<prior>": "`attacks.csv`: share of true ones among those called members, where that "
    "share of people are members; empty where nobody is called so.",
    "train": "`timing.csv`: seconds of training and asking the models.",
    "total": "`timing.csv`: seconds of the trial.",
}
_ENDS = re.compile(r"(_lo|_hi)(?=\.|$)")


def meaning(column: str) -> str | None:
    """The pattern in COLUMNS that a column is of; the ends of its interval are of its own."""
    for name in dict.fromkeys((column, _ENDS.sub("", column, count=1))):
        if name in COLUMNS:
            return name
        for pattern in COLUMNS:
            if pattern.startswith("<"):
                continue
            if re.fullmatch(_regex(pattern), name):
                return pattern
    part, _, knob = column.partition(".")
    known = all(catalog.has("defenses", one) for one in [part])
    return "<part>.<knob>" if known and knob in _knobs(part) else None


def _regex(pattern: str) -> str:
    pieces = re.split(r"(\*|<[a-z]+>)", pattern)
    free = {"*": r".+", "<rate>": r"0\.0+1", "<prior>": r"0\.[0-9]+"}
    return "".join(
        free.get(p, r".+") if p == "*" or p.startswith("<") else re.escape(p) for p in pieces
    )


def _knobs(part: str) -> Iterable[str]:
    return catalog.knobs(catalog.find("defenses", part))


def pages() -> dict[str, str]:
    """name of a page -> its Markdown."""
    kinds = {kind: _kind(kind) for kind in catalog.KINDS}
    return {"sweep-file": _sweep_file(), "columns": _columns(), "commands": _commands(), **kinds}


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _sweep_file() -> str:
    fields = {name: knob.default for name, knob in catalog.knobs(Training).items()}

    def told(known: Mapping[str, str], of: Mapping[str, Any] | None = None) -> str:
        rows = [[f"`{key}`", _cell(text)] for key, text in known.items()]
        if of is None:
            return _table(["key", "what"], rows)
        defaults = [f"`{json.dumps(of[key], default=str)}`" if key in of else "" for key in known]
        return _table(
            ["key", "what", "default"], [[*r, d] for r, d in zip(rows, defaults, strict=True)]
        )

    sections = {
        "training": (
            "Each data set has a schedule of its own; what is written here stands over it.",
            told(keys.TRAINING, fields),
        ),
        "search": ("", told(keys.SEARCH)),
        "search.objective": ("", told(keys.OBJECTIVE)),
        "resources": ("Of one trial.", told(keys.RESOURCES)),
        "canaries": ("", told(keys.CANARIES)),
        "published": ("It decides nothing and is in no digest.", told(keys.PUBLISHED)),
        "A range": (
            "Where a knob stands: a scalar is fixed, a list is a choice, and a mapping is a range.",
            told(keys.RANGE),
        ),
    }
    text = "\n\n".join(
        f"## {name}\n\n{before}\n\n{table}" for name, (before, table) in sections.items()
    )
    return (
        "# The sweep file\n\nOne YAML file says what is run. `raymia points FILE` checks it, "
        "`raymia schema` prints its JSON Schema ([for editors](../editors.md)).\n\n"
        f"{told(keys.KEYS)}\n\n{text}\n"
    )


def _columns() -> str:
    tables = (
        "`trials.csv` has a line for each trial, `pareto.csv` those of the front, `attacks.csv` "
        "one for each target and attack, `timing.csv` the seconds. An empty cell is unknown. A "
        "number has its 95% interval in `<column>_lo` and `<column>_hi`; for an attack "
        "`auc_lo.lira`."
    )
    rows = [[f"`{name}`", _cell(text)] for name, text in COLUMNS.items()]
    order = ", ".join(f"`{name}`" for name in ATTACK_COLUMNS)
    confirmed = f"What `confirm` found begins with `{columns.CONFIRMED}`."
    return (
        f"# Columns\n\n{tables} {confirmed}\n\n{_table(['column', 'what'], rows)}\n\n"
        f"The columns of `attacks.csv`, in order: {order}.\n"
    )


def _commands() -> str:
    top = click.Context(main, info_name="raymia")
    text = [f"# Commands\n\n{cleandoc(main.help or '')}"]
    for name in COMMANDS:
        command = main.get_command(top, name)
        assert command is not None
        said = command.get_help(click.Context(command, info_name=name, parent=top))
        text.append(f"## raymia {name}\n\n```text\n{said}\n```")
    return "\n\n".join(text) + "\n"


def _kind(kind: str) -> str:
    text = [f"# {kind.capitalize()}\n\n{WHAT[kind]}"]
    for name in catalog.own_names(kind):
        thing = catalog.describe(kind, name)
        text.append(f"## {name}\n\n{_prose(thing['summary'])}")
        if thing["knobs"]:
            rows = [
                [f"`{k['name']}`", _cell(k["type"]), _default(k), _cell(_searched(k))]
                for k in thing["knobs"]
            ]
            text.append(_table(["knob", "type", "default", "searched in"], rows))
        if thing["source"]:
            text.append(f"Source: {_prose(thing['source'])}")
    return "\n\n".join(text) + "\n"


def _prose(text: str) -> str:
    return re.sub(r"[<>\[\]*_]", lambda m: f"\\{m[0]}", text)


def _default(knob: Mapping[str, Any]) -> str:
    return "must be given" if knob["required"] else f"`{json.dumps(knob['default'])}`"


def _searched(knob: Mapping[str, Any]) -> str:
    if "choices" in knob:
        return preflight.domain(knob["choices"])
    return preflight.domain(knob) if "low" in knob else ""
