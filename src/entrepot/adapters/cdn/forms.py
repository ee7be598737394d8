"""Signatures by a key that the CDN knows, too: a hash of path and time, put into the URL.

What differs between vendors is what is hashed, how, and where the hash is written. A `Form` says that.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

from entrepot.adapters.cdn.spans import Span

Hash = Callable[[bytes, bytes], bytes]
Encoding = Callable[[bytes], str]


class Signer(Protocol):
    """Makes the URLs of one CDN."""

    def sign(self, path: str, span: Span) -> str:
        """Return the URL of a path, which is as it is sent, that is good in a span.

        The URL begins with scheme and host.
        """
        ...


#: From a message and a key to the signature's bytes; a plain hash has the key in its message.
HASHES: Final[dict[str, Hash]] = {
    "hmac-sha256": lambda message, key: hmac.digest(key, message, "sha256"),
    "hmac-sha1": lambda message, key: hmac.digest(key, message, "sha1"),
    "sha256": lambda message, _key: hashlib.sha256(message).digest(),
    "md5": lambda message, _key: hashlib.md5(message, usedforsecurity=False).digest(),
}
ENCODINGS: Final[dict[str, Encoding]] = {
    "hex": bytes.hex,
    "base64": lambda raw: quote(b64encode(raw), safe=""),
    "base64url": lambda raw: urlsafe_b64encode(raw).rstrip(b"=").decode(),
    "base64url-padded": lambda raw: urlsafe_b64encode(raw).decode(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A vendor's form. In braces: `path`, `begins`, `expires`, their `_hex`, `minute`, `origin` and `key`."""

    message: str  #: what is hashed
    url: str  #: what stands behind scheme and host, with `signature`
    hash: str = "md5"
    encoding: str = "hex"


class FormSigner:
    """Signs by a form."""

    __slots__ = ("_encode", "_fixed", "_form", "_hash", "_key", "_key_text", "_origin", "_span")

    def __init__(self, form: Form, *, origin: str, key: bytes) -> None:
        """Sign for the CDN at `origin`: its scheme and host."""
        self._form = form
        self._hash = HASHES[form.hash]
        self._encode = ENCODINGS[form.encoding]
        self._origin = origin
        self._key = key
        self._key_text = key.decode("latin-1")
        self._span = Span(-1, -1)
        self._fixed: dict[str, object] = {}

    def sign(self, path: str, span: Span) -> str:
        """See `Signer`."""
        if span is not self._span:
            self._span, self._fixed = span, self._words(span)
        words = self._fixed
        message = self._form.message.format(path=path, key=self._key_text, **words).encode("latin-1")
        signature = self._encode(self._hash(message, self._key))
        return self._origin + self._form.url.format(path=path, signature=signature, **words)

    def _words(self, span: Span) -> dict[str, object]:
        return {
            "origin": self._origin,
            "begins": span.begins,
            "expires": span.expires,
            "begins_hex": f"{span.begins:x}",
            "expires_hex": f"{span.expires:x}",
            "minute": span.minute,
        }
