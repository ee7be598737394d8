"""How one answered request is written down: Apache's combined log, or a structured record.

The text form is what registry:2 prints, to the byte. The structured forms use the field names of registry:2's
`response completed` entries.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class RequestRecord(NamedTuple):
    """What the log says about one answered request."""

    at: float  #: when the answer was complete, in seconds since the epoch
    client: str  #: address, after trusted proxies
    user: str  #: the principal's name, empty for nobody
    method: str
    target: str  #: path and query as the client sent them
    protocol: str  #: `HTTP/1.1` or `HTTP/2.0`
    status: int
    bytes_out: int  #: of the answer's body
    bytes_in: int  #: of the request's body
    seconds: float  #: from request to end of answer
    referer: str
    user_agent: str
    request_id: str
    route: str  #: the name under which metrics count the request
    host: str


Render = Callable[[RequestRecord], str]


def renderer(formatter: str, fields: Mapping[str, Any]) -> Render:
    """Give the function that writes records in the form of `log.formatter`: text, json or logstash."""
    if formatter == "text":
        return combined
    return _structured(formatter, fields)


def combined(record: RequestRecord) -> str:
    """Write Apache's combined format."""
    day = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(record.at))
    request = f"{safe(record.method)} {safe(record.target)} {record.protocol}"
    return (
        f"{safe(record.client) or '-'} - {safe(record.user) or '-'} [{day}] "
        f'"{request}" {record.status} {record.bytes_out} "{safe(record.referer)}" "{safe(record.user_agent)}"'
    )


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
    named = {
        "http.request.id": record.request_id,
        "http.request.method": record.method,
        "http.request.host": record.host,
        "http.request.uri": record.target,
        "http.request.remoteaddr": record.client,
        "http.request.useragent": record.user_agent,
        "http.request.referer": record.referer,
        "http.request.read": record.bytes_in,
        "http.response.status": record.status,
        "http.response.written": record.bytes_out,
        "http.response.duration": f"{record.seconds * 1000:.3f}ms",
        "route": record.route,
        "auth.user.name": record.user,
    }
    return {name: value for name, value in named.items() if value not in ("", "-")}
