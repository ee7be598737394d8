"""Addresses that let whoever has them read one object for some minutes: Google's V4 signature (GOOG4-RSA-SHA256)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import google.auth.exceptions
from google.auth import iam
from google.auth.credentials import Credentials, Signing

from entrepot.adapters.blobs.objects.gcs_sign_in import Asking

_log = logging.getLogger(__name__)

_ALGORITHM = "GOOG4-RSA-SHA256"
#: Seconds for which nobody is asked to sign again once that was refused.
_QUIET = 600


def to_sign(
    url: str, email: str, at: datetime, seconds: int, query: Mapping[str, str], method: str = "GET"
) -> tuple[str, str]:
    """Give the address without its signature, and the text that the signature is of.

    Args:
        url: Of the object, its path quoted as it is sent.
        email: Of the service account that signs.
        at: From when.
        seconds: For how long.
        query: More parameters, such as `response-content-type`.
        method: What may be done there.
    """
    stamp, parts = at.strftime("%Y%m%dT%H%M%SZ"), urlsplit(url)
    scope = f"{stamp[:8]}/auto/storage/goog4_request"
    fields = {
        "X-Goog-Algorithm": _ALGORITHM,
        "X-Goog-Credential": f"{email}/{scope}",
        "X-Goog-Date": stamp,
        "X-Goog-Expires": str(seconds),
        "X-Goog-SignedHeaders": "host",
        **query,
    }
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(fields.items()))
    canonical = "\n".join([method, parts.path, text, f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{url}?{text}", f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashed}"


def signer_of(credentials: Credentials | None) -> tuple[str, Callable[[bytes], bytes]] | None:
    """Give who signs, and how: with the account's key, or by asking Google's IAM to sign for the account."""
    own: Any = credentials
    if isinstance(own, Signing):
        return own.signer_email, own.sign_bytes
    email = getattr(own, "service_account_email", None)
    if not email or email == "default":
        return None
    return email, iam.Signer(Asking(), own, email).sign  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class Signer:
    """Signs addresses for the account that the registry signs in with."""

    credentials: Credentials | None
    _quiet_until: float = 0

    async def sign(self, url: str, seconds: int, query: Mapping[str, str]) -> str | None:
        """Give an address of an object that lets in whoever has it; None when nobody may sign for these credentials."""
        if time.monotonic() < self._quiet_until:
            return None
        try:
            return await asyncio.to_thread(self._sign, url, seconds, query)
        except google.auth.exceptions.GoogleAuthError as error:
            self._quiet_until = time.monotonic() + _QUIET
            _log.warning("Google Cloud Storage: addresses cannot be signed (%s); blobs pass through here", error)
            return None

    def _sign(self, url: str, seconds: int, query: Mapping[str, str]) -> str | None:
        signer = signer_of(self.credentials)
        if signer is None:
            return None
        email, sign = signer
        address, text = to_sign(url, email, datetime.now(UTC), seconds, query)
        return f"{address}&X-Goog-Signature={sign(text.encode()).hex()}"
