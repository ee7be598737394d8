"""Holds uploads to their places (see `access.limits.upload_slots`), and tells clients when there is none.

A place is asked for when the upload is opened: clients try that again after a while, and have not sent anything yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from entrepot.access.limits.rates import address_of
from entrepot.access.limits.upload_slots import Key, Place, PlaceKind, Places, PlacesTaken
from entrepot.access.model import Principal
from entrepot.access.passwords.throttle import site_of
from entrepot.oci.errors import DigestInvalid, TooManyRequests, UploadRangeInvalid
from entrepot.oci.reference import RepositoryName
from entrepot.web.http import Request
from entrepot.web.rates import tell

#: Nobody knows when an upload ends; clients that wait so long, and try five times, bridge most of them.
_RETRY_SECONDS: Final = 10
_NAMES: Final = {PlaceKind.UPLOADS: "one account or address", PlaceKind.PROJECT_UPLOADS: "one project"}
#: After these a session that was there before goes on, maybe in another request.
_GOES_ON: Final = (UploadRangeInvalid, DigestInvalid)


@dataclass(slots=True)
class Going:
    """What a request says of its upload: whether more requests of it are to come."""

    on: bool = False


class UploadLimits:
    """Gives each upload its place, where the number of them is limited."""

    def __init__(self, places: Places | None = None) -> None:
        self._places = places if places is not None and places.any else None

    @asynccontextmanager
    async def place(
        self, request: Request, principal: Principal, name: RepositoryName, session: str, *, takes: bool = True
    ) -> AsyncIterator[Going]:
        """Hold the place of an upload while one of its requests is answered.

        Args:
            request: The request.
            principal: Who uploads.
            name: The repository.
            session: The session's id.
            takes: Whether the request needs a place; what only ends an upload does without.

        Raises:
            TooManyRequests: No place is left.
        """
        going = Going()
        if self._places is None:
            yield going
            return
        keys = (key for key in _keys(request, principal, name) if self._places.limits(key[0]))
        place = Place.of(keys, (principal.label, name, session))
        if takes:
            await _take(self._places, place, request)
        try:
            yield going
        except _GOES_ON:
            going.on = session == request.target  # else the request opened it, and has ended it by failing
            raise
        finally:
            if takes:
                self._places.pause(place)
            if not going.on:
                await self._places.leave(place)


async def _take(places: Places, place: Place, request: Request) -> None:
    try:
        standings = await places.take(place)
    except PlacesTaken as taken:
        tell(request, taken.standing)
        raise TooManyRequests(
            _RETRY_SECONDS,
            f"{taken.standing.limit} uploads of {_NAMES[PlaceKind(taken.standing.kind)]} at once are all there may be; "
            "push again when others are done, or fewer layers at once",
        ) from None
    for standing in standings:
        tell(request, standing)


def uploader(request: Request, principal: Principal) -> str | None:
    """Name whom an upload counts for: an account or, without one, the address; None for this host, without limit.

    Of IPv6 it is the site, a /48: one customer may have as many /64 as there are uploads.
    """
    if not principal.is_anonymous:
        return principal.label
    address = address_of(request.client)
    return None if address is None else site_of(request.client) if ":" in address else address


def _keys(request: Request, principal: Principal, name: RepositoryName) -> Iterator[Key]:
    who = uploader(request, principal)
    if who is not None:
        yield PlaceKind.UPLOADS, who
    yield PlaceKind.PROJECT_UPLOADS, name.project
