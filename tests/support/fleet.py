"""Two replicas behind a proxy as `deploy/` describes it, replaced one after the other while clients pull and push."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from tests.support.acknowledged import Ledger, TagHistory
from tests.support.certificates import authority, identity
from tests.support.http_client import Client
from tests.support.pulling import Image, Puller, Pulls
from tests.support.replicas import documented_proxy, two_replicas
from tests.support.server import Server
from tests.support.writers import Writer

#: Proxies ask each replica every second; so long the pages say to wait.
NOTICED_SECONDS = 2.5


@dataclass
class Fleet:
    """Two replicas behind a proxy, and what clients make of them."""

    servers: tuple[Server, Server]
    url: str
    trust: ssl.SSLContext
    images: list[Image] = field(default_factory=list)
    pulls: Pulls = field(default_factory=Pulls)
    ledger: Ledger = field(default_factory=Ledger)

    @asynccontextmanager
    async def client(self, *, fresh: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
        """Give a client of the proxy that never repeats a request; a `fresh` one connects anew for each."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self.trust, force_close=fresh)
        timeout = aiohttp.ClientTimeout(total=20)
        headers = {} if fresh else {"Authorization": self.servers[0].authorization}
        async with aiohttp.ClientSession(self.url, connector=connector, timeout=timeout, headers=headers) as session:
            session._retry_connection = False
            yield session

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep clients pulling and pushing."""
        stop = asyncio.Event()
        async with self.client() as kept, self.client(fresh=True) as fresh:
            tasks = [
                asyncio.ensure_future(self._puller(session, number).run(stop))
                for number, session in enumerate((kept, kept, kept, fresh))
            ]
            writer = Writer("pushed", self.ledger, Random(20), kept)
            tasks.append(asyncio.ensure_future(writer.run(stop)))
            try:
                yield
            finally:
                stop.set()
                await asyncio.gather(*tasks)

    def _puller(self, session: aiohttp.ClientSession, number: int) -> Puller:
        return Puller(
            session=session,
            authorization=self.servers[0].authorization,
            images=self.images,
            pulls=self.pulls,
            random=Random(number),
            slow=number == 0,
        )

    async def check(self) -> None:
        """Ask for everything that was there or was acknowledged, or a good part of it."""
        assert self.ledger.refused == []
        self.ledger.tags |= {(name, tag): TagHistory(digest) for name, tag, digest in self.images[:100]}
        async with self.client() as session:
            assert await self.ledger.check(session) == []

    async def finish(self) -> None:
        """End the time of the old version beside a running one, and find nothing wrong."""
        server = self.servers[0]
        await asyncio.to_thread(server.run, "db", "upgrade", "--finish", "--data", str(server.data))
        await asyncio.to_thread(server.run, "doctor", "--data", str(server.data))

    async def replace(self, number: int, package: Path | None) -> None:
        """Stop one as an operator does, start the other version in its place, and wait until the proxy has seen it."""
        server = self.servers[number]
        code = await asyncio.to_thread(server.stop)
        assert code == 0, server.logs()
        server.package = package
        server.start(wait=False)  # in this thread: with the one that started it, it would end
        await asyncio.to_thread(server.wait_until_ready)
        await asyncio.sleep(NOTICED_SECONDS)


@contextmanager
def fleet(
    folder: Path, *, package: Path | None = None, proxy: str = "haproxy", env: Mapping[str, str] | None = None
) -> Iterator[Fleet]:
    """Start two replicas of this version, or of what lies in `package`, on what is in `data`, behind a proxy."""
    folder.mkdir(exist_ok=True)
    signer = authority()
    signer.write(folder / "ca.pem", folder / "ca.key")
    identity(signed_by=signer).write(folder / "proxy.pem", folder / "proxy.pem.key")
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with (
        two_replicas(folder / "data", package=package, env=env, workers=1) as servers,
        documented_proxy(proxy, folder, servers, folder / "proxy.pem") as url,
    ):
        yield Fleet(servers, url, trust)


def push_images(server: Server) -> list[Image]:
    """Push images of one small and one large layer; gives their names and digests."""
    client, names = Client.of(server), [(f"team/app{number}", "latest") for number in range(4)]
    return [
        (name, tag, client.push_image(name, tag, layer=Random(number).randbytes(number * 700_000 + 10)))
        for number, (name, tag) in enumerate(names)
    ]
