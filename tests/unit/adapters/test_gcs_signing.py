"""Signed addresses of Google Cloud Storage, and the sums by which it is held to what it was sent."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import google.auth.transport
import obstore
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import iam
from google.oauth2 import credentials as oauth2
from google.oauth2 import service_account
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import GCSStore

from entrepot.adapters.blobs.objects import crc32c, gcs_signing
from entrepot.adapters.blobs.objects.gcs_signing import Signer, signer_of, to_sign

EMAIL = "registry@example.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def key() -> dict[str, str]:
    """Make a key of a service account."""
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": private.decode(),
        "private_key_id": "k1",
        "token_uri": "http://127.0.0.1:1/token",
    }


@pytest.mark.parametrize("name", ["entrepot/blobs/ab/abc.0123", "docker/a b/ä+~&=.x"])
def test_an_address_is_signed_as_another_program_signs_it(key: dict[str, str], name: str) -> None:
    """For the same object, account, time and span the signature is that of an independent implementation."""
    store = GCSStore("bucket", service_account_key=json.dumps(key))
    theirs = urlsplit(obstore.sign(store, "GET", name, timedelta(seconds=1200)))
    asked = dict(parse_qsl(theirs.query))
    at = datetime.strptime(asked["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    sign = service_account.Credentials.from_service_account_info(key).sign_bytes
    address, text = to_sign(f"https://storage.googleapis.com{theirs.path}", EMAIL, at, 1200, {})
    assert dict(parse_qsl(urlsplit(address).query)) == {
        name: value for name, value in asked.items() if name != "X-Goog-Signature"
    }
    assert sign(text.encode()).hex() == asked["X-Goog-Signature"]


async def test_the_answers_headers_are_signed(key: dict[str, str]) -> None:
    """What the answer is to say is part of what is signed."""
    signer = Signer(service_account.Credentials.from_service_account_info(key))
    one = await signer.sign("https://storage.googleapis.com/b/k", 60, {"response-content-type": "a/b"})
    other = await signer.sign("https://storage.googleapis.com/b/k", 60, {})
    assert one is not None
    assert other is not None
    assert "&response-content-type=a%2Fb&X-Goog-Signature=" in one
    assert one.rpartition("=")[2] != other.rpartition("=")[2]


class _Iam(google.auth.transport.Request):
    """Google's IAM, which signs for accounts whose key nobody has."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, url: str, method: str = "GET", body: bytes = b"", headers=None, **_more: object):  # noqa: ANN001, ANN204
        self.asked.append((url, json.loads(body)))
        answer = {"signedBlob": "c2lnbmVk"} if self.status == 200 else {"error": "no"}

        class Answer:
            status, headers, data = self.status, {}, json.dumps(answer).encode()

        return Answer()


@pytest.mark.parametrize("status", [200, 403])
async def test_without_a_key_iam_signs(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """An account without a key at hand is signed for by Google; where that is forbidden, there is no address."""
    asked = _Iam(status)
    monkeypatch.setattr(gcs_signing, "Asking", lambda: asked)
    identity = oauth2.Credentials("token")
    identity.service_account_email = EMAIL
    signer = Signer(identity)
    address = await signer.sign("https://storage.googleapis.com/b/k", 60, {})
    assert asked.asked[0][0].endswith(f"/{EMAIL}:signBlob")
    if status == 200:
        assert address is not None
        assert address.endswith("&X-Goog-Signature=" + b"signed".hex())
    else:
        assert address is None
        assert await signer.sign("https://storage.googleapis.com/b/other", 60, {}) is None
        assert len(asked.asked) == 1


def test_a_key_needs_nobody(key: dict[str, str]) -> None:
    """With a key the registry signs by itself; without an account nobody does."""
    assert signer_of(None) is None
    assert signer_of(oauth2.Credentials("token")) is None
    email, sign = signer_of(service_account.Credentials.from_service_account_info(key)) or ("", None)
    assert email == EMAIL
    assert not isinstance(getattr(sign, "__self__", None), iam.Signer)


@given(st.lists(st.binary(max_size=400), max_size=8))
def test_sums_of_parts_join_to_the_sum_of_all(parts: list[bytes]) -> None:
    """However an object is cut, the sums of its parts give its own."""
    assert crc32c.joined((crc32c.of(part), len(part)) for part in parts) == crc32c.of(b"".join(parts))


def test_sums_have_their_published_values() -> None:
    """The sum is CRC-32C: of the digits 1 to 9 it is E3069283 (its check value), written as the store does."""
    assert crc32c.of(b"123456789") == 0xE3069283
    assert crc32c.written(crc32c.of(b"123456789")) == "4waSgw=="
    large = random.Random(1).randbytes(600_000)
    assert crc32c.of(bytearray(large)) == crc32c.of(memoryview(large)) == crc32c.of(large)
