"""What the operator allows on the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from entrepot.config.hosts import check_proxy, read_host
from entrepot.outbound.addresses import Network

if TYPE_CHECKING:
    from entrepot.config.schema.outbound import Outbound


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundSettings:
    """The rules of one client."""

    hosts: frozenset[str] = frozenset()  #: names that may lead into private networks, and be asked without TLS
    networks: tuple[Network, ...] = ()  #: the same for addresses
    proxy: str = ""  #: URL of a proxy that reaches everybody who is not allowed above
    ca_file: str = ""  #: PEM file of authorities to believe beside the system's
    ca_pem: str = ""  #: more of them, as text
    certificate: str = ""  #: PEM file of the certificate that we show, where somebody asks for one
    key: str = ""  #: PEM file of its key, without a password; empty: it is in the same file

    @classmethod
    def of(cls, allow: Iterable[str] = (), *, proxy: str = "", ca_file: str = "") -> OutboundSettings:
        """Read the operator's list of names, addresses and networks.

        Raises:
            ValueError: An entry is none of these, or the proxy's address cannot be read.
        """
        entries = [read_host(entry) for entry in allow]
        if proxy:
            check_proxy(proxy)
        return cls(
            hosts=frozenset(entry for entry in entries if isinstance(entry, str)),
            networks=tuple(entry for entry in entries if not isinstance(entry, str)),
            proxy=proxy,
            ca_file=ca_file,
        )

    @classmethod
    def from_config(cls, section: Outbound) -> OutboundSettings:
        """Read the configuration's section.

        Raises:
            ValueError: The proxy's address cannot be read.
        """
        return cls.of(section.allow, proxy=section.proxy, ca_file=section.cabundle)

    def with_ca(self, ca_file: str, *, pem: str = "") -> OutboundSettings:
        """Return the same rules with a service's own file of authorities, or with more of them; empty: the same."""
        return replace(self, ca_file=ca_file or self.ca_file, ca_pem=pem or self.ca_pem)

    def for_named(self, url: str) -> OutboundSettings:
        """Return the rules for what the operator's configuration file names: it may be private, and without TLS.

        Raises:
            ValueError: The URL has no host that can be read.
        """
        host = read_host(urlsplit(url).hostname or "")
        if isinstance(host, str):
            return replace(self, hosts=self.hosts | {host})
        return replace(self, networks=(*self.networks, host))
