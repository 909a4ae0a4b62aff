"""The card of a deployed model for people, in Hugging Face's form: YAML in front, then text.

Source: Hugging Face, "Model Cards". A license is for the owner to choose, and left out; so is
`model-index`, whose numbers would be read as those of this very model.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from raymia.errors import line
from raymia.study import strict_yaml

_LIBRARY = {"onnx": "onnx", "torchscript": "pytorch", "safetensors": "raymia"}
COLUMNS = """\
import json

import numpy as np
import onnxruntime
import pandas as pd

session = onnxruntime.InferenceSession("model.onnx")
table = pd.read_csv("new.csv", dtype=str, keep_default_na=False)
kinds = {"tensor(float)": np.float32, "tensor(string)": object}
given = {i.name: table[[i.name]].to_numpy(kinds[i.type]) for i in session.get_inputs()}
logits, probabilities = session.run(None, given)
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print([classes[i] for i in probabilities.argmax(1)])
"""
_USES = {
    "onnx": """\
import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
x = np.zeros({shape}, np.{dtype})  # your records
logits, probabilities = session.run(None, {{"x": x}})
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print([classes[i] for i in probabilities.argmax(1)])
""",
    "torchscript": """\
import json

import torch

model = torch.jit.load("model.pt")
x = torch.zeros({shape}, dtype=torch.{dtype})  # your records
logits, probabilities = model(x)
classes = json.load(open("card.json"))["class_names"]
print([classes[i] for i in probabilities.argmax(1)])
""",
    "safetensors": """\
import json
from pathlib import Path

import torch
from raymia.report.model_card import load

x = torch.zeros({shape}, dtype=torch.{dtype})  # your records
logits = load(Path("."))(x)
classes = json.load(open("card.json"))["class_names"]
print([classes[i] for i in logits.argmax(1)])
""",
}


def text(title: str, card: Mapping[str, Any], said: Mapping[str, Sequence[str]]) -> str:
    """README.md of a card: `said` are sentences by the heading that they stand under."""
    kind = card["input"]["kind"]
    front = {
        "library_name": _LIBRARY[card["format"]],
        "pipeline_tag": {"pixels": "image", "words": "text"}.get(kind, "tabular")
        + "-classification",
        "tags": ["raymia", "membership-inference", "privacy", *card["parts"], card["format"]],
        "metrics": ["accuracy", "roc_auc"],
    }
    blocks = [f"---\n{strict_yaml.dump(front)}---", f"# {_plain(title)}"]
    for heading, sentences in said.items():
        blocks += [f"## {heading}", "\n".join(f"- {_plain(one)}" for one in sentences)]
    blocks += ["## Input", "\n".join(f"- {one}" for one in _input(card))]
    blocks += ["## Output", "\n".join(f"- {one}" for one in _output(card))]
    blocks += ["## Use", f"```python\n{_use(card)}```"]
    blocks.append("`card.json` has all of this for programs, and the sha256 of the model's file.")
    return "\n\n".join(blocks) + "\n"


def _use(card: Mapping[str, Any]) -> str:
    if card["input"]["names"] != ["x"]:
        return COLUMNS
    shape = repr((1, *card["input"]["shape"]))
    return _USES[card["format"]].format(shape=shape, dtype=card["input"]["dtype"])


def _input(card: Mapping[str, Any]) -> list[str]:
    """What goes in, a line each."""
    given = card["input"]
    each = ", ".join(map(str, given["shape"]))
    if given["kind"] == "pixels":
        return [
            f"`x`: {given['dtype']} [B, {each}]: channels, rows, columns; {given['units']}. It is "
            "normalised inside the model."
        ]
    if given["kind"] != "columns":
        return [f"`x`: {given['dtype']} [B, {each}]; {given['units']}"]
    separate = given["names"] != ["x"]
    lines = [
        "one input [B, 1] a column, scaled and turned into numbers inside the model"
        if separate
        else f"`x`: float32 [B, {each}], the features below in this order, as they stand in the "
        "file: they are scaled inside the model"
    ]
    for one in card["columns"]:
        renamed = f", as input {_code(one['input'])}" * (one["input"] != one["name"] and separate)
        if one["categories"] is None:
            lines.append(f"{_code(one['name'])}{renamed}: a number")
            continue
        shown = ", ".join(map(_code, one["categories"][:8]))
        more = f" and {len(one['categories']) - 8} more" * (len(one["categories"]) > 8)
        what = "text" if separate else "0 or 1 for each category"
        lines.append(f"{_code(one['name'])}{renamed}: {what}, {shown}{more}")
    if separate and any(one["categories"] is not None for one in card["columns"]):
        lines.append(
            "texts are without spaces around them; one that is no category counts as none of them"
        )
    return lines


def _output(card: Mapping[str, Any]) -> list[str]:
    names = card["class_names"]
    shown = ", ".join(_code(str(name)) for name in names[:20])
    more = f" and {len(names) - 20} more" * (len(names) > 20)
    lines = [f"`logits` [B, {len(names)}] of the classes {shown}{more}"]
    if card["format"] != "safetensors":
        lines.append(f"`probabilities` [B, {len(names)}]: their softmax")
    return lines


def _plain(sentence: str) -> str:
    """Names are other people's: nothing of them is markup."""
    return line(sentence).replace("<", "&lt;").replace("[", "\\[")


def _code(name: str) -> str:
    return f"`{line(name).replace('`', chr(39))}`"
