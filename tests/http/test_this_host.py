"""Who counts as this host: those on it, and nobody whom a proxy or a tunnel on it hides."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot.access.admin_account import NAME
from entrepot.access.passwords.throttle import FREE, PROXIED, Throttle
from entrepot.web.proxies import Proxies
from entrepot.web.settings import WebSettings
from entrepot.web.this_host import client_of
from tests.http.transport import AsgiClient
from tests.support.access_modes import SignInRegistry, basic, registry_with
from tests.support.bare_requests import bare_request

OUTSIDE = "registry.test"


@pytest.mark.parametrize(
    ("address", "headers", "client"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:5000"}, "127.0.0.1"),
        ("127.0.0.1", {"host": "127.0.0.53"}, "127.0.0.1"),
        ("127.0.0.1", {"host": "LocalHost:5000"}, "127.0.0.1"),
        ("::1", {"host": "[::1]:5000"}, "::1"),
        ("127.0.0.1", {}, "127.0.0.1"),
        (None, {"host": "localhost"}, ""),
        (None, {}, ""),
        ("127.0.0.1", {"host": OUTSIDE}, PROXIED),
        ("::1", {"host": f"{OUTSIDE}:5000"}, PROXIED),
        ("::ffff:127.0.0.1", {"host": "10.0.0.1"}, PROXIED),
        ("127.0.0.1", {"host": "[::1"}, PROXIED),
        ("127.0.0.1", {"host": "localhost.example"}, PROXIED),
        (None, {"host": OUTSIDE}, PROXIED),
        ("127.0.0.1", {"host": "127.0.0.1:5000", "x-forwarded-for": "127.0.0.1"}, PROXIED),
        ("127.0.0.1", {"host": "127.0.0.1:5000", "via": "1.1 proxy"}, PROXIED),
        ("127.0.0.1", {"host": f"{'a.' * 200}test"}, PROXIED),
        ("192.0.2.7", {"host": OUTSIDE}, "192.0.2.7"),
        ("192.0.2.7", {"host": "localhost"}, "192.0.2.7"),
    ],
)
def test_whom_this_host_hides(address: str | None, headers: dict[str, str], client: str) -> None:
    """A connection from here for a name of the world, or one that was handed on, says nothing of who asks."""
    assert client_of(bare_request(address, *headers.items()), Proxies(WebSettings())) == client


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("https://registry.example.org", PROXIED),
        ("https://10.0.0.1:5000", PROXIED),
        ("http://localhost:5000", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_nobody_claims_to_be_on_this_host_where_it_is_reached_at_another_address(told: str, client: str) -> None:
    """What forwards connections unread lets strangers say `Host: localhost`; with `http.host` that says nothing."""
    proxies = Proxies(WebSettings(host=told))
    assert client_of(bare_request("127.0.0.1", ("host", "localhost:5000")), proxies) == client


def asking(registry: SignInRegistry, host: str) -> AsgiClient:
    """Return a client that connects from this host."""
    return AsgiClient(registry.application, host=host, address="127.0.0.1")


async def test_a_proxy_here_that_hides_its_clients_does_not_open_the_administrator_to_guessing(tmp_path: Path) -> None:
    """Through it guesses wait like anybody's, longer than two seconds; whoever is on this host goes on."""
    async with registry_with(tmp_path, None) as registry:
        hidden, here = asking(registry, OUTSIDE), asking(registry, "127.0.0.1:5000")
        path, work = "/token?service=entrepot", registry.app.stores.work
        for _ in range(FREE + 6):
            await Throttle.shared(work).failed(NAME, PROXIED)
        refused = await hidden.get(path, headers=basic(NAME, "a guess"))
        assert refused.status == 429
        assert int(refused["retry-after"]) > 2
        for number in range(FREE):
            assert (await here.get(path, headers=basic(NAME, f"guess {number}"))).status == 401
        refused = await here.get(path, headers=basic(NAME, "one more guess"))
        assert refused.status == 429
        assert int(refused["retry-after"]) <= 2
