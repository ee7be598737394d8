"""OpenID Connect: what is sent, what is believed, and what is not."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey

from entrepot.accounts.providers.model import Grip, GripLost, PersonGone, ProviderUnavailable, SignInRefused, Told
from entrepot.metadata import clock
from tests.support.openid_fake import KEPT, NAME, REDIRECT, FakeOpenId


@pytest.fixture
def fake() -> FakeOpenId:
    return FakeOpenId()


async def test_the_way_there_is_secured(fake: FakeOpenId) -> None:
    """State, nonce and an S256 challenge go along; the operator's parameters stay, but cannot replace ours."""
    address = urlsplit(await fake.provider().address(REDIRECT, KEPT))
    query = parse_qs(address.query)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(KEPT.verifier.encode()).digest()).rstrip(b"=").decode()
    assert address.path == "/auth"
    assert query == {
        "tenant": ["1"],
        "prompt": ["login"],
        "nonce": ["the-nonce"],
        "code_challenge": [challenge],
        "code_challenge_method": ["S256"],
        "response_type": ["code"],
        "client_id": ["registry"],
        "redirect_uri": [REDIRECT],
        "scope": ["openid profile"],
        "state": ["the-state"],
    }
    assert KEPT.verifier not in address.query


@pytest.mark.parametrize(
    ("scopes", "parameters", "prompt"),
    [
        (("openid", "offline_access"), {}, "consent"),
        (("openid", "profile"), {}, None),
        (("openid", "offline_access"), {"prompt": "login"}, "login"),
        (("openid", "offline_access"), {"prompt": ""}, None),
    ],
)
async def test_consent_is_asked_for_where_offline_access_is(
    fake: FakeOpenId, scopes: tuple[str, ...], parameters: dict[str, str], prompt: str | None
) -> None:
    """Without `prompt=consent` a provider gives no refresh token (Core 1.0, section 11); an operator's own counts."""
    provider = fake.provider(scopes=scopes, parameters=parameters)
    query = parse_qs(urlsplit(await provider.address(REDIRECT, KEPT)).query)
    assert query.get("prompt") == (None if prompt is None else [prompt])
    anew = parse_qs(urlsplit(await provider.address(REDIRECT, KEPT, anew=True)).query)
    assert anew["prompt"] == ["login consent" if prompt == "consent" else "login"]


async def test_without_a_refresh_token_the_access_token_asks(fake: FakeOpenId) -> None:
    """For as long as it says, at the userinfo endpoint; at its end nothing is known, and nobody is thrown out."""
    fake.tokens = {"refresh_token": None, "expires_in": 3600}
    fake.userinfo = {"sub": "7", "preferred_username": "alice", "email": "a@example.org", "groups": ["devs"]}
    provider = fake.provider()
    grip = (await provider.arrival(fake.answer(), REDIRECT, KEPT)).grip
    assert grip is not None
    assert (grip.token, grip.is_lasting) == ("access", False)
    fake.userinfo["groups"] = ["ops"]
    told, again = await provider.ask_again("7", grip)
    assert (told.groups, again) == (("ops",), grip)
    fake.userinfo_status = 503
    with pytest.raises(ProviderUnavailable):
        await provider.ask_again("7", grip)
    fake.userinfo_status = 401
    with pytest.raises(GripLost, match="no longer"):
        await provider.ask_again("7", grip)
    with pytest.raises(GripLost, match="has ended"):
        await provider.ask_again("7", replace(grip, ends_at=clock.now()))


async def test_nobody_is_confirmed_where_nothing_was_asked(fake: FakeOpenId) -> None:
    """Without a userinfo endpoint an access token is no grip, even of an ID token that says no more than who it is."""
    fake.tokens = {"refresh_token": None, "expires_in": 3600}
    fake.claims = {"preferred_username": None, "email": None, "groups": None}
    del fake.metadata["userinfo_endpoint"]
    provider = fake.provider()
    assert (await provider.arrival(fake.answer(), REDIRECT, KEPT)).grip is None
    kept = Grip(token="access", ends_at=clock.after(3600), is_lasting=False)
    with pytest.raises(GripLost, match="no userinfo endpoint"):
        await provider.ask_again("7", kept)


