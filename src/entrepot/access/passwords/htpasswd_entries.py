"""The lines of an htpasswd file, and the bcrypt hashes in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import bcrypt

#: bcrypt looks at no more than this; a longer password would match by its beginning alone (CVE-2024-9683).
LONGEST = 72
_BCRYPT = re.compile(r"\$2[abxy]\$(?:0[4-9]|1[0-9]|2[0-9]|3[01])\$[./A-Za-z0-9]{53}")


def parse(text: str) -> Mapping[str, str]:
    """Read `name:hash` lines; empty ones and those that begin with `#` do not count.

    Raises:
        ValueError: A line has no colon.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, colon, encoded = entry.partition(":")
        if not colon:
            raise ValueError(f"line {number} is not of the form name:hash")
        entries[name] = encoded
    return entries


def is_bcrypt(encoded: str) -> bool:
    """Tell whether a hash is one of bcrypt's."""
    return _BCRYPT.fullmatch(encoded) is not None


def matches(encoded: str, password: str) -> bool:
    """Compare a password with a hash, slowly; what is no bcrypt hash, or longer than bcrypt looks, matches nothing."""
    secret = password.encode()
    try:
        right = bcrypt.checkpw(secret[:LONGEST], encoded.encode())
    except ValueError:
        return False
    return right and len(secret) <= LONGEST
