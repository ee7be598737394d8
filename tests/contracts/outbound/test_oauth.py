"""OAuth 2.0 of GitHub's kind over real connections: the endpoints, the groups page by page, and asking again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from aiohttp import web

from entrepot.accounts.providers.model import Grip, Kept, PersonGone, Provider, ProviderUnavailable, SignInRefused
from entrepot.adapters.identity.oidc.setup import build_providers
from entrepot.config.schema.auth import Access
from entrepot.metadata import clock
from entrepot.outbound.settings import OutboundSettings
from tests.support.listener import Listener, listening

KEPT = Kept(state="the-state", nonce="the-nonce", verifier="v" * 64)
REDIRECT = "https://registry.test/c/oidc/callback/hub"
ANSWER = {"state": "the-state", "code": "good"}


@dataclass(slots=True)
class Hub:
    """A service like GitHub or Gitee, and how ours is configured for it."""

    listener: Listener | None = None
    token: str = "token-1"
    expires_in: int | None = None
    user: dict[str, object] = field(
        default_factory=lambda: {"id": 7, "login": "alice", "name": None, "email": "a@x.test"}
    )
    status: int = 200
    teams: int = 3
    forms: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is."""
        assert self.listener is not None
        return self.listener.url

    async def give_token(self, request: web.Request) -> web.Response:
        """Exchange codes and refresh tokens; errors come with status 200, as GitHub sends them."""
        form = dict(parse_qsl(await request.text()))
        self.forms.append(form)
        if form.get("code", "good") != "good" or form.get("refresh_token", "r1") != "r1":
            return web.json_response({"error": "bad_verification_code", "error_description": "The code is old."})
        more = {} if self.expires_in is None else {"expires_in": self.expires_in, "refresh_token": "r1"}
        return web.json_response({"access_token": self.token, "token_type": "bearer", **more})

    async def give_user(self, request: web.Request) -> web.Response:
        """Say whose token it is."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return web.json_response({"message": "Bad credentials"}, status=401)
        return web.json_response(self.user, status=self.status)

    async def give_teams(self, request: web.Request) -> web.Response:
        """List teams, two on a page."""
        assert request.headers["authorization"] == f"Bearer {self.token}"
        page = int(request.query.get("page", "1"))
        names = [f"t{number}" for number in range(self.teams)][(page - 1) * 2 : page * 2]
        more = {"link": f'<{self.url}/teams?page=9>; rel="last", <{self.url}/teams?page={page + 1}>; rel="next"'}
        body = {"teams": [{"slug": name, "organization": {"login": "acme"}} for name in names] + [{"slug": "lost"}]}
        return web.json_response(body, headers=more if page * 2 < self.teams else {})

    def provider(self, **changes: object) -> Provider:
        """Build ours from the configuration that the documentation shows."""
        section = {
            "name": "hub",
            "clientid": "the-id",
            "clientsecret": "the-secret",
            "authorizeurl": f"{self.url}/authorize?allow_signup=false",
            "tokenurl": f"{self.url}/token",
            "userurl": f"{self.url}/user",
            "scopes": ["read:user", "read:org"],
            "groups": [{"url": f"{self.url}/teams", "items": "teams", "name": "{organization.login}/{slug}"}],
            **changes,
        }
        [provider] = build_providers(Access.model_validate({"oauth": [section]}), OutboundSettings.of(["127.0.0.1"]))
        return provider


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """Give one that runs."""
    made = Hub()
    handlers = {"/token": made.give_token, "/user": made.give_user, "/teams": made.give_teams}
    async with listening(handlers) as listener:
        made.listener = listener
        yield made


async def test_somebody_arrives(hub: Hub) -> None:
    """Fields become a person, missing ones nothing; teams of all pages become groups, half-named ones none."""
    provider = hub.provider()
    address = await provider.address(REDIRECT, KEPT)
    query = parse_qs(urlsplit(address).query)
    assert (query["allow_signup"], query["scope"], query["state"]) == (["false"], ["read:user read:org"], ["the-state"])
    assert query["code_challenge_method"] == ["S256"]
    arrival = await provider.arrival(ANSWER, REDIRECT, KEPT)
    told = arrival.told
    assert (told.subject, told.name, told.email, told.realname) == ("7", "alice", "a@x.test", "")
    assert told.groups == ("acme/t0", "acme/t1", "acme/t2")
    assert arrival.grip == Grip(token="token-1")
    assert hub.forms == [
        {
            "grant_type": "authorization_code",
            "code": "good",
            "redirect_uri": REDIRECT,
            "code_verifier": KEPT.verifier,
            "client_id": "the-id",
            "client_secret": "the-secret",
        }
    ]
    assert hub.listener is not None
    assert hub.listener.heard[0].headers["accept"] == "application/json"


async def test_without_pkce(hub: Hub) -> None:
    """A service that refuses PKCE gets neither challenge nor verifier, where the operator says so."""
    provider = hub.provider(pkce=False)
    assert "code_challenge" not in await provider.address(REDIRECT, KEPT)
    await provider.arrival(ANSWER, REDIRECT, KEPT)
    assert "code_verifier" not in hub.forms[0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"state": "other", "code": "good"}, "another sign-in"),
        ({"state": "the-state"}, "no code"),
        ({"state": "the-state", "error": "access_denied"}, "said no"),
        ({"state": "the-state", "code": "old"}, "no longer takes the code"),
    ],
)
async def test_an_answer_that_signs_nobody_in(hub: Hub, answer: dict[str, str], message: str) -> None:
    """Another state, no code, a no and a code that is not taken are refused."""
    with pytest.raises(SignInRefused, match=message):
        await hub.provider().arrival(answer, REDIRECT, KEPT)


async def test_asking_again_with_the_token_itself(hub: Hub) -> None:
    """A token without an end is used as it is; once the service refuses it, the person is gone."""
    provider = hub.provider()
    hub.user["login"] = "alice2"
    told, grip = await provider.ask_again("7", Grip(token="token-1"))
    assert (told.name, grip, hub.forms) == ("alice2", Grip(token="token-1"), [])
    hub.token = "token-2"
    with pytest.raises(PersonGone):
        await provider.ask_again("7", Grip(token="token-1"))


async def test_asking_again_with_a_token_that_ends(hub: Hub) -> None:
    """A token near its end is renewed first, and the new one kept; a renewal that is refused means gone."""
    hub.expires_in = 3600
    arrival = await hub.provider().arrival(ANSWER, REDIRECT, KEPT)
    assert arrival.grip is not None
    assert arrival.grip.refresh == "r1"
    hub.token = "token-2"
    ending = Grip(token="token-1", refresh="r1", ends_at=clock.after(30))
    _, grip = await hub.provider().ask_again("7", ending)
    assert (grip.token, grip.refresh) == ("token-2", "r1")
    assert hub.forms[-1]["grant_type"] == "refresh_token"
    with pytest.raises(PersonGone):
        await hub.provider().ask_again("7", Grip(token="token-1", refresh="revoked", ends_at=clock.after(30)))


async def test_trouble_is_not_gone(hub: Hub) -> None:
    """Too many requests, a broken answer and an answer about somebody else do not say that nobody is there."""
    provider, grip = hub.provider(), Grip(token="token-1")
    for status in (403, 429, 500, 503):
        hub.status = status
        with pytest.raises(ProviderUnavailable):
            await provider.ask_again("7", grip)
    hub.status = 200
    hub.user = {"message": "moved"}
    with pytest.raises(ProviderUnavailable, match="setting subject"):
        await provider.ask_again("7", grip)
    hub.user = {"id": 8, "login": "bob"}
    with pytest.raises(PersonGone, match="somebody else"):
        await provider.ask_again("7", grip)
    hub.user = {"id": 7, "login": "alice"}
    with pytest.raises(ProviderUnavailable, match=r"groups\.items"):
        await hub.provider(groups=[{"url": f"{hub.url}/user"}]).ask_again("7", grip)


async def test_the_token_goes_to_no_other_page(hub: Hub) -> None:
    """A next page at another place is not asked for, and lists do not go on for ever."""
    assert hub.listener is not None
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(request.headers["authorization"])
        return web.json_response([])

    async with listening({"/teams": elsewhere}) as other:
        link = {"link": f'<{other.url}/teams>; rel="next"'}
        hub.listener.answer("/teams", lambda: web.Response(text=json.dumps({"teams": []}), headers=link))
        await hub.provider().arrival(ANSWER, REDIRECT, KEPT)
    assert heard == []
    endless = {"link": f'<{hub.url}/teams>; rel="next"'}
    hub.listener.answer("/teams", lambda: web.Response(text=json.dumps({"teams": []}), headers=endless))
    before = len(hub.listener.heard)
    await hub.provider().arrival(ANSWER, REDIRECT, KEPT)
    assert len(hub.listener.heard) - before == 22
