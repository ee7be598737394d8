"""What may happen to an upload session, as a table.

    state      append   complete   cancel     expire
    ---------  -------  ---------  ---------  -------
    open       open     completed  cancelled  expired
    completed  -        -          -          -
    cancelled  -        -          -          -
    expired    -        -          -          -

Two rules for this file: everything that decides about a session's life is in ``TRANSITIONS``, and a session that has
ended never lives again; who comes late has to start a new one.
"""

from enum import StrEnum

from entrepot.oci.errors import BlobUploadInvalid, BlobUploadUnknown


class UploadState(StrEnum):
    """Where a session stands."""

    OPEN = "open"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class UploadEvent(StrEnum):
    """What a client or a clock wants to happen to a session."""

    APPEND = "append"
    COMPLETE = "complete"
    CANCEL = "cancel"
    EXPIRE = "expire"


TRANSITIONS: dict[UploadState, dict[UploadEvent, UploadState]] = {
    UploadState.OPEN: {
        UploadEvent.APPEND: UploadState.OPEN,
        UploadEvent.COMPLETE: UploadState.COMPLETED,
        UploadEvent.CANCEL: UploadState.CANCELLED,
        UploadEvent.EXPIRE: UploadState.EXPIRED,
    },
    UploadState.COMPLETED: {},
    UploadState.CANCELLED: {},
    UploadState.EXPIRED: {},
}


def advance(state: UploadState, event: UploadEvent) -> UploadState:
    """Give the state that follows.

    Raises:
        BlobUploadInvalid: The session is completed already; its blob exists.
        BlobUploadUnknown: The session was cancelled or has expired.
    """
    following = TRANSITIONS[state].get(event)
    if following is not None:
        return following
    if state is UploadState.COMPLETED:
        raise BlobUploadInvalid("the upload is completed already; start a new one for other content")
    raise BlobUploadUnknown(f"the upload was ended before ({state.value}); start a new one")
