"""R20: replicas of a released version are replaced one after the other, and back, while clients pull and push."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import aiohttp
import pytest
from _pytest.mark import ParameterSet

from benchmarks.seed import write_registry2_tree
from entrepot.metadata import schema
from tests.support.acknowledged import Ledger, TagHistory
from tests.support.certificates import authority, identity
from tests.support.http_client import Client
from tests.support.programs import Program, kept_programs
from tests.support.pulling import Image, Puller, Pulls
from tests.support.replicas import documented_haproxy, two_replicas
from tests.support.server import Server
from tests.support.writers import Writer

#: HAProxy asks each replica every second (deploy/haproxy.cfg).
NOTICED_SECONDS = 1.5
Steps = tuple[tuple[int, bool], ...]
#: Which of the two is replaced, and whether by the new version.
THERE: Steps = ((0, True), (1, True))
THERE_AND_BACK: Steps = ((0, True), (0, False), *THERE)
TEN: Steps = (*(*THERE, (0, False), (1, False)) * 2, *THERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How long a test is."""

    rounds: int = 1
    steps: Steps
    images: int = 0


@dataclass
class Fleet:
    """Two replicas behind HAProxy, and what clients make of them."""

    servers: tuple[Server, Server]
    url: str
    trust: ssl.SSLContext
    images: list[Image] = field(default_factory=list)
    pulls: Pulls = field(default_factory=Pulls)
    ledger: Ledger = field(default_factory=Ledger)

    @asynccontextmanager
    async def client(self, *, fresh: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
        """Give a client of HAProxy that never repeats a request; a `fresh` one connects anew for each."""
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
        """Stop one as an operator does, start the other version in its place, and wait until HAProxy has seen it."""
        server = self.servers[number]
        code = await asyncio.to_thread(server.stop)
        assert code == 0, server.logs()
        server.package = package
        server.start(wait=False)  # in this thread: with the one that started it, it would end
        await asyncio.to_thread(server.wait_until_ready)
        await asyncio.sleep(NOTICED_SECONDS)


def _forms(short: Form, long: Form) -> list[ParameterSet]:
    """Give the version before in a short form, and what is kept of it and later ones in a long form."""
    kept = [program for program in kept_programs() if program.schema >= schema.VERSION - 1]
    full = [pytest.mark.full, pytest.mark.timeout(3000)]
    return [
        pytest.param(kept[0], short, id=f"schema{kept[0].schema}"),
        *(pytest.param(program, long, id=f"schema{program.schema}-long", marks=full) for program in kept),
    ]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Program], Path]:
    """Give a function that unpacks a program once."""
    return cache(lambda program: program.unpack(tmp_path_factory.mktemp("program")))


@contextmanager
def fleet(folder: Path, package: Path) -> Iterator[Fleet]:
    """Start two replicas of a released version, on what is in `data`, behind HAProxy."""
    folder.mkdir(exist_ok=True)
    signer = authority()
    signer.write(folder / "ca.pem", folder / "ca.key")
    identity(signed_by=signer).write(folder / "haproxy.pem", folder / "haproxy.pem.key")
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with (
        two_replicas(folder / "data", package=package, workers=1) as servers,
        documented_haproxy(folder, servers, folder / "haproxy.pem") as url,
    ):
        yield Fleet(servers, url, trust)


def push_images(server: Server) -> list[Image]:
    """Push images of one small and one large layer; gives their names and digests."""
    client, names = Client.of(server), [(f"team/app{number}", "latest") for number in range(4)]
    return [
        (name, tag, client.push_image(name, tag, layer=Random(number).randbytes(number * 700_000 + 10)))
        for number, (name, tag) in enumerate(names)
    ]


async def roll(found: Fleet, package: Path, steps: Steps) -> None:
    """Replace one after the other while clients pull and push; then end the time of the old version."""
    async with found.busy():
        for number, up in steps:
            await found.replace(number, None if up else package)
        await found.finish()
    await found.check()


@pytest.mark.parametrize(("program", "form"), _forms(Form(steps=THERE_AND_BACK), Form(rounds=10, steps=TEN)))
async def test_replicas_are_replaced_while_clients_pull(
    program: Program, form: Form, packages: Callable[[Program], Path], tmp_path: Path
) -> None:
    """Up to this version and back down, restart after restart, no pull fails, and what was pushed is kept."""
    total = Pulls()
    for number in range(form.rounds):
        with fleet(tmp_path / str(number), packages(program)) as found:
            found.images += push_images(found.servers[0])
            await roll(found, packages(program), form.steps)
        total.add(found.pulls)
    print(f"{form.rounds * len(form.steps)} restarts: {total}")
    assert total.failed == []


@pytest.mark.parametrize(
    ("program", "form"), _forms(Form(steps=THERE, images=1_000), Form(rounds=2, steps=TEN, images=8_000))
)
async def test_replicas_are_replaced_while_they_adopt(
    program: Program, form: Form, packages: Callable[[Program], Path], tmp_path: Path
) -> None:
    """On a folder of registry:2 that they adopt meanwhile, its images pull from the first second on, as they were."""
    total = Pulls()
    for number in range(form.rounds):
        write_registry2_tree(tmp_path / str(number) / "data", repositories=form.images // 20, tags=20)
        with fleet(tmp_path / str(number), packages(program)) as found:
            found.images += list(images_in(found.servers[0].data))
            assert not adopted(found), "all was over before the first step"
            await roll(found, packages(program), form.steps)
            assert adopted(found)
        total.add(found.pulls)
    print(f"{form.rounds * len(form.steps)} restarts: {total}")
    assert total.failed == []


def images_in(folder: Path) -> Iterator[Image]:
    """Find the tags that registry:2 left, and what they name."""
    top = folder / "docker/registry/v2/repositories"
    for link in top.glob("*/*/_manifests/tags/*/current/link"):
        tag = link.parent.parent
        yield str(tag.parents[2].relative_to(top)), tag.name, link.read_text()


def adopted(found: Fleet) -> bool:
    """Tell whether either has adopted the folder."""
    return any("the folder is adopted" in server.logs() for server in found.servers)