@pytest.mark.parametrize("missing", ["expires_in", "groups", "endpoint"])
async def test_an_access_token_that_could_not_ask_is_not_kept(fake: FakeOpenId, missing: str) -> None:
    """Without an end, without a userinfo endpoint, or where that leaves out the ID token's groups: no grip."""
    fake.tokens = {"refresh_token": None, "expires_in": None if missing == "expires_in" else 3600}
    fake.userinfo = {"sub": "7", "preferred_username": "alice", "email": "a@example.org"}
    if missing == "endpoint":
        del fake.metadata["userinfo_endpoint"]
    arrival = await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)
    assert (arrival.grip, arrival.told.groups) == (None, ("devs",))


async def test_somebody_arrives(fake: FakeOpenId) -> None:
    """The code is exchanged with verifier and secret; ID token and tokens become what is told and kept."""
    arrival = await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)
    assert arrival.told == Told(subject="7", name="alice", email="alice@example.org", groups=("devs",))
    assert arrival.grip == Grip(token="refresh")
    assert arrival.hint.count(".") == 2
    assert len(arrival.session) == 32
    method, url, headers, form = fake.heard[1]
    assert (method, url) == ("POST", NAME + "/token")
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": REDIRECT,
        "code_verifier": KEPT.verifier,
    }
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"registry:the%20secret%3A%20100%25"
    assert [call[1] for call in fake.heard] == [
        NAME + "/.well-known/openid-configuration",
        NAME + "/token",
        NAME + "/keys",
    ]


async def test_a_secret_goes_where_the_provider_takes_it(fake: FakeOpenId) -> None:
    """Into the form where only that is taken, and nowhere for a public client."""
    fake.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)
    assert fake.heard[1][3]["client_secret"] == "the secret: 100%"
    assert "Authorization" not in fake.heard[1][2]
    fake.heard.clear()
    await fake.provider(secret="").arrival(fake.answer(), REDIRECT, KEPT)
    assert fake.heard[1][3]["client_id"] == "registry"
    assert "client_secret" not in fake.heard[1][3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "other"}, "another sign-in"),
        ({"state": ""}, "another sign-in"),
        ({"code": ""}, "no code"),
        ({"code": "c" * 5000}, "no code"),
        ({"error": "access_denied"}, "said no: access_denied"),
        ({"error": "x", "error_description": "Go\r\naway" + "!" * 500}, r"said no: Go  away!+$"),
        ({"iss": "https://evil.test"}, "another provider"),
        ({"iss": NAME + "/"}, "another provider"),
    ],
)
async def test_an_answer_that_is_not_ours(fake: FakeOpenId, changes: dict[str, str], message: str) -> None:
    """Another state or issuer, no code, or a no: the code is not even sent (RFC 9207, RFC 9700)."""
    with pytest.raises(SignInRefused, match=message) as refused:
        await fake.provider().arrival(fake.answer(**changes), REDIRECT, KEPT)
    assert len(str(refused.value)) < 300
    assert all(call[0] == "GET" for call in fake.heard)


async def test_a_provider_that_names_itself_must(fake: FakeOpenId) -> None:
    """Where the provider says that it names itself in each answer, an answer without is not its own (RFC 9207)."""
    fake.metadata["authorization_response_iss_parameter_supported"] = True
    with pytest.raises(SignInRefused, match="another provider"):
        await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)
    assert await fake.provider().arrival(fake.answer(iss=NAME), REDIRECT, KEPT)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": "https://evil.test"}, "another issuer"),
        ({"aud": "other"}, "another service"),
        ({"aud": ["registry", "other"]}, "another party"),
        ({"aud": ["registry", "other"], "azp": "other"}, "another party"),
        ({"azp": "other"}, "another party"),
        ({"nonce": "other"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"nonce": 5}, "another sign-in"),
        ({"sub": None}, "names nobody"),
        ({"sub": ""}, "names nobody"),
        ({"sub": 7}, "names nobody"),
        ({"sub": "x" * 256}, "names nobody"),
        ({"exp": int(time.time()) - 120}, "expired"),
        ({"exp": None}, "exp is missing"),
        ({"iat": None}, "when it was made"),
        ({"iat": int(time.time()) + 86_400}, "future"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"at_hash": "wrong"}, "another access token"),
    ],
)
async def test_an_id_token_that_is_not_for_us(fake: FakeOpenId, claims: dict[str, Any], message: str) -> None:
    """Each rule of OpenID Connect Core, section 3.1.3.7, refuses by itself."""
    fake.claims = claims
    with pytest.raises(SignInRefused, match=message):
        await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)


