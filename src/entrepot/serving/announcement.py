"""What a person reads when the registry is ready."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import time
from typing import IO, TYPE_CHECKING

import entrepot

if TYPE_CHECKING:
    from entrepot.serving.settings import Address, ServeSettings
    from entrepot.serving.supervisor_resources import House

_log = logging.getLogger(__name__)


def announce(settings: ServeSettings, house: House) -> None:
    """Say where the registry listens: as lines for a person, or as a record when the log is for machines."""
    url = "none" if settings.role == "jobs" else house.address.url(tls=settings.tls is not None)
    debug = f"http://{settings.debug.host}:{house.debug_port}/debug/health" if settings.debug else None
    if settings.log.formatter != "text":
        said = {"version": entrepot.__version__, "data": settings.place, **({"debug": debug} if debug else {})}
        _log.info("listening on %s", url, extra=said)
        return
    lines = [f"Entrepot {entrepot.__version__} is ready.", f"  address  {url}", f"  data     {settings.place}"]
    if debug:
        lines.append(f"  debug    {debug}")
    tell("\n".join(lines))


def tell(text: str, stream: IO[str] | None = None) -> None:
    """Show a text to the person who started this, on standard output unless given; whether anybody reads or not."""
    with contextlib.suppress(OSError):
        print(text, file=stream or sys.stdout, flush=True)


def await_listener(address: Address, within: float = 5.0) -> None:
    """Wait until somebody accepts connections: workers say they are ready a moment before that."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and not _accepts(address):
        time.sleep(0.005)


def _accepts(address: Address) -> bool:
    family = socket.AF_UNIX if address.unix else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(address.unix) if address.unix else (_reachable(address.host), address.port))
        except OSError:
            return False
    return True


def _reachable(host: str) -> str:
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
