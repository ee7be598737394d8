"""Trying a sign-in provider through the API."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from entrepot.access.tokens.foreign_issuer import DISCOVERY_PATH
from tests.support.api import Api, refusal
from tests.support.certificates import authority
from tests.support.ci_issuer import ci_issuer
from tests.support.listener import listening_with_tls

PING = "/system/oidc/ping"


async def test_a_provider_is_tried(admin: Api, tmp_path: Path) -> None:
    """One whose discovery document names it is good; the address must be that name, to the letter."""
    with ci_issuer(tmp_path) as issuer:
        assert (await admin.post(PING, {"url": issuer.url, "verify_cert": True})).status == 200
        wrong = await admin.post(PING, {"url": f"{issuer.url}/"})
    assert refusal(wrong) == (400, "BAD_REQUEST")
    assert issuer.url in wrong.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://192.0.2.1", "https://169.254.169.254/latest", "file:///etc/passwd", "x", ""]
)
async def test_what_cannot_be_asked_is_said(admin: Api, url: str) -> None:
    """Nobody there, places that nobody may be sent to, and what is no address: the answer says so, and no more."""
    answer = await admin.post(PING, {"url": url})
    assert refusal(answer) == (400, "BAD_REQUEST")


async def test_only_administrators_try_one(anonymous: Api, nobody: Api) -> None:
    """Nobody else has the registry ask an address of theirs (CVE-2020-13788)."""
    assert refusal(await anonymous.post(PING, {"url": "http://127.0.0.1"})) == (401, "UNAUTHORIZED")
    assert refusal(await nobody.post(PING, {"url": "http://127.0.0.1"})) == (403, "FORBIDDEN")


async def test_a_certificate_is_verified_by_the_authority_that_is_given(admin: Api, tmp_path: Path) -> None:
    """Not by none, and never not at all: `verify_cert: false` is refused with what to do instead."""
    async with listening_with_tls(tmp_path) as (listener, file):
        url, ours = listener.url, Path(file).read_text()
        authority("another authority").write(tmp_path / "other.pem", tmp_path / "other.key")
        listener.answer(DISCOVERY_PATH, lambda: web.json_response({"issuer": url}))
        for ca, status in (
            (ours, 200),
            ((tmp_path / "other.pem").read_text(), 400),
            ("", 400),
            ("no certificate", 400),
        ):
            assert (await admin.post(PING, {"url": url, "ca": ca})).status == status
        refused = await admin.post(PING, {"url": url, "ca": ours, "verify_cert": False})
    assert "always verified" in refused.json()["errors"][0]["message"]
