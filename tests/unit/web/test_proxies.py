"""Who is asking, behind proxies."""

from ipaddress import ip_network

import pytest

from entrepot.web.proxies import Proxies
from entrepot.web.settings import WebSettings
from tests.support.bare_requests import bare_request

NETWORKS = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8")))


@pytest.mark.parametrize(
    ("address", "forwarded", "client"),
    [
        ("10.0.0.1", "192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", "198.51.100.1, 192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", "192.0.2.9, 10.0.0.7", "192.0.2.9"),
        ("10.0.0.1", "evil, 192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", "192.0.2.9, evil", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.1"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("10.0.0.1", "[2001:db8::5]", "2001:db8::5"),
        ("::ffff:10.0.0.1", "192.0.2.9", "192.0.2.9"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (None, "192.0.2.9", "192.0.2.9"),
    ],
)
def test_the_client_is_the_nearest_stranger(address: str | None, forwarded: str, client: str) -> None:
    """Addresses are believed from the right, as far as trusted proxies wrote them."""
    proxies = Proxies(WebSettings(trusted_proxies=NETWORKS))
    assert proxies.client(bare_request(address, ("x-forwarded-for", forwarded))) == client


def test_two_headers_are_one_list() -> None:
    """Several X-Forwarded-For headers count as one, in their order."""
    proxies = Proxies(WebSettings(trusted_proxies=NETWORKS))
    headers = (("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.9"))
    assert proxies.client(bare_request("10.0.0.1", *headers)) == "192.0.2.9"


@pytest.mark.parametrize("trusted", [None, ()])
def test_cve_2024_7923_nobody_says_who_they_are(trusted: tuple[()] | None) -> None:
    """Without named proxies no header changes the client's address, nor does one that only looks like it."""
    proxies = Proxies(WebSettings(trusted_proxies=trusted))
    for name in ("x-forwarded-for", "x_forwarded_for", "forwarded", "x-real-ip"):
        assert proxies.client(bare_request("10.0.0.1", (name, "192.0.2.9"))) == "10.0.0.1"


def test_memory_of_addresses_is_bounded() -> None:
    """A million addresses do not fill the memory."""
    proxies = Proxies(WebSettings(trusted_proxies=NETWORKS))
    for number in range(10_000):
        proxies.client(bare_request(f"192.0.{number // 250}.{number % 250}", ("x-forwarded-for", "192.0.2.9")))
    assert 0 < len(proxies._clients._known) <= 4096


def test_a_neighbour_does_not_choose_its_own_address() -> None:
    """Proxies that were not named may say how we are reached, and not who asks."""
    local = (ip_network("127.0.0.0/8"),)
    proxies = Proxies(WebSettings(trusted_proxies=(*local, *NETWORKS), client_proxies=local))
    said = (("x-forwarded-for", "192.0.2.9"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "outer.example"))
    assert proxies.client(bare_request("10.0.0.5", *said)) == "10.0.0.5"
    assert proxies.origin(bare_request("10.0.0.5", *said)) == "https://outer.example"
    assert proxies.client(bare_request("127.0.0.1", *said)) == "192.0.2.9"
    forged = ("x-forwarded-for", "192.0.2.9, 10.0.0.5")
    assert proxies.client(bare_request("127.0.0.1", forged)) == "10.0.0.5"
