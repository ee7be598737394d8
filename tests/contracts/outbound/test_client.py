"""The way out with real sockets: what is checked is what is connected to, and nothing goes astray."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web

from entrepot.outbound.client import Client
from entrepot.outbound.errors import AnswerInvalid, OutboundError, TargetRefused, TimedOut, Unreachable
from entrepot.outbound.settings import OutboundSettings
from tests.support.listener import listening, listening_with_tls, two_at_one_port

#: Spellings of this machine that the system's name service reads as an address.
SPELLINGS = [
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
    "0",
    "0.0.0.0",
]


def own(*allow: str, ca_file: str = "") -> Client:
    return Client(OutboundSettings.of(allow or ["127.0.0.0/8"], ca_file=ca_file))


async def text(request: web.Request) -> web.Response:
    return web.Response(text="here")


@pytest.mark.parametrize("host", SPELLINGS)
async def test_this_machine_is_not_asked_however_it_is_spelt(host: str) -> None:
    """A server that listens here hears nothing, whichever way its address is written."""
    async with listening({"/": text}) as server:
        with pytest.raises(OutboundError):
            await Client(OutboundSettings.of()).request("GET", f"http://{host}:{server.port}/")
        with pytest.raises(OutboundError):
            await Client(OutboundSettings.of()).request("GET", f"https://{host}:{server.port}/")
        assert server.heard == []


async def test_a_name_that_changes_its_address_does_not_get_past_the_check() -> None:
    """A name looked up once cannot lead elsewhere between check and connection (DNS rebinding)."""
    answers = ["127.0.0.2", "127.0.0.3"]
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return [answers[min(len(asked), 2) - 1]]

    async with two_at_one_port("127.0.0.2", "127.0.0.3", {"/": text}) as (good, inner):
        client = Client(OutboundSettings.of(["127.0.0.2"]), resolve)
        answer = await client.request("GET", f"http://rebind.test:{good.port}/")
        assert (answer.status, answer.body, asked) == (200, b"here", ["rebind.test"])
        with pytest.raises(TargetRefused, match=r"127\.0\.0\.3"):
            await client.request("GET", f"http://rebind.test:{good.port}/")
        assert [len(good.heard), len(inner.heard)] == [1, 0]
        assert good.heard[0].headers["host"] == f"rebind.test:{good.port}"


async def test_every_redirect_is_checked() -> None:
    """An allowed server cannot lead to one that is not, by name or by address."""
    async with two_at_one_port("127.0.0.2", "127.0.0.3", {"/": text}) as (good, inner):
        good.answer("/go", lambda: web.Response(status=302, headers={"location": f"http://127.0.0.3:{good.port}/"}))
        good.answer("/file", lambda: web.Response(status=302, headers={"location": "file:///etc/passwd"}))
        good.answer("/user", lambda: web.Response(status=302, headers={"location": "http://a:b@127.0.0.2/"}))
        for path in ("go", "file", "user"):
            with pytest.raises(TargetRefused):
                await own("127.0.0.2").request("GET", f"http://127.0.0.2:{good.port}/{path}")
        assert inner.heard == []


async def test_a_download_may_be_longer_than_any_limit() -> None:
    """What is handed on as it comes is held nowhere; a refusal is kept, and not handed on."""

    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 300_000)

    async def refused(_: web.Request) -> web.Response:
        return web.Response(status=403, text="no")

    pieces: list[bytes] = []
    async with listening({"/long": long, "/refused": refused}) as server:
        with pytest.raises(AnswerInvalid):
            await own().request("GET", f"http://127.0.0.1:{server.port}/long")
        answer = await own().download(f"http://127.0.0.1:{server.port}/long", pieces.append)
        assert (answer.status, answer.body, sum(map(len, pieces)), len(pieces) > 1) == (200, b"", 300_000, True)
        answer = await own().download(f"http://127.0.0.1:{server.port}/refused", pieces.append)
        assert (answer.status, answer.body, sum(map(len, pieces))) == (403, b"no", 300_000)


async def test_redirects_end(tmp_path: Path) -> None:
    """Three redirects are followed, a fourth is not, and none leads from TLS to plain text."""
    async with listening({"/": text}) as server:
        for number in range(1, 5):
            onwards = f"/{number - 1}" if number > 1 else "/"
            server.answer(f"/{number}", lambda to=onwards: web.Response(status=307, headers={"location": to}))
        assert (await own().request("GET", f"{server.url}/3")).body == b"here"
        with pytest.raises(AnswerInvalid, match="more than 3 times"):
            await own().request("GET", f"{server.url}/4")
        async with listening_with_tls(tmp_path) as (secure, ca_file):
            secure.answer("/down", lambda: web.Response(status=301, headers={"location": f"{server.url}/"}))
            with pytest.raises(TargetRefused, match="from https to plain http"):
                await own(ca_file=ca_file).request("GET", f"{secure.url}/down")


async def test_credentials_stay_with_their_origin() -> None:
    """Headers that could be credentials go along within an origin, and to no other."""
    async with listening({"/": text}) as other, listening({"/": text}) as server:
        server.answer("/same", lambda: web.Response(status=302, headers={"location": "/"}))
        server.answer("/other", lambda: web.Response(status=302, headers={"location": f"{other.url}/"}))
        headers = {"Authorization": "Bearer secret", "Cookie": "a=b", "X-Api-Key": "secret", "Accept": "text/plain"}
        for path in ("same", "other"):
            await own().request("GET", f"{server.url}/{path}", headers=headers)
        assert server.heard[1].headers["authorization"] == "Bearer secret"
        assert other.heard[0].headers["accept"] == "text/plain"
        assert {"authorization", "cookie", "x-api-key"}.isdisjoint(name.lower() for name in other.heard[0].headers)


async def test_a_post_is_not_sent_on() -> None:
    """What was meant for one place is not posted to another: the redirect itself is the answer."""
    async with listening({"/": text}) as server:
        server.answer("/post", lambda: web.Response(status=307, headers={"location": "/"}))
        answer = await own().request("POST", f"{server.url}/post", body=b"client_secret=x")
        assert (answer.status, [heard.path for heard in server.heard]) == (307, ["/post"])


async def test_an_answer_has_its_limit() -> None:
    """More bytes than asked for are not read, whether announced or not, and nothing is unpacked."""
    async with listening({"/": text}) as server:
        server.answer("/long", lambda: web.Response(body=b"x" * 70_000))
        server.answer("/packed", lambda: web.Response(body=b"x", headers={"content-encoding": "gzip"}))
        server.answer("/fits", lambda: web.Response(body=b"x" * 65_536))
        assert len((await own().request("GET", f"{server.url}/fits")).body) == 65_536
        with pytest.raises(AnswerInvalid, match="more than 65536 bytes"):
            await own().request("GET", f"{server.url}/long")
        with pytest.raises(AnswerInvalid, match="packed"):
            await own().request("GET", f"{server.url}/packed")
        assert server.heard[0].headers["accept-encoding"] == "identity"


async def test_silence_ends_at_the_deadline() -> None:
    """A server that takes the connection and says nothing, or drips, costs no more than the time-out."""

    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx")
        with contextlib.suppress(ConnectionError):
            await reader.read()
            writer.close()
            await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimedOut, match=r"within 0\.3 s"):
            await own().request("GET", f"http://127.0.0.1:{port}/", timeout=0.3)
        await asyncio.wait_for(left.wait(), 5)


async def test_a_certificate_must_be_vouched_for(tmp_path: Path) -> None:
    """An unknown authority is refused with what to do; the operator's own one is believed, for its names only."""
    async with listening_with_tls(tmp_path) as (server, ca_file):
        with pytest.raises(Unreachable, match=r"outbound\.cabundle"):
            await own().request("GET", f"{server.url}/")
        assert (await own(ca_file=ca_file).request("GET", f"{server.url}/")).body == b"here"

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        client = Client(OutboundSettings.of(["127.0.0.1"], ca_file=ca_file), resolve)
        with pytest.raises(Unreachable, match="for another name"):
            await client.request("GET", f"https://other.test:{server.port}/")
        with pytest.raises(Unreachable, match=r"absent\.pem cannot be used"):
            await own(ca_file=str(tmp_path / "absent.pem")).request("GET", f"{server.url}/")


async def test_nobody_there_is_said_so() -> None:
    """A refused or broken connection names the origin, and no path or query, which may hold secrets."""

    async def rude(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="broke off") as broken:
            await own().request("GET", f"http://127.0.0.1:{port}/x?code=secret")
    with pytest.raises(Unreachable, match="cannot be reached") as refused:
        await own().request("GET", f"http://127.0.0.1:{port}/x?code=secret")
    assert all("secret" not in str(found.value) for found in (broken, refused))


async def test_a_proxy_is_asked_for_others_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are reached through the operator's proxy, one's own hosts directly; the environment has no say."""
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server, listening({"/": text}) as direct:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        client = Client(OutboundSettings.of(["127.0.0.1"], proxy=url))
        with pytest.raises(Unreachable):
            await client.request("GET", "https://provider.test/")
        assert (await client.request("GET", f"{direct.url}/")).body == b"here"
        assert heard == [b"CONNECT provider.test:443 HTTP/1.1\r\n"]
