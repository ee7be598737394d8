"""The access log: registry:2's line, structured records, and a reader that stands still."""

import json
import os
from pathlib import Path

import pytest

from entrepot.telemetry import access_log as module
from entrepot.telemetry.access_format import Exchange, RequestRecord, combined, renderer
from entrepot.telemetry.access_log import AccessLog


def record(*, at: float = 1795474952.25, **changes: object) -> RequestRecord:
    """Give a record of an ordinary request."""
    usual = Exchange(
        client="127.0.0.1",
        user="",
        method="GET",
        target="/v2/a/manifests/x?n=1",
        protocol="HTTP/1.1",
        status=404,
        bytes_out=91,
        bytes_in=0,
        referer="",
        user_agent="curl/8.14.1",
        route="manifest",
        host="localhost:5077",
    )
    return RequestRecord(at, 0.00125, "abc-1", usual._replace(**changes))


def test_text_is_apaches_combined_format() -> None:
    """The line is what registry:2 prints for the same request."""
    assert combined(record()) == (
        '127.0.0.1 - - [23/Nov/2026:23:02:32 +0000] "GET /v2/a/manifests/x?n=1 HTTP/1.1" 404 91 "" "curl/8.14.1"'
    )


def test_names_of_users_are_shown() -> None:
    """Who was signed in stands in its place."""
    assert combined(record(user="alice")).startswith("127.0.0.1 - alice [")


@pytest.mark.parametrize("evil", ['x" 200 0 "', "a\nb", "a\\", "\x1b[2J", "\u2028", "ÿ"])
def test_a_client_cannot_forge_a_line(evil: str) -> None:
    """Quotes, line ends, escapes and what is not ASCII are written as escapes."""
    line = combined(record(user_agent=evil, target="/" + evil, user=evil))
    assert line.isascii()
    assert line.isprintable()
    assert line.replace("\\\\", "").replace('\\"', "").count('"') == 6


def test_an_address_cannot_forge_a_field() -> None:
    """What a proxy names may be an IPv6 address with a zone, and a zone may be any text."""
    assert combined(record(client='fe80::1%" 200 0')).startswith('fe80::1%\\" 200 0 - - [')


def test_structured_records_use_registry2s_names() -> None:
    """Json holds one flat object with the fields of registry:2's `response completed`."""
    entry = json.loads(renderer("json", {"service": "registry"})(record()))
    assert entry["msg"] == "response completed"
    assert entry["service"] == "registry"
    assert entry["http.request.uri"] == "/v2/a/manifests/x?n=1"
    assert (entry["http.response.status"], entry["http.response.written"]) == (404, 91)
    assert entry["http.response.duration"] == "1.250ms"
    assert "http.request.referer" not in entry
    assert json.loads(renderer("logstash", {})(record()))["@version"] == "1"


def test_lines_reach_the_descriptor(tmp_path: Path) -> None:
    """What was noted is in the file when the log is closed, in order."""
    with (tmp_path / "log").open("wb") as file:
        log = AccessLog(descriptor=file.fileno())
        for number in range(300):
            log.write(record(target=f"/{number}"))
        log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split('"')[1].split()[1] for line in lines] == [f"/{number}" for number in range(300)]


def test_a_disabled_log_writes_nothing(tmp_path: Path) -> None:
    """log.accesslog.disabled keeps the file empty."""
    with (tmp_path / "log").open("wb") as file:
        log = AccessLog(descriptor=file.fileno(), enabled=False)
        log.write(record())
        log.close()
    assert not (tmp_path / "log").read_bytes()


def test_writes_are_whole_lines_that_a_pipe_keeps_together() -> None:
    """No write is longer than what a pipe keeps whole, unless one line is; none ends within a line."""
    pieces = list(module._pieces([b"x" * 900] * 20 + [b"y" * 5000], 4096))
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert max(len(piece) for piece in pieces[:-1]) <= 4096
    assert b"".join(pieces).count(b"\n") == 21


def test_a_reader_that_stands_still_costs_records_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound records are dropped, and how many is said when the reader goes on."""
    monkeypatch.setattr(module, "_MAX_WAITING", 10)
    monkeypatch.setattr(AccessLog, "_start", lambda self: None)
    reading, writing = os.pipe()
    log = AccessLog(descriptor=writing)
    for _ in range(25):
        log.write(record())
    log.close()
    os.close(writing)
    with os.fdopen(reading) as reader:
        lines = reader.read().splitlines()
    assert len(lines) == 11
    assert lines[-1] == "15 access log records were dropped because their reader is too slow"


def test_lines_that_wait_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Long lines fill the memory sooner than many; what was written makes room."""
    monkeypatch.setattr(module, "_MAX_WAITING_BYTES", 1000)
    monkeypatch.setattr(AccessLog, "_start", lambda self: None)
    with (tmp_path / "log").open("wb") as file:
        log = AccessLog(descriptor=file.fileno())
        for _ in range(2):
            for _ in range(5):
                log.write(record(user_agent="x" * 900))
            log._flush()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["127.0.0.1", "127.0.0.1", "3"] * 2


def test_nobody_reading_does_not_end_the_registry() -> None:
    """A closed pipe is no error for whoever writes the log."""
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(descriptor=writing)
    log.write(record())
    log.close()
    os.close(writing)
