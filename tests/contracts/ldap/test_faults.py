"""A directory that is down, slow or lying: everybody is let go in time, with the reason, and nobody is let in."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from entrepot.accounts.directory.model import DirectoryUnavailable, NoDirectory
from entrepot.adapters.identity.ldap import connection
from entrepot.adapters.identity.ldap.directory import PATIENCE, LdapDirectory
from entrepot.adapters.identity.ldap.servers import PAUSE
from tests.contracts.ldap.conftest import Connect
from tests.support.ports import free_port
from tests.support.slapd import Slapd, password_of

TIMEOUT = 0.5
#: What a whole question may take, and what a busy machine adds to it.
LONGEST = PATIENCE * TIMEOUT + 1 + 1.5

Talk = Callable[[socket.socket], None]


def silent(client: socket.socket) -> None:
    """Accept, and never say anything."""
    while client.recv(4096):
        pass


def garbage(client: socket.socket) -> None:
    """Answer whatever comes with what is no LDAP."""
    while client.recv(4096):
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(range(256)) * 10)


def drip(client: socket.socket) -> None:
    """Begin an answer of 64 MB and go on by a byte now and then."""
    client.recv(4096)
    client.sendall(b"\x30\x84\x04\x00\x00\x00\x02\x01\x01")
    while True:
        client.sendall(b"\x61")
        time.sleep(0.05)


def hangup(client: socket.socket) -> None:
    """Close at the first word."""
    client.recv(1)


def yes(client: socket.socket) -> None:
    """Answer every request, whatever it is, with the success of a bind of the same number."""
    while data := client.recv(4096):
        number = data[data.index(b"\x02\x01") + 2]
        client.sendall(bytes([0x30, 0x0C, 0x02, 0x01, number, 0x61, 0x07, 0x0A, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00]))


@contextmanager
def impostor(talk: Talk) -> Iterator[int]:
    """Listen on a port and talk to everybody in one way."""

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError, ValueError, IndexError):
            talk(client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


async def longest_stall(stop: asyncio.Event) -> float:
    """Measure for how long the loop did not turn."""
    longest, last = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(0.01)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


async def refused_in_time(directory: LdapDirectory) -> float:
    """Sign in, which must fail as unavailable; returns for how long the loop stood still meanwhile."""
    stop = asyncio.Event()
    stall = asyncio.create_task(longest_stall(stop))
    began = time.monotonic()
    with pytest.raises(DirectoryUnavailable):
        await directory.sign_in("alice", password_of("alice"))
    assert time.monotonic() - began < LONGEST
    stop.set()
    return await stall


@pytest.mark.parametrize("talk", [silent, garbage, drip, hangup])
@pytest.mark.parametrize("form", ["ldap", "starttls", "ldaps"])
async def test_a_server_that_talks_nonsense_or_nothing(
    shared_slapd: Slapd, connect: Connect, talk: Talk, form: str
) -> None:
    """In time, in every form of encryption, and without holding up anybody else in the process."""
    with impostor(talk) as port:
        url = f"{'ldaps' if form == 'ldaps' else 'ldap'}://127.0.0.1:{port}"
        section = shared_slapd.section(
            servers=[url], starttls=form == "starttls", insecure=form == "ldap", timeout=TIMEOUT
        )
        assert await refused_in_time(connect(section)) < 0.4


async def test_a_server_that_says_yes_to_everything(shared_slapd: Slapd, connect: Connect) -> None:
    """Success alone lets nobody in: the person must be found, and a search that is answered by a bind is no answer."""
    with impostor(yes) as port:
        section = shared_slapd.section(
            servers=[f"ldap://127.0.0.1:{port}"], starttls=False, insecure=True, timeout=TIMEOUT
        )
        directory = connect(section)
        for question in (directory.sign_in("alice", "any"), directory.find_person("alice"), _listed(directory)):
            directory._servers._failed.clear()
            with pytest.raises(DirectoryUnavailable, match="was not asked"):
                await question


async def _listed(directory: LdapDirectory) -> None:
    async for _ in directory.everybody():
        pass


async def test_the_second_server_is_asked_when_the_first_is_down(shared_slapd: Slapd, connect: Connect) -> None:
    """Nobody notices but for the first time; a server that hangs is passed over from then on."""
    with impostor(silent) as port:
        dead, hanging = f"ldap://127.0.0.1:{free_port()}", f"ldap://127.0.0.1:{port}"
        directory = connect(shared_slapd.section(servers=[dead, hanging, shared_slapd.url], timeout=TIMEOUT))
        assert await directory.sign_in("alice", password_of("alice")) is not None
        began = time.monotonic()
        assert await directory.sign_in("bob", password_of("bob")) is not None
        assert time.monotonic() - began < TIMEOUT
        assert await directory.sign_in("bob", "wrong") is None


async def test_nobody_waits_again_for_what_is_known(shared_slapd: Slapd, connect: Connect) -> None:
    """After all servers failed, answers come at once for a while, with the same reason."""
    with impostor(silent) as port:
        directory = connect(shared_slapd.section(servers=[f"ldap://127.0.0.1:{port}"], timeout=TIMEOUT))
        await refused_in_time(directory)
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(DirectoryUnavailable, match=r"Timed out|did not answer|contact"):
                await directory.find_person("alice")
        assert time.monotonic() - began < min(TIMEOUT, PAUSE)


async def test_a_server_that_comes_back(own_slapd: Slapd, connect: Connect) -> None:
    """Open connections die with a server; the next question after the pause finds it again."""
    directory = connect(own_slapd.section(timeout=TIMEOUT))
    assert await directory.find_person("alice") is not None
    own_slapd.stop()
    own_slapd.start()
    assert await directory.find_person("alice") is not None
    own_slapd.stop()
    with pytest.raises(DirectoryUnavailable):
        await directory.find_person("alice")
    own_slapd.start()
    directory._servers._clock = lambda: time.monotonic() + PAUSE
    assert await directory.find_person("alice") is not None


async def test_a_server_that_stops_in_the_middle(own_slapd: Slapd, connect: Connect) -> None:
    """A frozen server is given up in time; when it goes on, so do we."""
    directory = connect(own_slapd.section(timeout=TIMEOUT))
    assert await directory.sign_in("alice", password_of("alice")) is not None
    assert own_slapd.process is not None
    os.kill(own_slapd.process.pid, signal.SIGSTOP)
    try:
        assert await refused_in_time(directory) < 0.4
    finally:
        os.kill(own_slapd.process.pid, signal.SIGCONT)
    directory._servers._clock = lambda: time.monotonic() + PAUSE
    assert await directory.sign_in("alice", password_of("alice")) is not None


async def test_a_crowd_at_a_hanging_directory(shared_slapd: Slapd, connect: Connect) -> None:
    """Hundreds who sign in at once are all let go in time; there is no queue that grows."""
    with impostor(silent) as port:
        directory = connect(shared_slapd.section(servers=[f"ldap://127.0.0.1:{port}"], timeout=TIMEOUT))
        began = time.monotonic()
        asked = (directory.sign_in(f"user{number:04}", "x") for number in range(300))
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert time.monotonic() - began < LONGEST
        assert all(isinstance(result, DirectoryUnavailable) for result in results)


def test_a_missing_extra_is_named(shared_slapd: Slapd, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without python-ldap the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "ldap", None)
    with pytest.raises(NoDirectory, match=r"extra 'ldap'.*pip install 'entrepot\[ldap\]'.*python3-ldap"):
        connect(shared_slapd.section())
    with pytest.raises(NoDirectory):
        connection.library()
