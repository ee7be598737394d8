"""Notices when TLS files change on disk, and says when a pair fits."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from entrepot.serving.errors import CertificateRefused

if TYPE_CHECKING:
    from entrepot.serving.certificates import Certificates, Signature

_log = logging.getLogger(__name__)

#: How long the files may not fit each other before it is worth a record: a renewal writes them one after the other.
_PATIENCE_SECONDS: Final = 5.0


class CertificateWatch:
    """Asked about once a second; looks at the files every `look_seconds`, and sooner while they change."""

    def __init__(self, certificates: Certificates, look_seconds: float) -> None:
        self._certificates = certificates
        self._look_seconds = look_seconds
        self._look_at = time.monotonic() + look_seconds
        self._last: Signature = certificates.seen
        self._bad_since: float | None = None
        self._said = False

    def changed(self) -> bool:
        """Take over changed files; true when there is a new pair to serve with."""
        if not self._look_seconds or time.monotonic() < self._look_at:
            return False
        now = self._certificates.signature()
        settled, self._last = now == self._last, now
        if now == self._certificates.seen and self._bad_since is None:
            self._look_at = time.monotonic() + self._look_seconds
            return False
        # Files being written are left alone until they look the same twice.
        return settled and self._load()

    def reload(self) -> bool:
        """Take over the files now, because somebody asked; true when there is a new pair to serve with."""
        try:
            self._certificates.load()
        except CertificateRefused as error:
            _log.error("certificate not reloaded, the old one stays", extra={"reason": str(error)})
            self._said = True
            return False
        self._bad_since = None
        return True

    def _load(self) -> bool:
        try:
            self._certificates.load()
        except CertificateRefused as error:
            self._complain(error)
            return False
        self._bad_since, self._said = None, False
        return True

    def _complain(self, error: CertificateRefused) -> None:
        if self._bad_since is None:
            self._bad_since, self._said = time.monotonic(), False
        if not self._said and time.monotonic() - self._bad_since >= _PATIENCE_SECONDS:
            _log.error("changed certificate not taken, the old one stays", extra={"reason": str(error)})
            self._said = True
