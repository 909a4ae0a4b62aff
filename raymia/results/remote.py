"""A results folder in object storage: `s3://bucket/prefix`, `gs://bucket/prefix`,
`az://container/prefix`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from raymia.errors import EnvironmentFault
from raymia.results.claim import CLOSED_SIZE, LOCK, SECONDS, Claim, Clock, closed, parsed, said
from raymia.results.local import Local, Storage
from raymia.results.location import Location, locate
from raymia.results.objects import ABSENT, Changed, Found, Objects

_TRIES = 20  # of a change that others make at the same time


def storage(where: Path | str | Location, token: str = "") -> Storage:
    """The storage of a results folder. `token`: that of the driver that one writes for."""
    place = locate(where)
    return Remote(place, token) if isinstance(place, Location) else Local(place)


class Remote:
    """Whole objects under a URI.

    Rows, tables and whatever else a driver writes go through its claim (`lock`), and no other
    driver's writes come between. Workers write signals for a driver, and for that they show its
    `token`: once another holds the folder they stop. What of theirs is still on its way then does
    no harm: the same model is the same bytes, the index names what is whole, and it is changed
    by compare and swap. Raises EnvironmentFault naming the URI, and Locked.
    """

    def __init__(
        self,
        place: Location,
        token: str = "",
        seconds: float = SECONDS,
        clock: Clock | None = None,
    ):
        self.place, self._token = place, token
        self._seconds, self._clock = seconds, clock or Clock()
        self.objects = Objects(place)
        self._claim: Claim | None = None
        self._own: dict[str, dict[str, str]] = {}  # versions of what we put last

    @property
    def token(self) -> str:
        """By which others write for us. Raises RuntimeError where the folder is not held."""
        if self._claim is None:
            raise RuntimeError(f"{self.place} is not held")
        return self._claim.token

    def held(self) -> bool:
        """Whether the folder is held by the driver whose token was given."""
        return parsed(self.objects.get(LOCK)).get("nonce") == self._token != ""

    def names(self, folder: str) -> list[str]:
        return sorted(
            name
            for name, size in self.objects.sizes(folder).items()
            if not name.startswith(".")
            and (size != CLOSED_SIZE or self.read(f"{folder}/{name}") is not None)
        )

    def read(self, name: str) -> bytes | None:
        found = self.objects.get(name)
        if found is None or closed(found.content):
            return None
        # who holds the folder sees what was added to a table, and so derives it letter for letter
        held = self._claim is not None and name.endswith(".csv")
        return found.content if held else said(found.content)

    def create(self, name: str, data: bytes) -> bool:
        if self._claim is None:
            raise RuntimeError(f"{self.place} is not held")
        found = self.objects.get(name)
        if found and not closed(found.content):
            return False
        self._put(self._claim, name, data, found.version if found else ABSENT, once=True)
        return True

    def replace(self, name: str, data: bytes) -> None:
        if self._claim is None:
            self._may_write()
            self.objects.put(name, data)
            return
        seen = self._own.get(name)
        version = seen
        if version is None:
            version = found.version if (found := self.objects.get(name)) else ABSENT
        put = self._put(self._claim, name, data, version, once=False, seen=seen is not None)
        self._own[name] = put

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        for _ in range(_TRIES):
            self._may_write()
            found = self.objects.get(name)
            data = edit(found.content if found else None)
            with contextlib.suppress(Changed):
                self.objects.put(name, data, found.version if found else ABSENT)
                return
        raise EnvironmentFault(f"{self.place / name}: others change it all the time")

    def delete(self, folder: str) -> None:
        if self._claim is not None:
            self._claim.renew()
        self.objects.delete(folder)

    def _may_write(self) -> None:
        if self._token and not self.held():
            raise EnvironmentFault(
                f"{self.place}: another raymia took the folder, and nothing more is written here"
            )

    def _put(
        self,
        claim: Claim,
        name: str,
        data: bytes,
        version: dict[str, str],
        once: bool,
        seen: bool = False,
    ) -> dict[str, str]:
        self._own.pop(name, None)
        with claim.writing(name, once, seen):
            try:
                return self.objects.put(name, data, version)
            except Changed:
                found: Found | None = self.objects.get(name)
                claim.renew()  # Locked, where the folder is another's
            if found and found.content == data:  # our own put, whose answer was lost
                return found.version
            raise EnvironmentFault(
                f"{self.place / name}: something else than raymia run writes there; find it, or "
                "choose another --out"
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Raises Locked where another holds the folder, and is there.

        A holder that is silent (it was killed) is waited for, at most 60 s.
        """
        claim = Claim(self.objects, self._seconds, self._clock)
        claim.take()
        try:
            with self._clock.every(self._seconds / 4, claim.stay):
                self._claim, self._own = claim, {}
                yield
        finally:
            self._claim = None
            claim.give_back()
