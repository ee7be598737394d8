"""Tokens that nobody here signed open no door: not `/v2/`, not the API, not as a password.

`tests/unit/access/test_cve_2025_24976.py` has the checker's own corpus; this one goes through the doors.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from entrepot.access.tokens.signing_keys import SigningKeys, load_or_create
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener

SERVICE = "entrepot"
DOORS = ("/v2/", "/v2/team/app/manifests/v1", "/api/v2.0/users/current", "/api/v2.0/projects")
NOW = 1_800_000_000  #: the time of tokens in these registries


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with an administrator."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    return app


@pytest.fixture
def keys(app: App) -> SigningKeys:
    """Give the keys that the registry signs with."""
    return load_or_create(app.folder / "entrepot")


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a token that lets the administrator do everything."""
    usual = {
        "iss": SERVICE,
        "sub": "admin",
        "aud": SERVICE,
        "exp": NOW + 300,
        "nbf": NOW,
        "iat": NOW,
        "jti": secrets.token_urlsafe(8),
        "access": [{"type": "repository", "name": "team/app", "actions": ["*"]}],
        "entrepot": {"kind": "user", "id": 1, "epoch": 0},
    }
    return {**usual, **changed}


def b64(raw: bytes) -> str:
    """Encode as JWTs are."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(header: dict[str, Any], payload: dict[str, Any]) -> str:
    """Return what is signed of a token."""
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"


def signed(key: ECKey, kid: str, payload: dict[str, Any], **header: Any) -> str:
    """Sign with a key, without a library's checks of the header."""
    text = parts({"alg": "ES256", "typ": "JWT", "kid": kid, **header}, payload)
    return f"{text}.{b64(JWSRegistry.algorithms['ES256'].sign(text.encode(), key))}"


def keyed(secret: bytes, kid: str, payload: dict[str, Any], algorithm: str = "HS256") -> str:
    """Sign with a shared secret."""
    text = parts({"alg": algorithm, "typ": "JWT", "kid": kid}, payload)
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    return f"{text}.{b64(hmac.digest(secret, text.encode(), digest))}"


def public_forms(keys: SigningKeys) -> Iterator[bytes]:
    """Yield the public key in every form that somebody could take for a shared secret."""
    public = keys.current.key.public_key
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.OpenSSH, PublicFormat.OpenSSH),
        (Encoding.X962, PublicFormat.UncompressedPoint),
        (Encoding.X962, PublicFormat.CompressedPoint),
    ):
        raw = public.public_bytes(encoding, form)
        yield raw
        yield raw.strip()
    yield json.dumps(keys.current.key.as_dict(private=False)).encode()
    yield keys.current.id.encode()
    yield b""


async def refused(app: App, token: str) -> None:
    """Fail unless no door opens to a token, as a Bearer token or as the administrator's password."""
    password = base64.b64encode(f"admin:{token}".encode()).decode()
    for authorization in (f"Bearer {token}", f"Basic {password}"):
        client = app.client(headers={"Authorization": authorization})
        for door in DOORS:
            answer = await client.get(door)
            assert answer.status == 401, (authorization[:60], door, answer.body)


async def test_the_forger_knows_the_form(app: App, keys: SigningKeys) -> None:
    """The tokens below are refused for what is wrong with them: this one, which is not forged, opens doors."""
    client = app.client(headers={"Authorization": f"Bearer {signed(keys.current.key, keys.current.id, claims())}"})
    assert (await client.get("/v2/")).status == 200
    assert (await client.get("/v2/team/app/tags/list")).status == 404


async def test_cve_2022_29217_a_public_key_is_no_shared_secret(app: App, keys: SigningKeys) -> None:
    """HS256, HS384 and HS512 keyed with the public key in every form (PyJWT took OpenSSH's); also CVE-2024-37568."""
    for secret in public_forms(keys):
        for algorithm in ("HS256", "HS384", "HS512"):
            await refused(app, keyed(secret, keys.current.id, claims(), algorithm))


