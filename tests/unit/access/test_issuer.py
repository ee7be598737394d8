"""Another issuer's discovery document and keys: what is believed, and how often it is asked."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from entrepot.access.errors import TokenRefused
from entrepot.access.tokens.foreign_issuer import Issuer
from entrepot.access.tokens.jwt import quietly
from entrepot.outbound.errors import AnswerInvalid, OutboundError, Unreachable
from entrepot.outbound.response import Response

NAME = "https://provider.test/realm"


class Provider:
    """The issuer's side of a `Requester`, with a clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.down = False
        self.asked: list[str] = []
        self.says: dict[str, object] = {
            "issuer": NAME,
            "jwks_uri": "https://keys.test/set",
            "token_endpoint": "https://x.test/t",
        }
        self.keys: list[RSAKey | ECKey] = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.extra: list[dict[str, object]] = []

    def issuer(self) -> Issuer:
        return Issuer(self, NAME, clock=lambda: self.now)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = 0,
        timeout: float = 0,
    ) -> Response:
        self.asked.append(url)
        if self.down:
            raise Unreachable("it is down")
        document = self.says
        if url == "https://keys.test/set":
            document = {"keys": [*(key.as_dict(private=False) for key in self.keys), *self.extra]}
        return Response(status=200, headers={}, body=json.dumps(document).encode())

    def token(self, key: RSAKey | ECKey | OctKey | None = None, *, algorithm: str = "ES256", **changes: object) -> str:
        claims = {"iss": NAME, "aud": "registry", "sub": "1", "exp": int(time.time()) + 60, **changes}
        key = self.keys[-1] if key is None else key
        header = {"alg": algorithm} | ({"kid": key.kid} if key.kid else {})
        with quietly():
            return jwt.encode(header, claims, key, algorithms=[algorithm])


@pytest.fixture
def provider() -> Provider:
    return Provider()


async def test_a_token_of_the_issuer_is_believed(provider: Provider) -> None:
    """Its claims come back; the document and the keys were each asked for once, for many tokens."""
    issuer = provider.issuer()
    for _ in range(3):
        assert (await issuer.claims(provider.token(), audience="registry"))["sub"] == "1"
    assert provider.asked == [NAME + "/.well-known/openid-configuration", "https://keys.test/set"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": NAME + "/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "other"}, "another service"),
        ({"aud": ["other", "registry2"]}, "another service"),
        ({"exp": int(time.time()) - 61}, "expired"),
        ({"exp": None}, "exp is missing"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
    ],
)
async def test_a_token_for_others_is_not(provider: Provider, changes: dict[str, object], message: str) -> None:
    """Issuer, audience and time are checked, each for itself."""
    with pytest.raises(TokenRefused, match=message):
        await provider.issuer().claims(provider.token(**changes), audience="registry")


async def test_no_other_key_signs(provider: Provider) -> None:
    """Another key under a known id, a shared secret made of the public key, and no signature at all are refused."""
    issuer = provider.issuer()
    impostor = ECKey.generate_key("P-256", {"kid": "first"})
    # The library refuses to sign with a PEM; base64 text of it is as public.
    secret = OctKey.import_key(base64.b64encode(provider.keys[0].as_pem(private=False)), {"kid": "first"})
    plain = provider.token().split(".")
    none = "eyJhbGciOiJub25lIiwia2lkIjoiZmlyc3QifQ." + plain[1] + "."
    for token in (provider.token(impostor), provider.token(secret, algorithm="HS256"), none, "a.b", ""):
        with pytest.raises(TokenRefused):
            await issuer.claims(token, audience="registry")


