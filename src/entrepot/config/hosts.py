"""Names, addresses and networks of others, as an operator lists them."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?")
_PROXY = re.compile(r"https?://([^@/\s]*@)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", re.IGNORECASE)


def read_host(entry: str) -> IPv4Network | IPv6Network | str:
    """Read one entry: a network (an address is one of a single member) or a host name in lower case.

    Raises:
        ValueError: It is neither.
    """
    text = entry.strip().lower()
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        name = text.removesuffix(".")
    if not _NAME.fullmatch(name) or name.replace(".", "").isdigit():
        raise ValueError("must be a host name, an address, or a network such as 10.1.0.0/16")
    return name


def check_proxy(url: str) -> str:
    """Return the address of an HTTP proxy, or the empty text for none.

    The message does not repeat it: it may hold a password.

    Raises:
        ValueError: It is none.
    """
    if url and not _PROXY.fullmatch(url):
        raise ValueError("must be an address such as http://proxy.example.org:3128")
    return url
