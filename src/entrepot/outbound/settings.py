"""What the operator allows on the way out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network

from entrepot.outbound.addresses import Network
from entrepot.outbound.errors import TargetRefused
from entrepot.outbound.urls import Url

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundSettings:
    """The rules of one client."""

    hosts: frozenset[str] = frozenset()  #: names that may lead into private networks, and be asked without TLS
    networks: tuple[Network, ...] = ()  #: the same for addresses
    proxy: str = ""  #: URL of a proxy that reaches everybody who is not allowed above
    ca_file: str = ""  #: PEM file of authorities to believe beside the system's

    @classmethod
    def of(cls, allow: Iterable[str] = (), *, proxy: str = "", ca_file: str = "") -> OutboundSettings:
        """Read the operator's list of names, addresses and networks.

        Raises:
            ValueError: An entry is none of these, or the proxy's address cannot be read.
        """
        hosts: set[str] = set()
        networks: list[Network] = []
        for entry in allow:
            _sort_in(entry.strip().lower(), hosts, networks)
        if proxy:
            _check_proxy(proxy)
        return cls(hosts=frozenset(hosts), networks=tuple(networks), proxy=proxy, ca_file=ca_file)

    def with_ca(self, ca_file: str) -> OutboundSettings:
        """Return the same rules with another file of authorities, for a service that has its own; empty: the same."""
        return replace(self, ca_file=ca_file) if ca_file else self


def _sort_in(entry: str, hosts: set[str], networks: list[Network]) -> None:
    try:
        networks.append(ip_network(entry.strip("[]"), strict=False))
    except ValueError:
        name = entry.removesuffix(".")
        if not _NAME.fullmatch(name) or name.replace(".", "").isdigit():
            raise ValueError(f"'{entry}' is no host name, address or network such as 10.1.0.0/16") from None
        hosts.add(name)


def _check_proxy(proxy: str) -> None:
    try:
        # A user and a password may stand in a proxy's address, for they are for the proxy alone.
        scheme, _, rest = proxy.partition("://")
        Url.parse(f"{scheme}://{rest.rpartition('@')[2]}")
    except TargetRefused:
        raise ValueError("the proxy is no address such as http://proxy.example.org:3128") from None
