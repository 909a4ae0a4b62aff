"""YAML as a sweep file may use it: a strict subset in which every value knows the line that it
came from.

PyYAML's own loading is too lenient for a file that costs days of training: it keeps the last of
two equal keys, reads `1e-3` as a text, `no` as false and `0777` as 511, and unfolds a few
hundred bytes of aliases into gigabytes.
"""

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raymia.errors import SweepError, line
from raymia.point.columns import word
from raymia.point.space import Scalar

_BYTES, _DEPTH, _NODES = 1_000_000, 20, 20_000
# libyaml reads 1 MB in a second where the Python one needs ten; wheels of PyYAML bring it
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Scalar] = {"": None, "~": None}
_WORDS |= {
    case: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for case in (word, word.capitalize(), word.upper())
}


def show(value: Any) -> str:
    """A value for one line of an error message."""
    if isinstance(value, Node):
        value = value.plain()
    text = repr(value) if isinstance(value, str | list | dict | tuple) else word(value)
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(frozen=True)
class Node:
    """A value of the file: a scalar, a list of nodes, or a mapping of texts to nodes."""

    value: Any
    where: str  # "file:line" or "--set a.b"
    path: tuple[str | int, ...] = ()

    def refuse(self, allowed: str, got: Any = ...) -> SweepError:
        """The error `where: dotted.key: got VALUE; allowed`. `got` stands in for the value
        (None: nothing is said).
        """
        key = ".".join(
            str(p) if isinstance(p, int) or re.fullmatch(r"[\w<-]+", p) else repr(p)
            for p in self.path
        )
        said = "" if got is None else f"got {show(self if got is ... else got)}; "
        return SweepError(line(f"{self.where}: {key or 'the file'}: {said}{allowed}"))

    def plain(self) -> Any:
        """The value as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {k: v.plain() for k, v in self.value.items()}
        return [v.plain() for v in self.value] if isinstance(self.value, list) else self.value

    def mapping(self) -> dict[str, "Node"]:
        """The entries of a mapping; null is an empty one. Raises SweepError where it is
        something else.
        """
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.refuse("a mapping is allowed")
        return self.value


def read(path: str | Path) -> Node:
    """The file as a tree of nodes. Raises SweepError, naming file and line, where it is not
    strict YAML.
    """
    try:
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is no plain file")
            raw = file.read(_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SweepError(
            line(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
        ) from None
    if len(raw) > _BYTES:
        raise SweepError(
            line(f"{path}:1: the file: got more than {_BYTES} bytes; at most 1 MB is allowed")
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = raw.count(b"\n", 0, error.start) + 1
        raise SweepError(
            line(f"{path}:{at}: the file: got byte {raw[error.start]:#04x}; UTF-8 is allowed")
        ) from None
    return parse(text, str(path))


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse(text: str, label: str, path: tuple[str | int, ...] = (), lines: bool = True) -> Node:
    """The one document in `text`, whose nodes are said to stand in `label` (with `lines`: at
    `label:line`).
    """
    if "\0" in text:
        at = f":{text.count(chr(10), 0, text.index(chr(0))) + 1}" * lines
        raise SweepError(line(f"{label}{at}: the file: got a NUL; text is allowed"))
    reader = _Reader(text, label, lines)
    try:
        return reader.document(path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SweepError(
            line(f"{reader.at(mark)}: not YAML: {error.problem or error.context}")
        ) from None
    except yaml.reader.ReaderError as error:
        at = f":{text.count(chr(10), 0, error.position) + 1}" * lines
        raise SweepError(line(f"{label}{at}: not YAML: {error.reason}")) from None
    except UnicodeEncodeError as error:  # libyaml is handed UTF-8
        raise SweepError(line(f"{label}: not YAML: {error.reason}")) from None


class _Reader:
    """One pass over the parser's events; the depth is checked on the way down, so nothing can
    nest without end.
    """

    def __init__(self, text: str, label: str, lines: bool) -> None:
        self.label, self.lines, self.count = label, lines, 0
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)

    def at(self, mark: Any) -> str:
        return f"{self.label}:{mark.line + 1}" if self.lines and mark is not None else self.label

    def document(self, path: tuple[str | int, ...]) -> Node:
        next(self.events)
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            return Node(None, self.at(first.start_mark), path)
        root = self.node(next(self.events), path)
        next(self.events)
        more = next(self.events)
        if not isinstance(more, yaml.StreamEndEvent):
            raise Node(None, self.at(more.start_mark), path).refuse(
                "one document is allowed, this starts another", None
            )
        return root

    def node(self, event: Any, path: tuple[str | int, ...], where: str = "") -> Node:
        where = where or self.at(event.start_mark)
        here = Node(None, where, path)
        self.count += 1
        self.plainly(event, here)
        if len(path) > _DEPTH:
            raise here.refuse(f"at most {_DEPTH} levels of nesting are allowed", None)
        if self.count > _NODES:
            raise here.refuse(f"at most {_NODES} values are allowed", None)
        if isinstance(event, yaml.ScalarEvent):
            return Node(self.scalar(event, here), where, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(event, (*path, len(items))))
            return Node(items, where, path)
        return Node(self.entries(path), where, path)

    def entries(self, path: tuple[str | int, ...]) -> dict[str, Node]:
        out: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            here = Node(None, self.at(event.start_mark), path)
            self.plainly(event, here)
            if not isinstance(event, yaml.ScalarEvent):
                raise here.refuse("a text is allowed as a key", None)
            key = Node(None, here.where, (*path, event.value))
            if event.value in out:
                first = out[event.value].where.rpartition(":")[2]
                raise key.refuse(f"the key stands here twice (first on line {first})", None)
            self.legible(event.value, key)
            out[event.value] = self.node(next(self.events), key.path, here.where)
        return out

    def plainly(self, event: Any, here: Node) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise here.refuse("aliases are not allowed, write the value out", f"*{event.anchor}")
        if event.anchor is not None:
            raise here.refuse("anchors are not allowed, write the value out", f"&{event.anchor}")
        if event.tag is not None:
            raise here.refuse("tags are not allowed", event.tag)

    def scalar(self, event: Any, here: Node) -> Scalar:
        text: str = event.value
        self.legible(text, here)
        if event.style not in (None, ""):  # quoted
            return text
        value = resolve(text)
        if (
            isinstance(value, float)
            and not math.isfinite(value)
            or isinstance(value, int)
            and abs(value) >= 2**63
        ):
            raise here.refuse("a finite number below 2^63 is allowed", text)
        return value

    def legible(self, text: str, here: Node) -> None:
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise here.refuse("Unicode text without NUL is allowed", text)


def resolve(text: str) -> Scalar:
    """What an unquoted scalar means by YAML 1.2's core schema; octal, hexadecimal and leading
    zeros stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        # Python refuses to read thousands of digits
        return int(text) if len(text) < 40 else math.inf
    if _FLOAT.fullmatch(text):
        # -0.0 becomes 0.0: equal values have one spelling, hence one digest
        return float(text) + 0.0
    return math.nan if _NOT_FINITE.fullmatch(text) else text


