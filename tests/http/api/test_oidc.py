"""Trying a sign-in provider through the API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api import Api, refusal
from tests.support.ci_issuer import ci_issuer

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
