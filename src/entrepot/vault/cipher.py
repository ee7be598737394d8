"""Encryption as the vault uses it: AES-256-GCM under a random nonce, bound to what the text is about."""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from entrepot.vault.errors import SecretUnreadable

#: Bytes of a key.
KEY_BYTES = 32
_NONCE_BYTES = 12


def new_key() -> bytes:
    """Make a random key."""
    return secrets.token_bytes(KEY_BYTES)


def encrypt(key: bytes, content: bytes, about: str) -> str:
    """Encrypt, for text columns; `about` is needed again to decrypt and is not part of the result."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, content, about.encode())).decode()


def decrypt(key: bytes, encrypted: str, about: str) -> bytes:
    """Decrypt what `encrypt` gave for the same `about`.

    Raises:
        SecretUnreadable: Another key, another `about`, or a changed text.
    """
    try:
        raw = _decoded(encrypted)
        return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
    except (InvalidTag, binascii.Error, ValueError):
        raise SecretUnreadable(
            f"the secret of {about} does not open: it was changed, moved, or sealed with another key"
        ) from None


def _decoded(text: str) -> bytes:
    raw = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(raw).decode() != text:
        raise ValueError("the last character has bits that do not count")
    return raw
