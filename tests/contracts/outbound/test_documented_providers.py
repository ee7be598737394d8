"""The configurations of the how-to pages, with services that answer as GitHub and Gitee document it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from entrepot.accounts.providers.model import Kept
from entrepot.adapters.identity.oidc.setup import build_providers
from entrepot.config.schema.auth import Access
from entrepot.outbound.settings import OutboundSettings
from tests.support.listener import Listener, listening
from tests.support.pages import blocks

KEPT = Kept(state="the-state", nonce="the-nonce", verifier="v" * 64)
#: By the page: its hosts, and what the service answers at a path.
SERVICES: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "github": (
        ("https://github.com", "https://api.github.com"),
        {
            "/login/oauth/access_token": {"access_token": "gho_1", "scope": "read:org", "token_type": "bearer"},
            "/user": {"login": "octocat", "id": 583231, "name": "The Octocat", "email": None, "type": "User"},
            "/user/teams": [{"id": 1, "name": "Web", "slug": "web", "organization": {"login": "acme", "id": 9}}],
            "/user/orgs": [{"login": "acme", "id": 9, "description": "Everything"}],
        },
    ),
    "gitee": (
        ("https://gitee.com",),
        {
            "/oauth/token": {"access_token": "a1", "token_type": "bearer", "expires_in": 86400, "refresh_token": "r1"},
            "/api/v5/user": {"id": 42, "login": "alice", "name": "Alice", "email": "alice@example.org"},
            "/api/v5/user/orgs": [{"id": 9, "login": "acme", "name": "Acme"}],
        },
    ),
}
ARRIVED = {
    "github": ("583231", "octocat", "", "The Octocat", ("acme/web", "acme")),
    "gitee": ("42", "alice", "alice@example.org", "Alice", ("acme",)),
}


@pytest.fixture(params=sorted(SERVICES))
def name(request: pytest.FixtureRequest) -> str:
    """Give the name of a service."""
    return str(request.param)


@pytest.fixture
async def service(name: str) -> AsyncIterator[Listener]:
    """Run it."""

    async with listening({}) as listener:
        for path, document in SERVICES[name][1].items():
            listener.answer(path, partial(web.json_response, document))
        yield listener


async def test_somebody_arrives_with_the_groups_of_the_page(name: str, service: Listener, tmp_path: Path) -> None:
    """The name, what never changes, and groups by the names that the page gives rights to."""
    (text,) = blocks(f"how-to/sign-in-with-{name}.md", "yaml")
    for host in sorted(SERVICES[name][0], key=len, reverse=True):
        text = text.replace(host, service.url)
    (tmp_path / "secret").write_text("the-secret")
    text = text.replace(f"/etc/entrepot/{name}-secret", str(tmp_path / "secret"))
    section = Access.model_validate(yaml.safe_load(text)["access"])
    (provider,) = build_providers(section, OutboundSettings.of(["127.0.0.1"]))
    address = await provider.address(f"https://registry.example.org/c/oidc/callback/{name}", KEPT)
    assert "code_challenge_method=S256" in address
    arrival = await provider.arrival({"state": "the-state", "code": "good"}, "https://registry.example.org", KEPT)
    told = arrival.told
    assert (told.subject, told.name, told.email, told.realname, told.groups) == ARRIVED[name]
