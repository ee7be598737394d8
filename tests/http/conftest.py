"""A registry for each test, and a client that talks to it without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.http.transport import AsgiClient
from tests.support.app import App, AppOptions, Opener, open_app


@pytest.fixture
async def open_registry(tmp_path: Path) -> AsyncIterator[Opener]:
    """Give a function that runs a registry with the options of `AppOptions` for the length of the test."""
    async with AsyncExitStack() as stack:

        async def opener(**options: Any) -> App:
            app: AbstractAsyncContextManager[App] = open_app(tmp_path, AppOptions(**options))
            return await stack.enter_async_context(app)

        yield opener


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry that is open to everybody."""
    return await open_registry()


@pytest.fixture
def client(app: App) -> AsgiClient:
    """Give a client of that registry."""
    return app.client()
