"""What the supervisor holds while it runs: opened in order, closed in the reverse order."""

from __future__ import annotations

import dataclasses
import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

import entrepot
from entrepot.serving.certificate_watch import CertificateWatch
from entrepot.serving.errors import CertificateRefused, StartRefused
from entrepot.serving.health import Health
from entrepot.serving.listen import ListenLock
from entrepot.serving.notices import NoticeBoard
from entrepot.serving.runtime import RuntimeFolder
from entrepot.telemetry.instruments import Family, Metrics
from entrepot.telemetry.snapshots import add_up, collect

if TYPE_CHECKING:
    from entrepot.serving.certificate_renewal import CertificateRenewal
    from entrepot.serving.certificates import Certificates
    from entrepot.serving.settings import Address, ServeSettings

_USUAL_PORT: Final = 5000


class House(ExitStack):
    """The address, the shared folder, certificates, health and the debug listener.

    Raises:
        StartRefused: One of them cannot be had; the text says what to do.
    """

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__()
        try:
            self._open(settings)
        except BaseException:
            self.close()
            raise

    def _open(self, settings: ServeSettings) -> None:
        self.metrics = Metrics()
        self.address = settings.address
        if settings.role != "jobs":
            lock = self.enter_context(closing(ListenLock(settings.address)))
            self.address = dataclasses.replace(settings.address, port=lock.port)
        self.node = settings.node or _node_name(self.address, settings.role)
        info = self.metrics.gauge("entrepot_node_info", "This node, always 1.", ("node", "role", "version"))
        info.set(1, self.node, settings.role, entrepot.__version__)
        self.renewal = self._renewal(settings)
        self.certificates = self._certificates(settings)
        self.watch = self._watch(settings)
        self.runtime = self.enter_context(closing(RuntimeFolder()))
        self.notices = self.enter_context(closing(NoticeBoard(self.runtime.notices)))
        self.health = Health(settings.health, self.runtime.health)
        self.callback(self.health.stop)
        self.debug_port = self._debug_listener(settings)

    def all_metrics(self) -> list[Family]:
        """Add up the metrics of all processes, the supervisor's too."""
        total = {family.name: family for family in collect(self.runtime.metrics)}
        add_up(total, self.metrics.families())
        return list(total.values())

    def keep_old_certificate(self) -> None:
        """Give up the certificate taken over last, because the server could not start with it."""
        if self.certificates:
            self.certificates.revert()

    def _renewal(self, settings: ServeSettings) -> CertificateRenewal | None:
        if settings.acme is None:
            return None
        from entrepot.serving.certificate_renewal import CertificateRenewal  # noqa: PLC0415 - only where it is wanted

        try:
            return self.enter_context(closing(CertificateRenewal(settings.acme, settings.log)))
        except OSError as error:
            raise StartRefused(
                f"The certificate (http.tls.letsencrypt) cannot be kept in {settings.acme.folder}: {error.strerror}."
            ) from error

    def _certificates(self, settings: ServeSettings) -> Certificates | None:
        if settings.tls is None:
            return None
        from entrepot.serving.certificates import Certificates  # noqa: PLC0415 - only where there is TLS

        try:
            return self.enter_context(closing(Certificates(settings.tls)))
        except CertificateRefused as error:
            raise StartRefused(f"TLS cannot be used (http.tls). {error}") from error

    def _watch(self, settings: ServeSettings) -> CertificateWatch | None:
        if self.certificates is None or settings.tls is None:
            return None
        return CertificateWatch(self.certificates, settings.tls.look_seconds)

    def _debug_listener(self, settings: ServeSettings) -> int | None:
        if settings.debug is None:
            return None
        from entrepot.serving.debug import DebugListener  # noqa: PLC0415 - only where it is configured

        return self.enter_context(closing(DebugListener(settings.debug, self.health, self._render))).port

    def _render(self, accept: str) -> tuple[bytes, str]:
        from entrepot.telemetry.exposition import render  # noqa: PLC0415 - at the first scrape, not at the start

        return render(self.all_metrics, accept)


def _node_name(address: Address, role: str) -> str:
    """Name a `serve` by its host, in such a way that several on one host have several names."""
    host = socket.gethostname()
    if role == "jobs":
        return f"{host}-jobs"
    return host if address.unix or address.port == _USUAL_PORT else f"{host}:{address.port}"
