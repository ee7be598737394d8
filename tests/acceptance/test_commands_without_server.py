"""Commands that are told of a server which is not there, or is something else: one line says what is wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.commands import Run, runner


class _Website(BaseHTTPRequestHandler):
    """Answers everything with a page."""

    def do_GET(self) -> None:
        """Send the page."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    do_POST = do_DELETE = do_GET  # noqa: N815 - the names of the base class

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture(scope="module")
def website() -> Iterator[str]:
    """Give the host and port of a server that is no registry."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Website) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def entrepot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs a command with a home of its own, and with a key for whatever server is named."""
    monkeypatch.setenv("ENTREPOT_KEY", "reg_x")
    monkeypatch.chdir(tmp_path)
    return runner(tmp_path)


def one_line(done: Result) -> str:
    """Return what a command said on standard error, which is one line and no traceback."""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("http://127.0.0.1:1", "cannot be reached"),
        ("http://no-such-host.invalid", "no-such-host.invalid"),
        ("ftp://registry.example.org", "http"),
        ("http://[", "is no server's address"),
        ("http://a b", "is no server's address"),
    ],
)
def test_a_server_that_is_not_there_is_one_line(entrepot: Run, server: str, says: str) -> None:
    """Nobody listening, no such name, no such scheme, no address at all: with a login, and when signing in."""
    assert says in one_line(entrepot("user", "list", "--server", server, status=1))
    assert says in one_line(entrepot("login", server, "-u", "admin", "--password-stdin", stdin="x\n", status=1))


def test_plain_http_asked_with_tls_is_told(entrepot: Run, website: str) -> None:
    """An address without a scheme means https; who speaks plain HTTP there is told to write so."""
    done = entrepot("login", website, "-u", "admin", "--password-stdin", stdin="x\n", status=1)
    assert "begins with http://" in one_line(done)


def test_a_website_is_no_registry(entrepot: Run, website: str) -> None:
    """A page in answer to a command is told as such, also where it comes with 200."""
    server = f"http://{website}"
    assert "is the address right?" in one_line(entrepot("user", "list", "--server", server, status=1))
    done = entrepot("login", server, "-u", "admin", "--password-stdin", stdin="x\n", status=1)
    assert "is the address right?" in one_line(done)


def test_a_login_is_forgotten_without_its_server(
    entrepot: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`logout` of a server that is gone says that the key is still there, and forgets the login all the same."""
    monkeypatch.delenv("ENTREPOT_KEY")
    kept = tmp_path / "entrepot" / "logins.json"
    kept.parent.mkdir()
    kept.touch(mode=0o600)
    kept.write_text(json.dumps([{"server": "http://127.0.0.1:1", "user": "a", "key": "reg_x", "key_id": 1}]))
    assert "could not be removed" in entrepot("logout", "http://127.0.0.1:1").stderr
    assert json.loads(kept.read_text()) == []
    kept.write_text("[{")
    assert "is damaged" in one_line(entrepot("user", "list", status=1))