async def test_an_id_token_that_nobody_signed(fake: FakeOpenId) -> None:
    """No signature, another key, the public key as a shared secret, a key brought along, an unknown crit: refused."""

    def unsigned(claims: dict[str, Any]) -> str:
        parts = ({"alg": "none"}, claims)
        return (
            ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."
        )

    def with_header(claims: dict[str, Any], **header: object) -> str:
        _, payload, signature = fake.sign(claims).split(".")
        head = json.dumps({"alg": "ES256", "kid": "first", **header}).encode()
        return ".".join((base64.urlsafe_b64encode(head).rstrip(b"=").decode(), payload, signature))

    public = fake.key.as_dict(private=False)
    secret = OctKey.import_key(base64.b64encode(fake.key.as_pem(private=False)))
    spoilt = (
        unsigned,
        lambda claims: fake.sign(claims, ECKey.generate_key("P-256", {"kid": "first"})),
        lambda claims: fake.sign(claims, secret, "HS256"),
        lambda claims: with_header(claims, jwk=public),
        lambda claims: with_header(claims, jku="https://evil.test/keys"),
        lambda claims: with_header(claims, crit=["exp"]),
        lambda claims: with_header(claims, kid="second"),
        lambda _claims: "no token",
    )
    for make in spoilt:
        fake.make_token = make
        with pytest.raises(SignInRefused, match="cannot be believed"):
            await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)
    fake.tokens = {"id_token": None}
    with pytest.raises(SignInRefused, match="no ID token"):
        await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)


async def test_a_rotated_key_signs_at_once(fake: FakeOpenId) -> None:
    """A provider that changed its key between two sign-ins is believed at the second."""
    provider = fake.provider()
    await provider.arrival(fake.answer(), REDIRECT, KEPT)
    fake.key = ECKey.generate_key("P-256", {"kid": "second"})
    fake.make_token = lambda claims: fake.sign(claims, kid="second")
    assert (await provider.arrival(fake.answer(), REDIRECT, KEPT)).told.subject == "7"


@pytest.mark.parametrize(
    ("status", "tokens", "kind", "message"),
    [
        (400, {"error": "invalid_grant"}, SignInRefused, "no longer takes the code"),
        (401, {"error": "invalid_client"}, ProviderUnavailable, "check clientid and clientsecret"),
        (500, {"error": "server_error", "error_description": "oops"}, ProviderUnavailable, "500 .server_error: oops"),
        (200, {"error": "temporarily_unavailable"}, ProviderUnavailable, "temporarily_unavailable"),
    ],
)
async def test_a_code_that_is_not_taken(
    fake: FakeOpenId, status: int, tokens: dict[str, str], kind: type[Exception], message: str
) -> None:
    """What the person can do is told apart from what the operator must."""
    fake.token_status, fake.tokens = status, tokens
    with pytest.raises(kind, match=message):
        await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)


async def test_what_the_id_token_leaves_out_is_asked_for(fake: FakeOpenId) -> None:
    """Names and groups may come from the userinfo endpoint, which must speak of the same person."""
    fake.claims = {"groups": None, "preferred_username": None}
    fake.userinfo = {"sub": "7", "preferred_username": "al", "groups": [{"name": "a"}, {"id": 1}, "b", 5], "name": "Al"}
    told = (await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)).told
    assert told == Told(subject="7", name="al", email="alice@example.org", realname="Al", groups=("a", "b"))
    assert fake.heard[-1][2]["Authorization"] == "Bearer access"
    fake.userinfo = {"sub": "8", "groups": ["admins"]}
    with pytest.raises(ProviderUnavailable, match="somebody else"):
        await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)
    fake.userinfo_status = 401
    with pytest.raises(SignInRefused, match="does not take the token"):
        await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)


