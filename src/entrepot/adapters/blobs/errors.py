"""Operating system errors become facts of the registry at the store's edge, and go no further."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from entrepot.oci.errors import BlobUnknown, BlobUploadUnknown, InsufficientStorage, RegistryError, Unavailable

_log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def translated(missing: type[BlobUnknown | BlobUploadUnknown]) -> Iterator[None]:
    """Turn every OSError into the fact it stands for; a missing file is a `missing`."""
    try:
        yield
    except FileNotFoundError:
        raise missing from None
    except OSError as error:
        raise _fact(error) from error


def is_full(error: BaseException) -> bool:
    """Tell whether the device, or somebody's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def _fact(error: OSError) -> RegistryError:
    # The path goes to the log, for the operator, and never to the client.
    _log.error("blob storage failed: %s", error)
    if is_full(error):
        return InsufficientStorage()
    return Unavailable(retry_after=_patience(error), message=f"the blob storage failed: {_advice(error)}")


def _patience(error: OSError) -> int:
    """Say after how many seconds the same call may work again."""
    return 1 if error.errno in _EXHAUSTED else 30


def _advice(error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else "unknown error"
    if error.errno in _EXHAUSTED:
        return f"{reason}; try again"
    if error.errno in _FORBIDDEN:
        return f"{reason}; the operator must let the registry write to its folder"
    return f"{reason}; the operator should look at the disk"
