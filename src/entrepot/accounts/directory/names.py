"""Distinguished names (RFC 4514), compared as directories compare them: case and optional spaces do not count."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PAIR = re.compile(r"\\([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)
_SPECIAL = frozenset('\\,+"<>;=')


class DnInvalid(ValueError):
    """The text is no distinguished name."""


def fold_dn(text: str) -> str:
    """Return the one spelling by which a DN is kept and compared.

    Raises:
        DnInvalid: The text is no DN.
    """
    return ",".join(_fold_rdn(part) for part in _split(text, ",;")) if text.strip() else ""


def is_below(dn: str, base: str) -> bool:
    """Tell whether a folded DN is the folded `base`, or below it."""
    return dn == base or not base or dn.endswith(f",{base}")


def first_value(text: str) -> str:
    """Return the value of a DN's first part as it is written: `Bob` of `cn=Bob,ou=people`.

    Raises:
        DnInvalid: The text is no DN.
    """
    rdn = next(_split(text, ",;"))
    return _value(next(_split(rdn, "+")))[1]


def escape_value(value: str) -> str:
    """Make a value safe to stand in a DN (RFC 4514, section 2.4)."""
    escaped = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in value).replace("\0", "\\00")
    if escaped[:1] in {" ", "#"}:
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if escaped.endswith(" ") and not escaped.endswith("\\ ") else escaped


def _fold_rdn(text: str) -> str:
    pairs = sorted(_value(part) for part in _split(text, "+"))
    return "+".join(f"{kind.lower()}={escape_value(' '.join(value.lower().split()))}" for kind, value in pairs)


def _value(text: str) -> tuple[str, str]:
    """Take `type=value` apart, the value without its escapes."""
    kind, equals, value = text.partition("=")
    if not equals or not kind.strip():
        raise DnInvalid("a distinguished name looks like cn=devs,ou=groups,dc=example,dc=org")
    return kind.strip(), _unescape(value)


def _unescape(text: str) -> str:
    r"""Undo escapes: `\,` is a comma, and `\C3\A9` are the two octets of one letter."""
    text = text.lstrip(" ")
    bare = text.rstrip(" ")
    text = f"{bare} " if bare.endswith("\\") and bare != text else bare
    octets = bytearray()
    last = 0
    for pair in _PAIR.finditer(text):
        octets += text[last : pair.start()].encode()
        octets += bytes.fromhex(pair[1]) if pair[1] else pair[2].encode()
        last = pair.end()
    octets += text[last:].encode()
    return octets.decode(errors="replace")


def _split(text: str, separators: str) -> Iterator[str]:
    """Cut at separators that are not escaped."""
    start = index = 0
    while index < len(text):
        if text[index] == "\\":
            index += 1
        elif text[index] in separators:
            yield text[start:index]
            start = index + 1
        index += 1
    yield text[start:]
