"""Whose bucket it is: a mark in it names the registry, so that two of them never remove each other's blobs.

It is looked at by each process that starts, which shows as well that the bucket is there and may be used.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import Cloud, CloudBusy, CloudRefused, NoObject, Payload
from entrepot.metadata import clock
from entrepot.oci.errors import RegistryError, Unavailable
from entrepot.registry import layout

MARK: Final = f"{layout.OWN}/registry.json"


class StorageUnusable(RegistryError):
    """The place of the blobs cannot be used."""


async def take_place(cloud: Cloud, calls: Calls, registry: str, where: str) -> None:
    """Make sure that a bucket can be used and is this registry's; mark it where it is nobody's.

    Args:
        cloud: The bucket.
        calls: Makes the calls.
        registry: What this registry is called in marks.
        where: The bucket, for people.

    Raises:
        StorageUnusable: It cannot be used or is another registry's; the text says what to do.
    """
    try:
        owner = await _owner(cloud, calls)
        if owner is None:
            await calls.make("check", cloud.check)
            await _mark(cloud, calls, registry)
            return
    except Unavailable as error:
        raise StorageUnusable(f"{where} cannot be used: {_reason(error)}") from error
    if owner != registry:
        raise StorageUnusable(
            f"{where} is used by another registry; name another bucket or rootdirectory. If it is this registry's, "
            f"which has new databases, remove the object {MARK} below the rootdirectory and start again"
        )


async def _owner(cloud: Cloud, calls: Calls) -> str | None:
    async def read() -> bytes:
        return b"".join([piece async for piece in cloud.read(MARK, 0, None)])

    try:
        return str(json.loads(await calls.make("read", read))["registry"])
    except NoObject:
        return None
    except (ValueError, KeyError, TypeError):
        return ""


async def _mark(cloud: Cloud, calls: Calls, registry: str) -> None:
    data = json.dumps({"registry": registry, "since": clock.now()}).encode()
    payload = Payload(data=data, sha256=hashlib.sha256(data).digest())
    await calls.make("put", lambda: cloud.put(MARK, payload))


def _reason(error: Unavailable) -> str:
    cause = error.__cause__
    if isinstance(cause, CloudRefused):
        return str(cause)
    if isinstance(cause, CloudBusy):
        return f"it does not answer ({cause}); is its address right, and does it run?"
    return "it does not answer in time; is its address right, and does it run?"