async def test_cve_2024_33663_openssh_keys_are_no_shared_secrets(app: App, keys: SigningKeys) -> None:
    """python-jose's check of secrets did not know ECDSA keys in OpenSSH's form, with or without a comment."""
    public = keys.current.key.public_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    for secret in (public, public + b" root@registry", public + b"\n", public.partition(b" ")[2]):
        await refused(app, keyed(secret, keys.current.id, claims()))


async def test_cve_2025_24976_a_token_does_not_choose_how_it_is_checked(app: App, keys: SigningKeys) -> None:
    """With the right key, another algorithm; and without any signature."""
    for algorithm in ("none", "None", "NONE", "nOnE", "", "HS256", "RS256", "ES384", "ES512", "EdDSA"):
        token = signed(keys.current.key, keys.current.id, claims(), alg=algorithm)
        for forged in (token, token.rpartition(".")[0] + ".", token.rpartition(".")[0]):
            await refused(app, forged)


async def test_cve_2025_24976_no_token_brings_its_key(app: App, keys: SigningKeys) -> None:
    """Headers that bring a key or say where to fetch one are refused, also under a good signature."""
    attacker = ECKey.generate_key("P-256")
    for header in (
        {"jwk": attacker.as_dict(private=False)},
        {"jku": "https://attacker.test/keys"},
        {"x5u": "https://attacker.test/chain"},
        {"x5c": ["AAAA"]},
        {"b64": False},
        {"zip": "DEF"},
    ):
        await refused(app, signed(keys.current.key, keys.current.id, claims(), **header))
        await refused(app, signed(attacker, keys.current.id, claims(), **header))


async def test_cve_2025_59420_what_is_critical_is_not_overlooked(app: App, keys: SigningKeys) -> None:
    """A token that says some part of it must be understood is not believed without understanding it."""
    for critical in ([], ["exp"], ["b64"], ["cnf"], ["bork"], "exp", None, [1]):
        await refused(app, signed(keys.current.key, keys.current.id, claims(), crit=critical, bork=1, cnf={}, exp=1))


async def test_cve_2024_5891_a_token_for_another_is_not_for_us(app: App, keys: SigningKeys) -> None:
    """With our own good signature: another audience, another issuer, another time."""
    changes: tuple[dict[str, Any], ...] = (
        {"aud": "another-registry"},
        {"aud": ["another-registry"]},
        {"aud": None},
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"exp": NOW - 61},
        {"exp": None},
        {"exp": "never"},
        {"nbf": NOW + 61},
    )
    for changed in changes:
        await refused(app, signed(keys.current.key, keys.current.id, claims(**changed)))


async def test_cve_2024_5891_a_token_of_another_registry_is_not_ours(app: App, tmp_path: Path) -> None:
    """Two installations have keys of their own (CVE-2023-27584: one key for all of them, in the source)."""
    other = load_or_create(tmp_path / "other")
    mine = load_or_create(app.folder / "entrepot")
    assert other.current.id != mine.current.id
    for kid in (other.current.id, mine.current.id):
        await refused(app, signed(other.current.key, kid, claims()))


async def test_cve_2026_48524_a_flood_of_key_ids_is_refused_at_no_cost(app: App, keys: SigningKeys) -> None:
    """Unknown key ids ask neither the database nor anybody else, and push no known one out of memory."""
    attacker = ECKey.generate_key("P-256")
    statements = app.stores.metadata.statistics.statements
    client = app.client()
    for _ in range(300):
        token = signed(attacker, secrets.token_urlsafe(16), claims())
        assert (await send(client, token)).status == 401
    assert app.stores.metadata.statistics.statements == statements
    assert (await send(client, signed(keys.current.key, keys.current.id, claims()))).status == 200


async def send(client: AsgiClient, token: str) -> Any:
    """Ask `/v2/` with a token."""
    return await client.get("/v2/", headers={"Authorization": f"Bearer {token}"})
