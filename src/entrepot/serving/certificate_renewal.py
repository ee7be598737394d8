"""When a certificate is to be got, or got anew, by ACME; a process of its own does it (`certificate_order`).

Until there is one, the registry serves with a certificate that it signed itself: clients refuse it, but the start does
not wait for a service elsewhere, and nothing is different about the first certificate and all later ones.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from entrepot.serving import process
from entrepot.vault.private_file import create_once

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from entrepot.serving.settings import AcmeSettings
    from entrepot.telemetry.logs import LogSettings

_log = logging.getLogger(__name__)

#: Services refuse everything for a while from whoever fails a few times within an hour.
_FIRST_PAUSE_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 6 * 3600.0
_STOPGAP_DAYS: Final = 7


class CertificateRenewal:
    """Asked about once a second; has a certificate ordered when that is due."""

    def __init__(self, settings: AcmeSettings, log: LogSettings) -> None:
        """Make sure that there is a certificate to serve with.

        Raises:
            OSError: The folder cannot be written to.
        """
        self._settings = settings
        self._log = log
        create_once(settings.pair, lambda: stopgap(settings.hosts))
        self._order: subprocess.Popen[bytes] | None = None
        self._due = self._time()
        self._not_before = 0.0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The process that orders at this moment."""
        return None if self._order is None else self._order.pid

    def look(self) -> bool:
        """Order a certificate when it is time; true when there is a new one to serve with."""
        if self._order is None:
            if time.time() >= self._due and time.monotonic() >= self._not_before:
                self._start()
            return False
        code = self._order.poll()
        if code is None:
            return False
        self._order, self._due = None, self._time()
        if code == 0 and time.time() < self._due:
            self._failures = 0
            return True
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 4**self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + pause
        _log.warning("no certificate was got; the next try is to come", extra={"pause_seconds": pause})
        return False

    def close(self) -> None:
        """Let an order be that is not finished: the next start goes on."""
        if self._order is not None:
            self._order.kill()
            self._order.wait()

    def _start(self) -> None:
        self._order = process.spawn("certificate")
        process.run(self._order, "entrepot.serving.certificate_order:run_order", self._settings, self._log)

    def _time(self) -> float:
        try:
            return renewal_time(self._settings.pair.read_bytes(), self._settings.hosts)
        except OSError:
            return 0.0


def renewal_time(pair: bytes, hosts: Sequence[str]) -> float:
    """Return when to get another certificate, in seconds since the epoch: when a third of its life is left.

    At once where this one is a stopgap, is for other hosts, or cannot be read.
    """
    try:
        first = x509.load_pem_x509_certificates(pair)[0]
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return 0.0
    if first.issuer == first.subject or set(names.get_values_for_type(x509.DNSName)) != set(hosts):
        return 0.0
    life = first.not_valid_after_utc - first.not_valid_before_utc
    return (first.not_valid_after_utc - life / 3).timestamp()


def stopgap(hosts: Sequence[str]) -> bytes:
    """Make a certificate that nobody but ourselves vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "certificate still to come")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=_STOPGAP_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + in_pem(key)


def in_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a key as the server reads it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
