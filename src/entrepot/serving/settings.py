"""What the supervisor and its children need to know, as plain values that travel to other processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from entrepot.serving.health_checks import HealthSettings
from entrepot.telemetry.logs import LogSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: a host and port, or a Unix socket."""

    host: str = "127.0.0.1"
    port: int = 5000
    unix: Path | None = None
    unix_mode: int = 0o660

    def url(self, *, tls: bool) -> str:
        """Write the address for a person."""
        if self.unix:
            return f"unix:{self.unix}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if tls else 'http'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The section `http.tls`."""

    certificate: Path
    key: Path
    client_cas: tuple[Path, ...] = ()
    minimum: str = "tls1.2"
    #: Time between two looks at the files; 0 never looks.
    look_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """The section `http.tls.letsencrypt`: how a certificate is got, and where it lies."""

    #: Holds account, certificate and lock; only we read it.
    folder: Path
    hosts: tuple[str, ...]
    directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    email: str = ""
    #: Where the service's question is answered: host, empty for all, and port.
    host: str = ""
    port: int = 80
    #: PEM file with the authority that signed the service's own certificate.
    authority: str = ""

    @property
    def pair(self) -> Path:
        """The certificate, its intermediates and its key, in one file: they change in one step."""
        return self.folder / "certificate.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugSettings:
    """The section `http.debug`."""

    host: str
    port: int
    metrics_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How the server speaks HTTP."""

    http2: bool = False
    #: One timer of the server for both: reading a request's headers, and waiting for the next request.
    header_seconds: float = 10.0
    #: Connections per worker, idle ones too; beyond it clients hang, so the limit that answers is the application's.
    connections: int = 8192
    #: Buffer of a connection. Each filling of it is a trip through three threads: with half of it an upload costs a
    #: twentieth more, and with twice as much 50 fast uploads at once take 196 MB in place of 140.
    buffer_bytes: int = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a worker finds what its processes share; travels to it from the supervisor."""

    role: str
    generation: int
    folder: Path
    #: The entry point to run, `module:name`.
    entry: str
    config: bytes = field(repr=False)
    log: LogSettings
    #: What this `serve` is called, and where it listens.
    node: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Everything `entrepot serve` was told, except what only the registry itself needs."""

    address: Address
    workers: int
    #: What this `serve` is called among the nodes of its registry; without a name it is made of the host's.
    node: str = ""
    #: What it does: `web`, `jobs`, or `all`.
    role: str = "all"
    #: Entry points, `module:name`: async context managers that are given the configuration and a `WorkerRuntime`.
    web: str
    jobs: str
    #: Modules that this configuration makes every worker import.
    modules: tuple[str, ...] = ()
    #: The configuration, pickled: only the workers look inside.
    config: bytes = field(repr=False)
    tls: TlsSettings | None = None
    acme: AcmeSettings | None = None
    http: HttpSettings = field(default_factory=HttpSettings)
    debug: DebugSettings | None = None
    health: HealthSettings = field(default_factory=HealthSettings)
    log: LogSettings = field(default_factory=LogSettings)
    drain_seconds: float = 30.0
    #: For so long it takes requests although it was told to stop, so that balancers notice before it takes none.
    drain_delay: float = 0.0
    #: The folder of the blobs, where they lie in one: its disk is asked when workers fall silent.
    data: Path | None = None
    #: Where the registry is, shown to the person who starts it.
    place: str = ""