def override(root: Node, spelled: str) -> Node:
    """The tree with `a.b=value` applied; the value is YAML, a whole number in the key is an
    index of a list.
    """
    dotted, equals, text = spelled.partition("=")
    keys, where = dotted.split("."), f"--set {dotted}"
    if not equals or not all(keys) or len(keys) > _DEPTH:
        raise SweepError(
            line(f"--set {show(spelled)}: a.b=value is allowed, e.g. search.trials=50")
        )
    return _put(root, keys, lambda path: parse(text, where, path, lines=False), where)


def _put(node: Node, keys: list[str], leaf: Any, where: str) -> Node:
    if not keys:
        return leaf(node.path)  # type: ignore[no-any-return]
    key, rest = keys[0], keys[1:]
    if isinstance(node.value, list):
        if not key.isdecimal() or int(key) >= len(node.value):
            wanted = (
                f"an index from 0 to {len(node.value) - 1} is allowed"
                if node.value
                else "the list is empty"
            )
            raise Node(None, where, (*node.path, key)).refuse(wanted, None)
        items = list(node.value)
        items[int(key)] = _put(items[int(key)], rest, leaf, where)
        return Node(items, node.where, node.path)
    if node.value is None or node.value == key:  # a bare name stands for {name: {}}
        entries: dict[str, Node] = {}
    elif isinstance(node.value, dict):
        entries = dict(node.value)
    else:
        raise Node(None, where, (*node.path, key)).refuse(
            f"{'.'.join(map(str, node.path))} is {show(node)}, which has no parts", None
        )
    old = entries.get(key, Node(None, where, (*node.path, key)))
    return Node(entries | {key: _put(old, rest, leaf, where)}, node.where, node.path)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quoted = not isinstance(resolve(text), str)  # PyYAML would leave the text "1e-3" bare
    # line breaks to YAML, which a plain text would lose
    quoted = quoted or bool(set(text) & set("\x85\u2028\u2029\ufeff"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _text)


def dump(value: Mapping[str, Any]) -> str:
    """`value` as YAML that `parse` reads back to the same; keys stay in order."""
    return yaml.dump(
        dict(value),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=120,
    )
