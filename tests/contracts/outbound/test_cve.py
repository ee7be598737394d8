"""Published faults of registries and of HTTP clients on the way out, where no test stands beside its part."""

from __future__ import annotations

import ast
import gzip
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from aiohttp import web

import entrepot
from entrepot.config.schema.outbound import Outbound
from entrepot.outbound.client import Client
from entrepot.outbound.errors import AnswerInvalid, OutboundError, TargetRefused, Unreachable
from entrepot.outbound.settings import OutboundSettings
from entrepot.outbound.urls import Url
from tests.support.listener import listening, listening_with_tls, two_at_one_port

SECRETS = {
    "Authorization": "Bearer secret",
    "Cookie": "sid=secret",
    "Proxy-Authorization": "Basic c2VjcmV0",
    "X-Key": "s",
}
INNER = ("127.0.0.3", "[::1]", "10.0.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "0.0.0.0")


async def here(request: web.Request) -> web.Response:
    """Answer anything."""
    return web.Response(text="here")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("inner", INNER)
async def test_cve_2026_2376_a_redirect_leads_nowhere_within(status: int, inner: str) -> None:
    """Whoever may be asked cannot send the registry on to what may not: no connection is made there."""
    async with two_at_one_port("127.0.0.2", "127.0.0.3", {"/": here}) as (allowed, hidden):
        location = f"http://{inner}:{hidden.port}/"
        allowed.answer("/go", lambda: web.Response(status=status, headers={"location": location}))
        with pytest.raises(TargetRefused):
            await Client(OutboundSettings.of(["127.0.0.2"])).request("GET", f"http://127.0.0.2:{allowed.port}/go")
        assert hidden.heard == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_cve_2026_32591_cve_2022_27907_cve_2026_0600_one_rule_for_every_request(method: str) -> None:
    """Proxies, mirrors and hooks of others were ways in by one request each; here the one client refuses any of them.

    It is told nothing of who asks: administrators are bound like anybody else, unless the configuration lists a host.
    """
    async with listening({"/": here}) as hidden:
        for settings in (OutboundSettings.of(), OutboundSettings.of(["192.0.2.1", "elsewhere.test"])):
            with pytest.raises(OutboundError):
                await Client(settings).request(method, f"https://127.0.0.1:{hidden.port}/", body=b"{}")
        assert hidden.heard == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_cve_2018_20060_cve_2018_25091_cve_2023_43804_cve_2026_49349_credentials_are_not_carried_on(
    status: int,
) -> None:
    """To another host or another port go no credentials, whatever the case of a header's name."""
    async with two_at_one_port("127.0.0.2", "127.0.0.3", {"/": here}) as (first, other), listening({"/": here}) as port:
        for where in (f"http://127.0.0.3:{other.port}/", f"{port.url}/"):
            first.answer("/go", lambda to=where: web.Response(status=status, headers={"location": to}))
            for headers in (SECRETS, {name.lower(): value for name, value in SECRETS.items()}):
                answer = await Client(OutboundSettings.of(["127.0.0.0/8"])).request(
                    "GET", f"http://127.0.0.2:{first.port}/go", headers=headers
                )
                assert answer.status == 200
        for heard in (*other.heard, *port.heard):
            assert not {name.lower() for name in SECRETS} & {name.lower() for name in heard.headers}
        assert (len(other.heard), len(port.heard)) == (2, 2)


async def test_cve_2019_10214_zot_3982_no_hop_goes_without_its_certificate(tmp_path: Path) -> None:
    """The certificate of every address that a redirect leads to is verified, and no setting says otherwise."""
    async with listening_with_tls(tmp_path) as (server, ca_file), listening({"/": here}) as plain:
        plain.answer("/go", lambda: web.Response(status=302, headers={"location": f"{server.url}/"}))
        with pytest.raises(Unreachable, match=r"outbound\.cabundle"):
            await Client(OutboundSettings.of(["127.0.0.1"])).request("GET", f"{plain.url}/go")
        client = Client(OutboundSettings.of(["127.0.0.1"], ca_file=ca_file))
        assert (await client.request("GET", f"{plain.url}/go")).body == b"here"
    believed, shown = {"ca_file", "ca_pem"}, {"certificate", "key"}
    assert {field.name for field in fields(OutboundSettings)} == {"hosts", "networks", "proxy"} | believed | shown
    assert set(Outbound.model_fields) == {"allow", "proxy", "cabundle"}


def test_zot_3982_nothing_in_the_program_turns_verification_off() -> None:
    """No module names what switches the check of certificates off, but for a directory that is set to be `insecure`."""
    off = {"CERT_NONE", "_create_unverified_context", "OPT_X_TLS_NEVER", "OPT_X_TLS_ALLOW"}
    named = {
        (path.name, word)
        for path in Path(entrepot.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute | ast.Name)
        and (word := node.attr if isinstance(node, ast.Attribute) else node.id) in off
    }
    assert named == {("connection.py", "OPT_X_TLS_NEVER")}


@pytest.mark.parametrize(
    "host", ["evil-docker.test", "docker.test.evil.test", "xdocker.test", "docker.tes", "docker.test@evil.test"]
)
async def test_cve_2023_45821_a_host_is_compared_whole(host: str) -> None:
    """What is allowed for one name is not for one that ends or begins like it."""
    settings = OutboundSettings.of(["docker.test"])

    async def inner(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with listening({"/": here}) as server:
        with pytest.raises(OutboundError):
            await Client(settings, inner).request("GET", f"http://{host}:{server.port}/")
        assert server.heard == []
        assert (await Client(settings, inner).request("GET", f"http://docker.test:{server.port}/")).body == b"here"
    assert Url.parse("https://docker.test/").origin != Url.parse("https://evil-docker.test/").origin


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "x-gzip", "gzip, identity"])
async def test_cve_2026_21441_cve_2026_44432_nothing_is_unpacked(coding: str) -> None:
    """Small bytes that become many are refused unread, in a redirect's body as in an answer's: none was asked for."""
    bomb = gzip.compress(b"\0" * (8 << 20))
    async with listening({"/": here}) as server:
        for path, status in (("/answer", 200), ("/redirect", 302)):
            headers = {"content-encoding": coding, "location": "/"}
            server.answer(path, lambda s=status, h=headers: web.Response(status=s, body=bomb, headers=h))
            with pytest.raises(AnswerInvalid, match="packed"):
                await Client(OutboundSettings.of(["127.0.0.1"])).request("GET", f"{server.url}{path}")
        assert {heard.headers["accept-encoding"] for heard in server.heard} == {"identity"}
        assert {heard.path for heard in server.heard} == {"/answer", "/redirect"}


async def test_cve_2026_21441_a_redirects_body_has_a_limit_too() -> None:
    """A redirect with an endless body costs no more than an answer."""
    async with listening({"/": here}) as server:
        server.answer("/go", lambda: web.Response(status=302, body=b"x" * 70_000, headers={"location": "/"}))
        with pytest.raises(AnswerInvalid, match="more than 65536 bytes"):
            await Client(OutboundSettings.of(["127.0.0.1"])).request("GET", f"{server.url}/go")