async def test_names_are_found_where_they_are(fake: FakeOpenId) -> None:
    """Claims may lie deep or have dots in their names; without a name the e-mail's beginning or the subject serves."""
    fake.claims = {"realm_access": {"roles": ["a", "b"]}, "https://x.test/name": "al"}
    provider = fake.provider(groups="realm_access.roles", name_claim="https://x.test/name")
    told = (await provider.arrival(fake.answer(), REDIRECT, KEPT)).told
    assert (told.name, told.groups) == ("al", ("a", "b"))
    fake.userinfo = {"sub": "7"}
    fake.claims = {"preferred_username": None}
    assert (await fake.provider(groups="").arrival(fake.answer(), REDIRECT, KEPT)).told.name == "alice"
    fake.claims = {"preferred_username": None, "email": None, "groups": "one"}
    told = (await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)).told
    assert (told.name, told.groups) == ("7", ("one",))
    fake.claims = {"email_verified": False}
    assert (await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)).told.email == ""


async def test_asking_again(fake: FakeOpenId) -> None:
    """The refresh token is exchanged; a new one replaces it, and no new one leaves it."""
    provider = fake.provider()
    fake.claims, fake.tokens = {"groups": ["ops"], "nonce": None}, {"refresh_token": "second"}
    told, grip = await provider.ask_again("7", Grip(token="first"))
    assert (told.groups, grip) == (("ops",), Grip(token="second"))
    assert fake.heard[1][3] == {"grant_type": "refresh_token", "refresh_token": "first"}
    fake.tokens = {"refresh_token": None, "id_token": None}
    fake.userinfo = {"sub": "7", "preferred_username": "al"}
    told, grip = await provider.ask_again("7", Grip(token="first"))
    assert (told.name, told.groups, grip) == ("al", (), Grip(token="first"))


async def test_somebody_is_gone(fake: FakeOpenId) -> None:
    """A token that no longer counts, another subject and a refused userinfo say so; silence and trouble do not."""
    provider = fake.provider()
    fake.claims = {"sub": "8"}
    with pytest.raises(PersonGone, match="somebody else"):
        await provider.ask_again("7", Grip(token="first"))
    fake.claims = {"groups": None}
    fake.userinfo_status, fake.userinfo = 401, {}
    with pytest.raises(PersonGone):
        await provider.ask_again("7", Grip(token="first"))
    fake.userinfo_status = 503
    with pytest.raises(ProviderUnavailable):
        await provider.ask_again("7", Grip(token="first"))
    fake.token_status, fake.tokens = 400, {"error": "invalid_grant"}
    with pytest.raises(PersonGone, match="no longer vouches"):
        await provider.ask_again("7", Grip(token="first"))
    fake.tokens = {"error": "invalid_client"}
    with pytest.raises(ProviderUnavailable):
        await provider.ask_again("7", Grip(token="first"))
    fake.down = True
    with pytest.raises(ProviderUnavailable, match="cannot be asked"):
        await provider.ask_again("7", Grip(token="first"))


async def test_goodbye(fake: FakeOpenId) -> None:
    """The provider's own page ends its session, and leads back; without such a page, or when off, nothing does."""
    address = await fake.provider().farewell("the hint", "https://registry.test/")
    assert parse_qs(urlsplit(address).query) == {
        "client_id": ["registry"],
        "post_logout_redirect_uri": ["https://registry.test/"],
        "id_token_hint": ["the hint"],
    }
    assert await fake.provider(logout=False).farewell("the hint", "https://registry.test/") == ""
    del fake.metadata["end_session_endpoint"]
    assert await fake.provider().farewell("the hint", "https://registry.test/") == ""


async def test_a_session_has_the_providers_name(fake: FakeOpenId) -> None:
    """Where the provider names its session, ours is known by that."""
    fake.claims = {"sid": "session-5"}
    assert (await fake.provider().arrival(fake.answer(), REDIRECT, KEPT)).session == "session-5"