async def test_keys_that_do_not_fit_are_left_out(provider: Provider) -> None:
    """Shared secrets, keys for encryption, short RSA keys and keys for another algorithm never verify anything."""
    with quietly():
        short = RSAKey.generate_key(1024, {"kid": "short"})
    crypt = ECKey.generate_key("P-256", {"kid": "crypt"})
    narrow = RSAKey.generate_key(2048, {"kid": "narrow"})
    provider.keys = [short]
    provider.extra = [
        {**narrow.as_dict(private=False), "alg": "PS256"},
        {**crypt.as_dict(private=False), "use": "enc"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        {"kty": "odd"},
        {"kid": "none"},
    ]
    issuer = provider.issuer()
    for key, algorithm in ((short, "RS256"), (crypt, "ES256"), (narrow, "RS256")):
        with pytest.raises(TokenRefused, match="does not show"):
            await issuer.claims(provider.token(key, algorithm=algorithm), audience="registry")
    assert await issuer.claims(provider.token(narrow, algorithm="PS256"), audience="registry")


async def test_a_token_without_key_id_needs_the_only_key(provider: Provider) -> None:
    """Where the issuer has one fitting key, a token need not name it; with two, it must."""
    key = ECKey.generate_key("P-256", {})
    provider.keys = [key]
    assert await provider.issuer().claims(provider.token(key), audience="registry")
    provider.keys = [key, ECKey.generate_key("P-256", {})]
    with pytest.raises(TokenRefused):
        await provider.issuer().claims(provider.token(key), audience="registry")


async def test_a_new_key_is_found_and_a_flood_asks_once_a_minute(provider: Provider) -> None:
    """A rotated key counts at once; ten thousand tokens with made-up keys have the set read once (CVE-2026-48524)."""
    issuer = provider.issuer()
    await issuer.claims(provider.token(), audience="registry")
    provider.now += 61
    provider.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    assert await issuer.claims(provider.token(), audience="registry")
    asked = len(provider.asked)
    for number in range(100):
        made_up = provider.token(ECKey.generate_key("P-256", {"kid": f"x{number}"}))
        with pytest.raises(TokenRefused):
            await issuer.claims(made_up, audience="registry")
        assert await issuer.claims(provider.token(), audience="registry")
    assert len(provider.asked) == asked
    provider.now += 61
    for number in range(10):
        with pytest.raises(TokenRefused):
            await issuer.claims(provider.token(ECKey.generate_key("P-256", {"kid": f"y{number}"})), audience="registry")
    assert len(provider.asked) == asked + 1


async def test_a_token_that_we_fetched_ourselves_has_its_key_read_at_once(provider: Provider) -> None:
    """Nobody made such a token up: an unknown key is looked for although the keys have just been read."""
    issuer = provider.issuer()
    await issuer.claims(provider.token(), audience="registry")
    provider.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    with pytest.raises(TokenRefused):
        await issuer.claims(provider.token(), audience="registry")
    assert await issuer.claims(provider.token(), audience="registry", fetched=True)


async def test_a_key_taken_back_counts_ten_minutes_more(provider: Provider) -> None:
    """After that the set is read again; while the issuer is down, for at most an hour."""
    issuer, old = provider.issuer(), provider.keys[0]
    await issuer.claims(provider.token(old), audience="registry")
    provider.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    provider.now += 599
    await issuer.claims(provider.token(old), audience="registry")
    provider.now += 2
    provider.down = True
    await issuer.claims(provider.token(old), audience="registry")
    provider.now += 3600
    with pytest.raises(OutboundError):
        await issuer.claims(provider.token(old), audience="registry")
    provider.down = False
    provider.now += 11
    with pytest.raises(TokenRefused):
        await issuer.claims(provider.token(old), audience="registry")


async def test_an_issuer_that_is_down_is_not_asked_by_everybody(provider: Provider) -> None:
    """A failure counts for ten seconds; after that the next one asks again."""
    provider.down = True
    issuer = provider.issuer()
    for _ in range(5):
        with pytest.raises(Unreachable, match="it is down"):
            await issuer.claims(provider.token(), audience="registry")
    assert len(provider.asked) == 1
    provider.down = False
    provider.now += 10
    assert await issuer.claims(provider.token(), audience="registry")


@pytest.mark.parametrize("says", ["https://provider.test/realm/", "https://evil.test", None, 5])
async def test_a_document_must_be_the_issuers_own(provider: Provider, says: object) -> None:
    """A document that names another issuer is refused, and the message shows how to write it."""
    provider.says["issuer"] = says
    with pytest.raises(AnswerInvalid, match="exactly like that"):
        await provider.issuer().metadata()


async def test_a_document_without_an_endpoint_says_which(provider: Provider) -> None:
    """What is missing is named; what is there is returned."""
    issuer = provider.issuer()
    assert await issuer.endpoint("token_endpoint") == "https://x.test/t"
    assert await issuer.find_endpoint("end_session_endpoint") is None
    with pytest.raises(AnswerInvalid, match="names no userinfo_endpoint"):
        await issuer.endpoint("userinfo_endpoint")
