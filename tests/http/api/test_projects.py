"""Projects through the API."""

from __future__ import annotations

import pytest

from tests.http.transport import AsgiClient
from tests.support.app import App, Opener

API = "/api/v2.0"


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with accounts."""
    return await open_registry(signed_in=True)


async def test_ping_and_health(app: App) -> None:
    """Whoever asks is answered."""
    answer = await app.client().get(f"{API}/ping")
    assert (answer.status, answer.body) == (200, b"Pong")
    health = await app.client().get(f"{API}/health")
    assert health.json() == {"status": "healthy", "components": [{"name": "core", "status": "healthy"}]}


async def test_openapi(app: App) -> None:
    """x."""
    answer = await app.client().get(f"{API}/openapi.json")
    assert answer.status == 200
    print(answer.body[:300])
