"""A trained network as a file that others load: TorchScript, or an ONNX graph that takes the user's
columns and pixels as they come.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raymia.errors import EnvironmentFault, RaymiaError
from raymia.records.data import EMPTY
from raymia.training.batches import pixels
from raymia.training.defense import Defense
from raymia.training.losses import FLOOR
from raymia.training.model import Model, saved

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Sequence[str] | None]  # input -> its categories; None: a number
OUTPUTS = ("logits", "probabilities")
NEAR = 1e-4  # how far the file may be from the model, as a share of the largest logit (1 at least)
_MATRIX = "x"


class Released(nn.Module):
    """Records in the data's own units, x [B, *shape] -> float32 logits and probabilities [B, C], as
    the `parts` of a recipe release them one after the other.
    """

    def __init__(self, model: Model, parts: Sequence[Defense]) -> None:
        super().__init__()
        self.network = model.network.eval().cpu()
        self.dtype, self.parts = model.dtype, tuple(parts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.network(pixels(x, self.dtype)).logits
        for part in self.parts:
            logits = part.in_graph(logits)
        if self.parts:
            logits = logits.double().softmax(-1).clamp(min=FLOOR).log()
        return logits.float(), logits.softmax(-1).float()


def check_installed(kind: str) -> None:
    """Raises EnvironmentFault where a library is missing that a file of this kind needs."""
    if kind != "onnx":
        return
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  torch asks for it late
    except ImportError as error:
        raise EnvironmentFault(
            f"--format onnx needs {error.name}: pip install onnx onnxruntime onnxscript; "
            "safetensors and torchscript need nothing more"
        ) from None


def file(
    kind: str,
    model: Model,
    parts: Sequence[Defense],
    x: Array,
    columns: Columns,
    classes: Sequence[Any],
) -> tuple[bytes, float | None]:
    """The file of a model, of the kind onnx, torchscript or safetensors (weights alone: as they
    are), and how far it is from the model in its logits of records x. Raises RaymiaError.
    """
    if kind == "safetensors":
        return saved(model), None
    module = Released(model, parts)
    return onnx(module, x, columns, classes) if kind == "onnx" else torchscript(module, x)


def torchscript(module: Released, x: Array) -> tuple[bytes, float]:
    """model.pt, and how far it is from the model on records x. Raises RaymiaError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is old, and says so
        # a trace of one shape is one of all batches where the networks say so; `_apart` asks
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            module, torch.as_tensor(x[:2]), check_trace=False
        )
        file = io.BytesIO()
        torch.jit.save(traced, file)
        content = _without_lines(file.getvalue())
        loaded: Any = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
    said = _apart(module, x, lambda some: loaded(torch.as_tensor(some))[0].numpy(), "torchscript")
    return content, said


def _without_lines(content: bytes) -> bytes:
    """A TorchScript archive without what names lines of code in the files of this machine."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as read, zipfile.ZipFile(out, "w") as write:
        for name in read.namelist():
            if not name.endswith(".debug_pkl"):
                write.writestr(zipfile.ZipInfo(name), read.read(name))
    return out.getvalue()


def onnx(
    module: Released, x: Array, columns: Columns, classes: Sequence[Any]
) -> tuple[bytes, float]:
    """model.onnx, and how far it is from the model on records x.

    Its inputs are `columns` [B, 1], float32 or text, of which x [B, features] is made; without
    columns it is x itself. The names of the classes stand in its metadata. Raises RaymiaError
    where the graph does not say what the model says.
    """
    import onnxruntime

    proto = _exported(module, x)
    feed = _with_columns(proto, columns, x)
    proto.metadata_props.add(key="classes", value=json.dumps(list(classes)))
    content: bytes = proto.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    apart = _apart(module, x, lambda some: session.run(["logits"], feed(some))[0], "onnx")
    return content, apart


def _exported(module: Released, x: Array) -> Any:
    """The graph of a module, without what names this machine."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (torch.as_tensor(x[:2]),),
                input_names=[_MATRIX],
                output_names=list(OUTPUTS),
                dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1)}},
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(before)
    assert program is not None
    proto: Any = program.model_proto
    for one in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer, proto.graph):
        del one.metadata_props[:]  # each node's lines in the files of this machine
        one.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    return proto


def _with_columns(proto: Any, columns: Columns, x: Array) -> Callable[[Array], dict[str, Array]]:
    """Puts the columns in front of the graph; how records x [B, features] are fed to it."""
    if not columns:
        return lambda some: {_MATRIX: some}
    from onnx import TensorProto, compose, helper, numpy_helper

    inner = compose.add_prefix(proto, "network/", rename_inputs=False, rename_outputs=False)
    matrix, nodes, blocks = "network/x", [], []
    for node in inner.graph.node:
        node.input[:] = [matrix if name == _MATRIX else name for name in node.input]
    inputs = []
    for i, (name, categories) in enumerate(columns.items()):
        kind = TensorProto.FLOAT if categories is None else TensorProto.STRING
        inputs.append(helper.make_tensor_value_info(name, kind, ["batch", 1]))
        if categories is None:
            blocks.append(name)
            continue
        block = f"columns/{i}"
        texts = np.array([list(categories)], dtype=object)
        # an empty cell, and what it is called
        ways = [texts, np.where(texts == EMPTY, "", texts)][: 1 + (EMPTY in categories)]
        for w, way in enumerate(ways):
            inner.graph.initializer.append(numpy_helper.from_array(way, f"{block}/known{w}"))
            nodes.append(helper.make_node("Equal", [name, f"{block}/known{w}"], [f"{block}/{w}"]))
        same = f"{block}/0"
        if len(ways) > 1:
            same = f"{block}/same"
            nodes.append(helper.make_node("Or", [f"{block}/0", f"{block}/1"], [same]))
        nodes.append(helper.make_node("Cast", [same], [block], to=TensorProto.FLOAT))
        blocks.append(block)
    nodes.append(helper.make_node("Concat", blocks, [matrix], axis=1))
    nodes += list(inner.graph.node)
    for field, new in ((inner.graph.input, inputs), (inner.graph.node, nodes)):
        del field[:]
        field.extend(new)
    proto.CopyFrom(inner)

    def feed(some: Array) -> dict[str, Array]:
        given, at = {}, 0
        for name, categories in columns.items():
            width = 1 if categories is None else len(categories)
            block, at = some[:, at : at + width], at + width
            given[name] = (
                block
                if categories is None
                else np.array(list(categories), dtype=object)[block.argmax(1)][:, None]
            )
        return given

    return feed


def _apart(module: Released, x: Array, said: Callable[[Array], Array], what: str) -> float:
    """The largest difference of logits on batches of several sizes. Raises RaymiaError where it is
    more than rounding.
    """
    most = 0.0
    for some in (x[:1], x[:3], x):
        with torch.no_grad():
            right = module(torch.as_tensor(some))[0].numpy()
        try:
            found = said(some)
        except Exception as error:  # whatever a runtime says of a shape that it does not take
            raise RaymiaError(f"--format {what}: {' '.join(str(error).split())[:200]}") from None
        apart = float(abs(found - right).max())
        if found.shape != right.shape or not apart <= NEAR * max(1.0, float(abs(right).max())):
            raise RaymiaError(
                f"--format {what}: the file and the model differ by {apart:.2g} in their logits; "
                "safetensors is allowed"
            )
        most = max(most, apart)
    return most
