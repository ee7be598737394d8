"""Signed URLs of CDNs: the vendors' own samples, and what their checks let through and refuse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.signers import CloudFrontSigner as BotocoreSigner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.adapters.cdn.signers import signer_for
from entrepot.adapters.cdn.spans import Span, Spans
from entrepot.adapters.cdn.urls import CdnUrls
from entrepot.config.schema.middleware import STORAGE_MIDDLEWARE, Cdn, CloudFront
from tests.support.cdn_checkers import CHECKERS, cloudfront

ORIGIN = "https://cdn.example.org"
PATH = "/base/docker/registry/v2/blobs/sha256/ab/" + "ab" * 32 + "/data"
SPAN = Span(1_800_000_000, 1_800_001_200)
LIFE = 1200.0
#: The key we sign with, and the one before it.
KEYS = {
    "akamai": ("aa" * 16, "bb" * 16),
    "googlecdn": ("nZtRohdNF9m3cKM24IcK4w==", "AAECAwQFBgcICQoLDA0ODw=="),
}


def _signer(name: str, key: str, **more: Any) -> Any:
    word, _, kind = name.partition(" ")
    options = {"baseurl": f"{ORIGIN}/base", "key": key, **({"type": kind} if kind else {}), **more}
    section = STORAGE_MIDDLEWARE[word].model_validate(options)
    assert isinstance(section, Cdn)
    return signer_for(section, ORIGIN)


def _keys(name: str) -> Sequence[str]:
    return KEYS.get(name, ("first-key", "second-key"))


def _sign(name: str, number: int, path: str = PATH) -> str:
    more = {"keyname": f"key-{number}"} if name == "googlecdn" else {}
    url: str = _signer(name, _keys(name)[number], **more).sign(path, SPAN)
    return url


@pytest.mark.parametrize("name", CHECKERS)
def test_what_is_signed_is_let_through_until_it_expires(name: str) -> None:
    """A vendor's check lets a URL through from its window's beginning until its end, and not afterwards."""
    url, check = _sign(name, 0), CHECKERS[name]
    assert check(url, _keys(name), SPAN.begins, LIFE)
    assert check(url, _keys(name), SPAN.expires - 61, LIFE)
    assert not check(url, _keys(name), SPAN.expires + 1, LIFE)


@pytest.mark.parametrize("name", CHECKERS)
def test_another_path_is_refused(name: str) -> None:
    """The signature of one blob does not open another."""
    other = PATH.replace("ab", "cd")
    assert CHECKERS[name](_sign(name, 0, other), _keys(name), SPAN.begins, LIFE)
    assert not CHECKERS[name](_sign(name, 0).replace("ab", "cd"), _keys(name), SPAN.begins, LIFE)


@pytest.mark.parametrize("name", CHECKERS)
def test_keys_are_changed_without_a_gap(name: str) -> None:
    """While the vendor knows two keys, nodes may sign with either; a key that was taken away opens nothing."""
    check, keys = CHECKERS[name], _keys(name)
    assert check(_sign(name, 0), keys, SPAN.begins, LIFE)
    assert check(_sign(name, 1), keys, SPAN.begins, LIFE)
    only_second = (keys[1], keys[1])
    assert not check(_sign(name, 0), only_second, SPAN.begins, LIFE)


@pytest.mark.parametrize(
    ("name", "key", "begins", "path", "url"),
    [
        (
            "tencentcdn B",
            "DvYmqE81E1F9R791H6lmht",
            "2024-07-15T07:33:00",
            "/foo.jpg",
            "/202407151533/d1f0b51c6894231fc12e054fcc7f0b3e/foo.jpg",
        ),
        (
            "tencentcdn C",
            "DvYmqE81E1F9R791H6lmht",
            0x6694D30A,
            "/foo.jpg",
            "/6688749e8906a726c12fe1be3aacd016/6694d30a/foo.jpg",
        ),
        (
            "tencentcdn D",
            "DvYmqE81E1F9R791H6lmht",
            1721029907,
            "/foo.jpg",
            "/foo.jpg?sign=cadcec4a04e67b9c2abf4b61c642a0dd&t=1721029907",
        ),
    ],
)
def test_vectors_of_tencent(name: str, key: str, begins: Any, path: str, url: str) -> None:
    """The samples in Tencent's documentation."""
    if isinstance(begins, str):
        begins = int(datetime.fromisoformat(begins).replace(tzinfo=UTC).timestamp())
    assert _signer(name, key).sign(path, Span(begins, begins + 1200)) == ORIGIN + url


def test_vectors_with_their_own_random_part() -> None:
    """The samples of type A of Tencent, and of type C of Alibaba with its time in capitals: the same hash."""
    tencent = Form(
        message="{path}-{begins}-Kv4cPTAAP5YTi-0-{key}", url="{path}?sign={begins}-Kv4cPTAAP5YTi-0-{signature}"
    )
    signed = FormSigner(tencent, origin="", key=b"DvYmqE81E1F9R791H6lmht").sign("/foo.jpg", Span(1721028437, 0))
    assert signed == "/foo.jpg?sign=1721028437-Kv4cPTAAP5YTi-0-0fbdca749d7ab784750685347e42075c"
    alibaba = Form(message="{key}{path}55CE8100", url="/{signature}/55CE8100{path}")
    signed = FormSigner(alibaba, origin="", key=b"aliyuncdnexp1234").sign("/test.flv", Span(0x55CE8100, 0))
    assert signed == "/a37fa50a5fb8f71214b1e7c95ec7a1bd/55CE8100/test.flv"


