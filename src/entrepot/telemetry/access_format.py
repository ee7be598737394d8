"""How one answered request is written down: Apache's combined log, or a structured record.

The text form is what registry:2 prints, to the byte. The structured forms use the field names of registry:2's
`response completed` entries.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple


class Exchange(NamedTuple):
    """What the log says about a request and its answer, but for when it was and how long it took."""

    client: str  #: address, after trusted proxies
    user: str  #: the principal's name, empty for nobody
    method: str
    target: str  #: path and query as the client sent them
    protocol: str  #: `HTTP/1.1` or `HTTP/2.0`
    status: int
    bytes_out: int  #: of the answer's body
    bytes_in: int  #: of the request's body
    referer: str
    user_agent: str
    route: str  #: the name under which metrics count the request
    host: str


class RequestRecord(NamedTuple):
    """What the log says about one answered request."""

    at: float  #: when the answer was complete, in seconds since the epoch
    seconds: float  #: from request to end of answer
    request_id: str
    exchange: Exchange


Render = Callable[[RequestRecord], str]


def renderer(formatter: str, fields: Mapping[str, Any]) -> Render:
    """Give the function that writes records in the form of `log.formatter`: text, json or logstash."""
    if formatter == "text":
        return combined
    return _structured(formatter, fields)


def combined(record: RequestRecord) -> str:
    """Write Apache's combined format."""
    exchange = record.exchange
    size = len(exchange.target) + len(exchange.referer) + len(exchange.user_agent)
    write = _around_time if size <= _REMEMBERED_LENGTH else _around_time.__wrapped__
    before, after = write(exchange)
    return f"{before}{_second(int(record.at))}{after}"


#: Clients ask for the same things over and over; longer lines are written each time, so that little is remembered.
_REMEMBERED_LENGTH = 512


@lru_cache(maxsize=1024)
def _around_time(exchange: Exchange) -> tuple[str, str]:
    """Write what stands before and behind the time."""
    request = f"{safe(exchange.method)} {safe(exchange.target)} {exchange.protocol}"
    return f"{safe(exchange.client) or '-'} - {safe(exchange.user) or '-'} [", (
        f'] "{request}" {exchange.status} {exchange.bytes_out} "{safe(exchange.referer)}" "{safe(exchange.user_agent)}"'
    )


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))


def safe(text: str) -> str:
    """Escape what could end a field or begin a new line: the client chose this text."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return json.dumps(text)[1:-1]


def timestamp(at: float) -> str:
    """Write a time as RFC 3339 in UTC with microseconds."""
    whole, part = divmod(int(at * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:06d}Z"


def _structured(formatter: str, fields: Mapping[str, Any]) -> Render:
    logstash = formatter == "logstash"
    message, stamp = ("message", "@timestamp") if logstash else ("msg", "time")
    fixed = {**fields, "level": "info", message: "response completed", **({"@version": "1"} if logstash else {})}

    def render(record: RequestRecord) -> str:
        entry = {**fixed, stamp: timestamp(record.at), **_named(record)}
        return json.dumps(entry, separators=(",", ":"), sort_keys=True, default=str)

    return render


def _named(record: RequestRecord) -> dict[str, Any]:
    exchange = record.exchange
    named = {
        "http.request.id": record.request_id,
        "http.request.method": exchange.method,
        "http.request.host": exchange.host,
        "http.request.uri": exchange.target,
        "http.request.remoteaddr": exchange.client,
        "http.request.useragent": exchange.user_agent,
        "http.request.referer": exchange.referer,
        "http.request.read": exchange.bytes_in,
        "http.response.status": exchange.status,
        "http.response.written": exchange.bytes_out,
        "http.response.duration": f"{record.seconds * 1000:.3f}ms",
        "route": exchange.route,
        "auth.user.name": exchange.user,
    }
    return {name: value for name, value in named.items() if value not in ("", "-")}
