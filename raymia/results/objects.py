"""Objects of a bucket by obstore: read, put under a condition, list, delete. What goes wrong is
one line that holds no secret.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from raymia.errors import EnvironmentFault
from raymia.results.location import Location

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# seconds: to be told that nobody answers, and to wait for one that has answered before
_FIRST, _LATER = 4.0, 60.0
# seconds for one object: the weights of a model may be large, a text is not
_LARGE, _SMALL = 600.0, 30.0
_SECRET = re.compile(r"(?i)secret|token|password|access_?key|account_?key|sas|credential")
_ADVICE = {
    "PermissionDenied": "permission is denied: may these credentials read, write and list there?",
    "Unauthenticated": "the credentials are not accepted",
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": "the credentials are not known there",
    "SignatureDoesNotMatch": "the credentials are not accepted",
    "without LOCATION": "the bucket is in another region: say s3://...?region=...",
    "169.254.169.254": "no credentials were found, in the environment or of this machine's role",
    "metadata.google.internal": "no credentials were found, in the environment or of this "
    "machine's service account",
    "error sending request": "nobody answers there: is the address right, and the network up?",
    "Account must be specified": "set AZURE_STORAGE_ACCOUNT_NAME",
}


class Changed(Exception):
    """The object is not, or no longer, as the put was told."""


@dataclass(frozen=True)
class Found:
    """An object as it was read: `version` is what a later put may be tied to."""

    content: bytes
    version: dict[str, str]


ABSENT: dict[str, str] = {}  # the version of what is not there


class Objects:
    """The objects below one folder of a bucket. Raises EnvironmentFault naming the URI.

    Every put shows the whole object or nothing. Whoever answered once is waited for: a minute
    without a network costs nothing. Before that, no answer is an answer, within 20 s.
    """

    def __init__(self, place: Location):
        self.place = place
        self._stores: dict[tuple[float, float], ObjectStore] = {}
        self._met = False

    def get(self, name: str) -> Found | None:
        """None where there is none."""
        import obstore

        with self._faults(name) as store:
            try:
                found = obstore.get(store, name)
                content = bytes(found.bytes())
            except FileNotFoundError:
                return None
            return Found(content, _version(found.meta))

    def put(self, name: str, data: bytes, version: dict[str, str] | None = None) -> dict[str, str]:
        """The version that was written. With `version`, only where the object still has it, or
        is ABSENT. Raises Changed where it does not.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "overwrite" if version is None else version or "create"
        with self._faults(name) as store:
            try:
                # in one request: it is whole or not there, and no parts are left in the bucket
                put = obstore.put(store, name, data, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                raise Changed(name) from None
            return _version(put)

    def sizes(self, folder: str) -> dict[str, int]:
        """Names and bytes of the objects right below a folder."""
        import obstore

        with self._faults(folder) as store:
            found = obstore.list_with_delimiter(store, folder)["objects"]
        return {one["path"].rpartition("/")[2]: one["size"] for one in found}

    def delete(self, name: str) -> None:
        """An object, or a folder and what is in it; nothing where there is none."""
        import obstore

        with self._faults(name) as store:
            below = [one["path"] for chunk in obstore.list(store, name) for one in chunk]
            with suppress(FileNotFoundError):
                obstore.delete(store, below or name)

    @contextmanager
    def _faults(self, name: str) -> "Iterator[ObjectStore]":
        from obstore.exceptions import BaseError

        try:
            large = name.endswith((".npz", ".safetensors"))
            times = (_LATER, _LARGE if large else _SMALL) if self._met else (_FIRST, _FIRST)
            if times not in self._stores:
                self._stores[times] = opened(self.place, *times)
            yield self._stores[times]
            self._met = True
        except Changed:
            self._met = True
            raise
        except (BaseError, OSError, ValueError) as error:
            raise EnvironmentFault(f"{self.place / name}: {_reason(error)}") from None


def opened(place: Location, patience: float, limit: float) -> "ObjectStore":
    """A request that takes `limit` seconds has failed; one that failed is tried again for
    `patience` seconds.
    """
    from obstore import store

    client: Any = {
        "connect_timeout": timedelta(seconds=3),
        "timeout": timedelta(seconds=limit),
    }
    retry: Any = {"retry_timeout": timedelta(seconds=patience)}
    shared: Any = {"prefix": place.folder or None, "client_options": client, "retry_config": retry}
    if place.scheme == "gs":
        return store.GCSStore(place.bucket, **shared)
    if place.scheme == "az":
        return store.AzureStore(place.bucket, **shared)
    options = place.options
    endpoint = options.get("endpoint") or options.get("endpoint_override", "")
    if endpoint and "://" not in endpoint:
        endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
    config: Any = {"endpoint": endpoint} if endpoint else {}
    config |= {"region": options["region"]} if "region" in options else {}
    addresses = [endpoint, *map(os.environ.get, ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))]
    client["allow_http"] = any((one or "").startswith("http://") for one in addresses)
    return store.S3Store(place.bucket, config=config, credential_provider=_profile(), **shared)


def _profile() -> Any:
    """The credentials of ~/.aws, where boto3 is installed to read them, and the environment and
    the machine have none; else None.
    """
    if os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_ROLE_ARN"}:
        return None
    if not os.path.exists(os.path.expanduser("~/.aws")):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError):  # no boto3, or no credentials in its files
        return None


def _version(meta: Any) -> dict[str, str]:
    """Stores go by one or the other: S3 and Azure by the e-tag, Google by the version."""
    return {key: meta[key] for key in ("e_tag", "version") if meta.get(key)}


def _reason(error: Exception) -> str:
    """One line of what obstore says, without the secrets that an address may hold."""
    story = str(error)
    said = next((advice for mark, advice in _ADVICE.items() if mark in story), "")
    kind = type(error).__name__.removesuffix("Error")
    said = _ADVICE.get(kind, said)
    line = re.sub(r"(\w+://[^\s?]+)\?\S*", r"\1", story.partition("\n")[0])
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) > 5:
            line = line.replace(value, "...")
    return f"{said} ({line[:200]})" if said else line[:300]
