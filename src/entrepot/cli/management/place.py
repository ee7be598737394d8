"""The management API of the registry that a command means: over HTTP, or on a data folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from entrepot.cli.folder import run
from entrepot.cli.management.api import Api
from entrepot.cli.program.registry_choice import Meant, meant, tell, tell_at_terminal

if TYPE_CHECKING:
    from entrepot.config import Config

T = TypeVar("T")


def ask(work: Callable[[Api], Awaitable[T]]) -> T:
    """Do something with the registry that is meant, and say which one that is where the command line does not.

    Raises:
        typer.Exit: It could not be done; the reason is on standard error.
    """
    registry = meant()
    place = _located(registry)

    async def inside() -> T:
        async with _opened(registry, place) as api:
            try:
                return await work(api)
            finally:
                name = None if place is None else place.place
                (tell if api.changed else tell_at_terminal)(registry, name)

    return run(inside)


def is_folder() -> bool:
    """Tell whether a data folder is meant, and no server.

    Raises:
        typer.Exit: As `meant`.
    """
    return meant().login is None


def _located(registry: Meant) -> Config | None:
    from entrepot.cli.place import configuration_of, has_metadata, no_registry

    if registry.login is not None:
        return None
    place = configuration_of(registry)
    if not has_metadata(place):
        raise no_registry(place)
    return place


@asynccontextmanager
async def _opened(registry: Meant, place: Config | None) -> AsyncIterator[Api]:
    if registry.login is not None:
        from entrepot.cli.management.remote import with_login

        yield with_login(registry.login)
        return
    from entrepot.cli.management.local import local_api

    assert place is not None, "it is one or the other"
    async with local_api(place) as api:
        yield api
