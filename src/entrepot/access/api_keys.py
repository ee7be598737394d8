"""What an API key looks like: `reg_`, 30 random characters and 6 that check them.

The prefix lets people and secret scanners recognise a key wherever one was left lying; the checksum tells a key from
what only looks like one without asking the database. The random part has 178 bits, so no slow hash is needed: the
database has the SHA-256 of the whole.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "reg_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 30
_CHECK = 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECK}}}", re.ASCII)
#: So many characters are shown, for people to tell keys apart; the rest stays unguessable.
_SHOWN = len(PREFIX) + 4


def new_key() -> str:
    """Make a key."""
    head = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return head + _checksum(head)


def is_key(text: str) -> bool:
    """Tell whether a text has the shape of a key and its checksum fits: what is none of ours needs no look-up."""
    return _SHAPE.fullmatch(text) is not None and text[-_CHECK:] == _checksum(text[:-_CHECK])


def hash_key(key: str) -> str:
    """Return what the database keeps of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def hint_of(key: str) -> str:
    """Return what may be shown of a key."""
    return key[:_SHOWN]


def _checksum(head: str) -> str:
    """Write the CRC-32 in base 62."""
    number = zlib.crc32(head.encode())
    digits = ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
