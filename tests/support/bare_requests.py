"""Requests without a body, as the web layer sees them."""

from __future__ import annotations

from typing import Any

from entrepot.web.http import Request


def bare_request(address: str | None, *headers: tuple[str, str]) -> Request:
    """Return a request from an address; None for a Unix socket."""

    async def receive() -> dict[str, Any]:
        raise AssertionError

    scope = {
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "client": None if address is None else (address, "1"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    return Request(scope, receive)
