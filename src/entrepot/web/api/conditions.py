"""Changing only what one has seen: `ETag` and `If-Match` (RFC 9110, section 13.1.1)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Response

from entrepot.access.faults import PreconditionFailed

_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,19})"')


def set_etag(response: Response, updated_at: int) -> None:
    """Name the state of a thing by the time of its last change."""
    response.headers["ETag"] = f'"{updated_at}"'


def expected_state(
    if_match: Annotated[
        str | None, Header(description="The ETag of what was read.", examples=['"1767323045000000"'])
    ] = None,
) -> int | None:
    """Return when the thing was changed last as far as the caller knows; None if they do not say.

    Raises:
        PreconditionFailed: The header holds no ETag of ours, so it cannot be the present one.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailed("If-Match holds no ETag of this resource; read it again")
    return int(match[1])


#: For handlers that change something: its state as far as the caller knows.
Expected = Annotated[int | None, Depends(expected_state)]
