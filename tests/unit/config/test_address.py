"""Addresses as Go writes them."""

from pathlib import Path

import pytest

from entrepot.config.address import Address, parse_address

READ = [
    (":5000", Address(host="", port=5000)),
    ("localhost:5000", Address(host="localhost", port=5000)),
    ("0.0.0.0:0", Address(host="0.0.0.0", port=0)),
    ("[::1]:443", Address(host="::1", port=443)),
    ("[fe80::1%eth0]:443", Address(host="fe80::1%eth0", port=443)),
    ("registry.example.org:https", Address(host="registry.example.org", port=443)),
    ("localhost:", Address(host="localhost", port=0)),
]
REFUSED = [
    "",
    "5000",
    "localhost",
    "::1:5000",
    "[::1]",
    "[10.0.0.1]:80",
    "host:65536",
    "host:-1",
    "host:no-such",
    "a/b:1",
]


@pytest.mark.parametrize(("text", "address"), READ)
def test_an_address_is_read(text: str, address: Address) -> None:
    """Host, brackets, port numbers and service names mean what they mean to Go."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_address_is_refused(text: str) -> None:
    """No port, a bare IPv6 host or a port that does not exist is an error, with a reason that reads on after a key."""
    with pytest.raises(ValueError, match=r"^has "):
        parse_address(text)


@pytest.mark.parametrize("text", [text for text, address in READ if address.port])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    """Writing and reading again gives the same address."""
    address = parse_address(text)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (Address(host="localhost"), True),
        (Address(host="127.8.8.8"), True),
        (Address(host="::1"), True),
        (Address(socket=Path("/run/x.sock")), True),
        (Address(host=""), False),
        (Address(host="::"), False),
        (Address(host="192.168.1.1"), False),
        (Address(host="registry.example.org"), False),
    ],
)
def test_local_means_only_this_machine(address: Address, *, local: bool) -> None:
    """Loopback and sockets are local; all addresses, and names that we do not resolve, are not."""
    assert address.is_local is local
