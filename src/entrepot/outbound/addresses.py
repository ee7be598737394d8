"""Which network addresses may be asked, and why not (RFC 6890 and the registries it names)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(named: Mapping[str, Iterable[str]]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(text), reason) for reason, texts in named.items() for text in texts)


#: Services of a cloud to its own machines: they hand out credentials, so a name alone never opens the way to them.
_METADATA = _networks(
    {
        "belongs to a cloud's own services": (
            "169.254.0.0/16",
            "fd00:ec2::254/128",
            "100.100.100.200/32",
            "192.0.0.192/32",
            "168.63.129.16/32",
        )
    }
)
#: What an organisation uses within: a name that the operator allows may lead here.
_OWN = _networks(
    {
        "is this machine itself": ("127.0.0.0/8", "::1/128"),
        "is private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        "is shared within a provider": ("100.64.0.0/10",),
    }
)
#: Where no service of anybody's is.
_NOWHERE = _networks(
    {
        "means no address": ("0.0.0.0/8", "::/96"),
        "is link-local": ("fe80::/10",),
        "is for protocols, tests or documentation": (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
        ),
        "is a tunnel into other networks": ("2002::/16", "64:ff9b:1::/48"),
        "is multicast": ("224.0.0.0/4", "ff00::/8"),
        "is reserved": ("240.0.0.0/4",),
    }
)
#: Everything else outside it is not handed out.
_PUBLIC_IPV6 = ip_network("2000::/3")
#: IPv6 spellings of IPv4 addresses: what counts is the address inside.
_NAT64 = ip_network("64:ff9b::/96")


def plain(address: str) -> Address:
    """Read an address, and take an IPv4 address out of the IPv6 spellings of it.

    Raises:
        ValueError: It is no address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found in _NAT64:
            return IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def why_not(address: Address, networks: Sequence[Network] = (), *, by_name: bool = False) -> str:
    """Say why an address may not be asked; the empty text when it may.

    Args:
        address: As `plain` gives it.
        networks: Those that the operator allows.
        by_name: Whether the operator allows the name that led there: what is private may then be asked.
    """
    if any(address in network for network in networks):
        return ""
    own = _reason(address, _OWN)
    found = _reason(address, _METADATA) or ("" if own and by_name else own) or _reason(address, _NOWHERE)
    if not found and not own and isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "is not handed out"
    return found


def _reason(address: Address, among: Sequence[tuple[Network, str]]) -> str:
    return next((reason for network, reason in among if address in network), "")
