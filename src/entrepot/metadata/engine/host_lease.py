"""One host at a time: a folder that a second host has mounted too is refused.

Several processes of one host may share the folder; the kernel's locks keep them apart, also from different
containers and PID namespaces. What tells hosts apart is the kernel's boot id, which all containers of a host see
alike. A lease names the host, and every process of it renews it. A host that finds another one's lease watches it
for a while: when it is renewed meanwhile, the other host lives; when not, it is taken over. Only the moment of the
renewal's change counts, so the hosts' clocks need not agree.

An orderly end removes the lease. One of an earlier boot tells that its machine stopped without warning while the folder
was in use; the lease goes on saying so until somebody has taken note (`settle`).
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from entrepot.metadata.errors import AnotherHost

_log = logging.getLogger(__name__)

LEASE_NAME: Final = "host.lease"
LOCK_NAME: Final = "host.lock"
#: The record is padded to one length, so that a renewal overwrites it in place, also on a full disk.
_LENGTH: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Who this kernel is. `boot` alone decides; the rest is for people."""

    boot: str
    machine: str
    name: str

    @classmethod
    def this(cls) -> "Host":
        """Describe the host this process runs on."""
        machine = _read("/etc/machine-id")
        name = socket.gethostname()
        return cls(boot=_read("/proc/sys/kernel/random/boot_id") or machine or name, machine=machine, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """How long things take, in seconds."""

    renew: float = 10.0
    #: How long another host's lease is watched; several renewals long.
    watch: float = 25.0
    #: A lease this old by the clock is not watched: no two hosts' clocks are so far apart.
    stale: float = 3600.0
    #: How often it is looked at meanwhile.
    look: float = 1.0


class HostLease:
    """This process's part in its host's lease on a folder."""

    def __init__(self, folder: Path, host: Host, times: LeaseTimes) -> None:
        self._path = folder / LEASE_NAME
        self._host = host
        self._times = times
        self._lost: AnotherHost | None = None
        self._unclean = False
        self._ended = threading.Event()
        self._lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._renewer = threading.Thread(target=self._keep, name="host lease", daemon=True)

    @classmethod
    def take(cls, folder: Path, host: Host | None = None, times: LeaseTimes | None = None) -> "HostLease":
        """Take part in the lease. Blocks while another host's lease is watched.

        Raises:
            AnotherHost: Another host uses the folder.
        """
        lease = cls(folder, host or Host.this(), times or LeaseTimes())
        try:
            fcntl.flock(lease._lock, fcntl.LOCK_SH)
            lease._claim()
        except BaseException:
            os.close(lease._lock)
            raise
        lease._renewer.start()
        return lease

    def require(self) -> None:
        """Refuse to go on when another host has taken the folder over.

        Raises:
            AnotherHost: It has.
        """
        if self._lost is not None:
            raise self._lost

    @property
    def after_unclean_stop(self) -> bool:
        """Tell whether the machine that had the lease before stopped without warning, and nobody took note yet."""
        return self._unclean

    def settle(self) -> None:
        """Take note of the unclean stop. Blocks for a moment."""
        self._unclean = False
        self._renew()

    def release(self) -> None:
        """End this process's part; the last process of the host removes the lease. Blocks for a moment."""
        self._ended.set()
        self._renewer.join()
        if self._lost is None and self._is_last():
            self._path.unlink(missing_ok=True)
        os.close(self._lock)

    def _is_last(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _claim(self) -> None:
        first = _read_record(self._path)
        self._unclean = self._is_foreign(first) or first.get("unclean") is True
        if not self._is_foreign(first):
            self._renew()
            return
        if not self._is_stale(first):
            self._watch(first)
        self._renew()
        # A third host may have waited for the same end; the last to write has won.
        time.sleep(self._times.look)
        record = _read_record(self._path)
        if self._is_foreign(record):
            raise self._another(record)

    def _watch(self, first: dict[str, object]) -> None:
        """Wait until another host's lease counts as left behind."""
        _log.warning(
            "%s may be in use by host %s; watching for %.0f s", self._path.parent, first["name"], self._times.watch
        )
        deadline = time.monotonic() + self._times.watch
        while time.monotonic() < deadline:
            time.sleep(self._times.look)
            record = _read_record(self._path)
            if not self._is_foreign(record):
                self._unclean = record.get("unclean") is True
                return
            if record != first:
                raise self._another(record)

    def _is_foreign(self, record: dict[str, object]) -> bool:
        return bool(record) and record.get("boot") != self._host.boot

    def _is_stale(self, record: dict[str, object]) -> bool:
        renewed = record.get("renewed_at")
        return isinstance(renewed, int) and time.time() - renewed / 1e6 > self._times.stale

    def _another(self, record: dict[str, object]) -> AnotherHost:
        return AnotherHost(
            f"{self._path.parent} is in use by host {record.get('name')!r} and can serve one host only: stop Entrepot "
            "there first; to keep serving while one is replaced, run several replicas on one host"
        )

    def _keep(self) -> None:
        while not self._ended.wait(self._times.renew) and self._lost is None:
            try:
                self._check_and_renew()
            except OSError as error:
                _log.warning("cannot renew %s: %s", self._path, error)

    def _check_and_renew(self) -> None:
        record = _read_record(self._path)
        if self._is_foreign(record):
            self._lost = self._another(record)
            _log.error("%s; no more writes from here", self._lost)
        else:
            self._renew()

    def _renew(self) -> None:
        record = {**asdict(self._host), "renewed_at": time.time_ns() // 1000, "unclean": self._unclean}
        text = json.dumps(record).ljust(_LENGTH - 1) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.pwrite(descriptor, text.encode(), 0)
        finally:
            os.close(descriptor)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _read_record(path: Path) -> dict[str, object]:
    """Return the lease, {} when there is none or it is torn: then its host crashed while it wrote the first one."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
