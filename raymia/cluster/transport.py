"""Signals of nodes that do not see the results folder: they travel through Ray's object store
to where the folder is.

A worker keeps a shelf, a private folder on its own disk with the files of the points that it
works on. What the results folder has already is taken from there, and what a group of models
has said goes there as soon as it is said: a trial that is killed finds its finished models,
wherever it runs next.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

from raymia.errors import EnvironmentFault
from raymia.results.local import Local, Storage
from raymia.results.location import Location, locate
from raymia.results.remote import Remote, storage
from raymia.results.store import Index, Store
from raymia.streams import key

# in a results folder on a disk while a driver runs: who reads the right number there sees the
# folder; in object storage `.lock` has one
_NOTE = ".nonce"
_LONG = 600.0  # seconds for one file


class Keeper:
    """The actor beside the driver through which files of signals go to and from the results
    folder, one call after another.

    It alone changes an index.
    """

    def __init__(self, place: str, token: str = "") -> None:
        self._storage = storage(place, token)

    def read(self, name: str) -> bytes | None:
        return self._storage.read(name)

    def replace(self, name: str, content: bytes) -> None:
        self._storage.replace(name, content)

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        self._storage.change(name, edit)  # on a disk, beside workers that write there themselves


class FolderFault(EnvironmentFault):
    """The results folder itself does not take what is written, or not give what is read: no
    other node would be spared that.
    """


def keeper(place: str, token: str = "") -> Any:
    """A Keeper on this very node; it ends with the driver."""
    here = On(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(Keeper)
        .options(num_cpus=0, max_restarts=-1, max_task_retries=3, scheduling_strategy=here)
        .remote(place, token)
    )


class Link:
    """The results folder as a node sees it that writes there through the keeper.

    `disk`: object storage that this node reaches by itself. Then only what changes an index
    goes through the keeper.
    """

    def __init__(self, keeper: Any, disk: Storage | None = None) -> None:
        self._keeper, self._disk = keeper, disk

    def read(self, name: str) -> bytes | None:
        content: bytes | None = (
            self._disk.read(name) if self._disk is not None else self._ask("read", name)
        )
        return content

    def replace(self, name: str, content: bytes) -> None:
        if self._disk is not None:
            try:
                self._disk.replace(name, content)
                return
            except EnvironmentFault:  # this node may read there, and not write
                self._disk = None
        self._ask("replace", name, content)

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        self._ask("change", name, edit)

    def _ask(self, call: str, *arguments: Any) -> Any:
        """A call of the keeper. Raises FolderFault where the results folder is in the way."""
        try:
            return ray.get(getattr(self._keeper, call).remote(*arguments), timeout=_LONG)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EnvironmentFault):
                raise FolderFault(str(error.cause)) from None
            raise


class Shelf:
    """A worker's own folder of signals, beside the results folder that `link` reaches."""

    def __init__(self, link: Link) -> None:
        self._link = link
        top = Path(tempfile.gettempdir(), f"raymia-{os.getuid()}")
        top.mkdir(mode=0o700, exist_ok=True)
        host = key(socket.gethostname())[:8]  # containers may share the folder, and not the pids
        for left in top.glob(f"signals-{host}-*"):  # of workers that were killed
            if not Path("/proc", left.name.split("-")[2]).exists() and Path("/proc").exists():
                shutil.rmtree(left, ignore_errors=True)
        self.root = Path(tempfile.mkdtemp(prefix=f"signals-{host}-{os.getpid()}-", dir=top))
        self._known: dict[str, Index] = {}  # folder -> what the results folder has of it

    def _stores(self, folder: str) -> tuple[Store, Store]:
        """The files of one folder of signals, here and in the results folder."""
        return Store(Local(self.root), folder), Store(self._link, f"signals/{folder}")

    def fetch(self, folders: Iterable[str], want: Callable[[str], bool]) -> None:
        """Take what the results folder has in these folders and is wanted; what does not verify
        is made again.
        """
        for folder in folders:
            mine, theirs = self._stores(folder)
            noted, held = theirs.index(), mine.index()
            self._known[folder] = noted
            for name, note in noted.items():
                if (
                    want(name)
                    and held.get(name) != note
                    and (content := theirs.read(name, note)) is not None
                ):
                    mine.put(name, content, note["model"])

    def send(self, folders: Iterable[str]) -> None:
        """Give the results folder what it does not have, file by file."""
        for folder in folders:
            mine, theirs = self._stores(folder)
            known, fresh = self._known.setdefault(folder, {}), Index()
            for name, note in mine.index().items():
                if known.get(name) != note and (content := mine.read(name, note)) is not None:
                    theirs.write(name, content)
                    fresh[name] = note
            if fresh:
                theirs.note(fresh)
                known.update(fresh)

    def keep(self, name: str, content: bytes) -> None:
        """A file of the results folder itself."""
        self._link.replace(name, content)

    def clear(self) -> None:
        """Nothing is kept on this disk."""
        self._known.clear()
        for one in self.root.iterdir():
            shutil.rmtree(one, ignore_errors=True)

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def shelf(keeper: Any, place: str, nonce: str) -> Shelf | None:
    """None where this node writes into the results folder as the driver does."""
    if keeper is None:
        return None
    near = sees(place, nonce)
    if isinstance(locate(place), Location):
        return Shelf(Link(keeper, storage(place, nonce) if near else None))
    return None if near else Shelf(Link(keeper))


def arrays(name: str) -> bool:
    """What the models said, and the split: all that attacks read."""
    return name.endswith(".npz")


def of(group: Iterable[int], *ends: str) -> Callable[[str], bool]:
    """The files of a group's models."""
    wanted = {f"model-{m}.{end}" for m in group for end in ends}
    return wanted.__contains__


def sees(place: str, nonce: str) -> bool:
    """Whether this node reads the results folder, or the object storage, as the driver wrote it."""
    try:
        store = storage(place, nonce)
        return store.held() if isinstance(store, Remote) else store.read(_NOTE) == nonce.encode()
    except Exception:
        # no such folder, no credentials, no network: whatever it is, signals travel another way
        return False


def blind(place: str, nonce: str, patience: float = 30.0) -> list[str]:
    """The addresses of the nodes that do not see the folder, each asked by a task of its own."""
    look = ray.remote(num_cpus=0, max_retries=0)(sees)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [
        look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(place, nonce)
        for node in nodes
    ]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=patience)
    answers = {ref: _answer(ref) if ref in ready else False for ref in asked}
    return [
        str(node["NodeManagerAddress"])
        for node, ref in zip(nodes, asked, strict=True)
        if not answers[ref]
    ]


def _answer(ref: Any) -> bool:
    try:
        return bool(ray.get(ref, timeout=1.0))
    except ray.exceptions.RayError:
        return False
