"""Forwarding the audit log to syslog (RFC 5424; over TCP framed by octet counts, RFC 6587).

Events are sent in the order of the chain, and the place of the last one sent is kept: a receiver that is away gets what
it missed when it is back. Syslog has no receipts, so what lies in a broken connection's buffer may still be lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from entrepot.audit.export import readable
from entrepot.metadata import audit_log, settings
from entrepot.metadata.audit_log import EventRecord
from entrepot.metadata.database import Database

_CURSOR = "audit.forwarded"
_BATCH = 200
_TIMEOUT = 10.0
#: Facility 13 is "log audit"; 5 is notice, 4 warning.
_FACILITY = 13
_NOTICE, _WARNING = 5, 4
_MOST_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Receiver:
    """A syslog receiver: `udp://host:514`, `tcp://host:601` or `unix:///dev/log`."""

    url: str

    @property
    def scheme(self) -> str:
        """How it is reached: udp, tcp or unix."""
        return urlsplit(self.url).scheme

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; syslog's own port where none is named."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or (601 if parts.scheme == "tcp" else 514)

    @property
    def path(self) -> str:
        """Path of the socket."""
        return urlsplit(self.url).path


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Sends what was sealed since."""

    metadata: Database
    receiver: Receiver

    async def run_once(self) -> int:
        """Send every sealed event that was not sent yet; return how many.

        Raises:
            OSError: The receiver cannot be reached; what it did not get is sent the next time.
        """
        sent = 0
        while batch := await audit_log.sealed(self.metadata, after=await self._cursor(), limit=_BATCH):
            await asyncio.wait_for(self._send([message(event) for event in batch]), _TIMEOUT)
            await self._remember(str(batch[-1].sequence))
            sent += len(batch)
        return sent

    async def _cursor(self) -> int:
        return int(await settings.find(self.metadata, _CURSOR) or 0)

    async def _remember(self, place: str) -> None:
        await self.metadata.write(lambda tx: settings.put(tx, _CURSOR, place), name="audit forward")

    async def _send(self, messages: list[bytes]) -> None:
        if self.receiver.scheme == "tcp":
            await self._send_stream(messages)
            return
        loop = asyncio.get_running_loop()
        family, address = await self._datagram_address()
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # noqa: FBT003 - the socket's own signature
            await loop.sock_connect(sender, address)
            for each in messages:
                await loop.sock_sendall(sender, each)

    async def _datagram_address(self) -> tuple[socket.AddressFamily, tuple[str, int] | str]:
        if self.receiver.scheme == "unix":
            return socket.AF_UNIX, self.receiver.path
        host, port = self.receiver.address
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        return found[0][0], (str(found[0][4][0]), port)

    async def _send_stream(self, messages: list[bytes]) -> None:
        _, writer = await asyncio.open_connection(*self.receiver.address)
        try:
            for each in messages:
                writer.write(f"{len(each)} ".encode() + each)
            await writer.drain()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def message(event: EventRecord) -> bytes:
    """Return an event as an RFC 5424 message whose text is JSON; long details are left out."""
    severity = _NOTICE if event.result in (None, "success") else _WARNING
    at = datetime.fromtimestamp(event.at / 1_000_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    head = f"<{_FACILITY * 8 + severity}>1 {at} {socket.gethostname()} entrepot {os.getpid()} {event.kind} - "
    row = readable(event)
    text = (head + json.dumps(row, ensure_ascii=True)).encode()
    if len(text) > _MOST_BYTES:
        text = (head + json.dumps(row | {"detail": None}, ensure_ascii=True)).encode()
    return text
