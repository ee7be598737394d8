"""When a certificate is to be got, or got anew, by ACME; a process of its own does it (`certificate_order`).

Until there is one, the registry serves with a certificate that it signed itself: clients refuse it, but the start does
not wait for a service elsewhere, and nothing is different about the first certificate and all later ones.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from entrepot.serving import process
from entrepot.vault.private_file import create_once, remove, replace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from entrepot.serving.settings import AcmeSettings
    from entrepot.telemetry.logs import LogSettings

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 6 * 3600.0
#: An order that is well takes seconds, and gives up by itself after some minutes.
_LONGEST_ORDER_SECONDS: Final = 600.0
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
        self._attempts = OrderAttempts(settings)
        self._order: subprocess.Popen[bytes] | None = None
        self._order_ends = 0.0
        self._served = self._read()
        self._due = renewal_time(self._served, settings.hosts)
        self._not_before = 0.0
        if time.time() >= self._due and (pause := self._attempts.pause()) > 0:
            _log.warning(
                "no certificate is ordered yet, because earlier orders failed",
                extra={"pause_seconds": round(pause), "without_pause": f"remove {self._attempts.path}"},
            )

    @property
    def pid(self) -> int | None:
        """The process that orders at this moment."""
        return None if self._order is None else self._order.pid

    def look(self) -> bool:
        """Order a certificate when it is time; true when there is a new one to serve with."""
        if self._order is None:
            if time.time() < self._due:
                return False
            if self._is_new():  # another process got it
                return True
            if time.time() >= self._due and time.monotonic() >= self._not_before and self._attempts.pause() <= 0:
                self._start()
            return False
        if self._order.poll() is None:
            if time.monotonic() < self._order_ends:
                return False
            _log.error("the order of a certificate does not end and is stopped")
            self.close()
        self._order = None
        if self._is_new():
            return True
        if time.time() >= self._due:
            pause = max(_FIRST_PAUSE_SECONDS, self._attempts.pause())
            self._not_before = time.monotonic() + _FIRST_PAUSE_SECONDS
            _log.warning("no certificate was got; the next try is to come", extra={"pause_seconds": round(pause)})
        return False

    def close(self) -> None:
        """Let an order be that is not finished."""
        if self._order is not None:
            self._order.kill()
            self._order.wait()

    def _start(self) -> None:
        self._order_ends = time.monotonic() + _LONGEST_ORDER_SECONDS
        self._order = process.spawn("certificate")
        process.run(self._order, "entrepot.serving.certificate_order:run_order", self._settings, self._log)

    def _is_new(self) -> bool:
        """Tell whether a good pair lies there that is not the one served, whoever got it."""
        pair = self._read()
        self._due = renewal_time(pair, self._settings.hosts)
        if pair == self._served or time.time() >= self._due:
            return False
        self._served = pair
        return True

    def _read(self) -> bytes:
        try:
            return self._settings.pair.read_bytes()
        except OSError:
            return b""


class OrderAttempts:
    """Orders since the last one that succeeded, in a file: a restart does not forget them.

    Services refuse everything for a while from whoever fails a few times within an hour. Other names, another service
    or another address to be asked on are another matter: they are tried at once.
    """

    def __init__(self, settings: AcmeSettings) -> None:
        self.path = settings.folder / "attempts.json"
        self._order = [settings.directory, settings.host, settings.port, *settings.hosts]

    def pause(self) -> float:
        """Return how many seconds the next order has to wait still; 0 or less where it need not."""
        number, last = self._kept()
        if not number:
            return 0.0
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 4.0 ** min(number - 1, 9))
        return min(pause, last + pause - time.time())  # never longer, whatever the clock did

    def count(self) -> None:
        """Note that an order begins now.

        Raises:
            OSError: It cannot be written.
        """
        kept = {"order": self._order, "number": self._kept()[0] + 1, "last": time.time()}
        replace(self.path, json.dumps(kept).encode())

    def forget(self) -> None:
        """Begin again from nothing, because an order succeeded."""
        remove(self.path)

    def _kept(self) -> tuple[int, float]:
        try:
            kept = json.loads(self.path.read_bytes())
            return (int(kept["number"]), float(kept["last"])) if kept["order"] == self._order else (0, 0.0)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0.0


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
