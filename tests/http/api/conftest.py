"""A registry with a few people, as clients of the API see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.api import Api
from tests.support.app import App, Opener


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry where `admin` may do everything, `maker` may make projects and `nobody` has no rights."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    await app.account("maker", ("*", "project:create"))
    await app.account("nobody")
    return app


@pytest.fixture
def as_user(app: App) -> Callable[[str], Api]:
    """Give a function that signs somebody in."""
    return lambda name: Api(app.basic(name))


@pytest.fixture
def admin(as_user: Callable[[str], Api]) -> Api:
    """Give a client that may do everything."""
    return as_user("admin")


@pytest.fixture
def nobody(as_user: Callable[[str], Api]) -> Api:
    """Give a client that has signed in and has no rights."""
    return as_user("nobody")


@pytest.fixture
def anonymous(app: App) -> Api:
    """Give a client that has not signed in."""
    return Api(app.client())