def test_vectors_of_google() -> None:
    """The samples in the tests of Google's own examples."""
    for origin, path, signature in (
        ("http://35.186.234.33", "/index.html", "CRFqQnVfFyiUyR63OQf-HRUpIwc="),
        ("http://www.example.com", "/", "OqDUFfHpN5Vxga6r80bhsgxKves="),
    ):
        options = {"baseurl": origin, "key": "nZtRohdNF9m3cKM24IcK4w==", "keyname": "my-key"}
        section = STORAGE_MIDDLEWARE["googlecdn"].model_validate(options)
        assert isinstance(section, Cdn)
        url = signer_for(section, origin).sign(path, Span(0, 1549751401))
        assert url == f"{origin}{path}?Expires=1549751401&KeyName=my-key&Signature={signature}"


def test_a_salt_of_akamai_may_have_braces() -> None:
    """A salt is taken as it is."""
    plain, salted = (
        _signer("akamai", "aa" * 16, **more).sign(PATH, SPAN) for more in ({}, {"salt": "{a}b", "tokenname": "hdnts"})
    )
    assert plain.split("?")[0] == salted.split("?")[0]
    assert plain.partition("hmac=")[2] != salted.partition("hmac=")[2]
    assert "?hdnts=exp=1800001200~hmac=" in salted


@pytest.mark.parametrize("format_", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_cloudfront(tmp_path: Path, format_: PrivateFormat) -> None:
    """CloudFront's check lets the URL through until it expires; it is the one that Amazon's own library makes."""
    key = rsa.generate_private_key(65537, 2048)
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, format_, NoEncryption()))
    options = CloudFront.model_validate({"baseurl": "cdn.example.org", "privatekey": str(file), "keypairid": "K1"})
    assert options.baseurl == ORIGIN
    url = signer_for(options, ORIGIN).sign(PATH, SPAN)
    keys = {"K1": key.public_key(), "K2": rsa.generate_private_key(65537, 2048).public_key()}
    assert cloudfront(url, keys, SPAN.expires - 1)
    assert not cloudfront(url, keys, SPAN.expires)
    assert not cloudfront(url.replace("ab/", "cd/"), keys, SPAN.begins)
    assert not cloudfront(url.replace("K1", "K2"), keys, SPAN.begins)
    amazon = BotocoreSigner("K1", lambda message: key.sign(message, PKCS1v15(), SHA1()))
    assert url == amazon.generate_presigned_url(ORIGIN + PATH, datetime.fromtimestamp(SPAN.expires, UTC))


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """A key of another kind, or written otherwise than the vendor does, is an error and not a wrong signature."""
    file = tmp_path / "key.pem"
    file.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    options = CloudFront.model_validate({"baseurl": ORIGIN, "privatekey": str(file), "keypairid": "K1"})
    with pytest.raises(ValueError, match="no RSA key"):
        signer_for(options, ORIGIN)
    with pytest.raises(ValueError, match="hex"):
        _signer("akamai", "not hexadecimal")
    with pytest.raises(OSError, match="absent"):
        _signer("cloudflare", "", keyfile=str(tmp_path / "absent"))


async def test_a_blob_has_one_url_for_half_of_its_life() -> None:
    """All workers give the same URL in one window; the last to get it can use it for the other half of its life."""
    now = [1_800_000_000.0]
    workers = [
        CdnUrls(_signer("cloudflare", "k"), Spans(LIFE, lambda: now[0]), base_path="/base", name_of=str.upper)
        for _ in range(2)
    ]
    first = {await worker.url("a b", "") for worker in workers}
    now[0] += 599
    assert {await worker.url("a b", "") for worker in workers} == first
    assert [url for url in first if url and url.startswith(f"{ORIGIN}/base/A%20B?verify=1800000000-")]
    assert CHECKERS["cloudflare"](str(*first), ["k"], now[0] + 600, LIFE)
    now[0] += 1
    assert {await worker.url("a b", "") for worker in workers}.isdisjoint(first)


@pytest.mark.parametrize("name", ["cloudfront", *CHECKERS])
def test_a_url_costs_little(name: str, tmp_path: Path) -> None:
    """10 µs of processor time for a URL: CloudFront's RSA is paid once for a blob and window, and not for each."""
    if name == "cloudfront":
        key = rsa.generate_private_key(65537, 2048)
        (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        signer = signer_for(
            CloudFront.model_validate({"baseurl": ORIGIN, "privatekey": str(tmp_path / "key"), "keypairid": "K"}),
            ORIGIN,
        )
    else:
        more = {"keyname": "key-0"} if name == "googlecdn" else {}
        signer = _signer(name, _keys(name)[0], **more)
    signer.sign(PATH, SPAN)
    best = min(_seconds(signer) for _ in range(5))
    assert best / 1000 < 10e-6


def _seconds(signer: Any) -> float:
    began = time.process_time()
    for _ in range(1000):
        signer.sign(PATH, SPAN)
    return time.process_time() - began
