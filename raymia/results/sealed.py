"""Files that say what they are: which layout they have, and a checksum over all the rest of them.

A file without these is of a raymia before they came, and is taken as it is.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from raymia.errors import EnvironmentFault
from raymia.streams import key

# of rows, confirmations, sweep.yaml, index.json and what else a folder holds: raised where a reader
# of before would take one wrongly; `opened` and its callers then bring what is older up to it
SCHEMA = 1
_SEAL = "# raymia: schema {schema}, sha256 of all below {digest}\n"
_SEALED = re.compile(r"# raymia: schema (\d+), sha256 of all below ([0-9a-f]{64})\n")


class Altered(EnvironmentFault):
    """A text is not what its seal says; `text` is what is below it."""

    def __init__(self, said: str, text: str) -> None:
        super().__init__(said)
        self.text = text


class Later(EnvironmentFault):
    """A file has a layout that came after this raymia."""


def sealed(body: Mapping[str, Any], name: str = "sha256") -> bytes:
    """The file of a mapping: canonical JSON, `schema`, and over all else a checksum (`name`)."""
    plain = json.loads(_canonical({**body, "schema": SCHEMA}))
    return (_canonical(plain | {name: key(_canonical(plain))}) + "\n").encode()


def opened(
    data: bytes, where: str, cure: str, bare: bool = False, name: str = "sha256"
) -> dict[str, Any]:
    """The mapping in a file. Raises EnvironmentFault naming it where its bytes are not what was
    written, with what to do (`cure`), and where a later raymia wrote it. `bare`: such files had no
    seal before.
    """
    try:
        plain = json.loads(data)
        if bare and not {"schema", name} & set(plain):
            return dict(plain)
        claimed = plain.pop(name)
        # what was hashed, cut out of the bytes; only a file that was spelled anew by other hands,
        # its values untouched, has to be spelled once more
        hashed = data.removesuffix(b"\n").replace(f'"{name}":"{claimed}",'.encode(), b"", 1)
        if key(hashed) != claimed and key(_canonical(plain)) != claimed:
            raise ValueError(f"its {name} does not match")
        readable(plain.pop("schema", 0), where)
        return dict(plain)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnvironmentFault(f"{where} is damaged ({error}); {cure}") from None


def readable(schema: Any, where: str) -> None:
    """Raises Later where a layout came after this raymia."""
    if type(schema) is not int or schema > SCHEMA:
        raise Later(
            f"{where} was written by a later raymia (schema {schema}, this one reads {SCHEMA}); "
            "install that one"
        )


def sealed_text(text: str) -> bytes:
    """A text below a line that seals it. The line stands first: a file that was cut keeps it."""
    return (_SEAL.format(schema=SCHEMA, digest=key(text)) + text).encode()


def opened_text(data: bytes, where: str) -> str:
    """The text below the seal. Raises EnvironmentFault where a later raymia wrote it, Altered where
    it was edited or is damaged.
    """
    text = data.decode(errors="replace")
    if (seal := _SEALED.match(text)) is None:
        return text
    below = text[seal.end() :]
    if key(below) != seal[2]:
        raise Altered(f"{where} is not what raymia wrote: it was edited, or is damaged", below)
    readable(int(seal[1]), where)
    return below


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_scalar)


def _scalar(value: Any) -> Any:
    """A numpy number as Python's own. Raises TypeError for what is no number."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} cannot stand in a row")
