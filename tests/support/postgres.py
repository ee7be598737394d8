"""A PostgreSQL server for tests: made in a temporary folder, on a free port of the loopback, stopped at the end.

PostgreSQL refuses to run as root, so under root it runs as the user `postgres` of the Debian package.
"""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Identity
from tests.support.open_folders import let_others_in
from tests.support.ports import free_port

_numbers = itertools.count()

PACKAGE = "postgresql-15"
#: An older version, which is tested beside the newest that is installed.
OLDER = 15
START_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running server."""

    port: int
    folder: Path
    version: int | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, give its address, and drop it in the end, whoever is still connected."""
        name = f"registry_{os.getpid()}_{next(_numbers)}"
        self._run("createdb", "--template=template0", name)
        try:
            yield self.url(name)
        finally:
            self._run("dropdb", "--force", name)

    def ask(self, url: str, question: str) -> str:
        """Ask one of the databases; nothing where that fails."""
        words = [str(find_binaries(self.version) / "psql"), "-qAt", "-c", question, url]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=START_SECONDS).stdout

    def _run(self, program: str, *arguments: str) -> None:
        where = ("--host=127.0.0.1", f"--port={self.port}", "--username=postgres")
        subprocess.run(
            [str(find_binaries(self.version) / program), *where, *arguments], check=True, timeout=START_SECONDS
        )


@contextmanager
def running_postgres(
    version: int | None = None, settings: Mapping[str, object] | None = None, tls: Identity | None = None
) -> Iterator[PostgresServer]:
    """Start a server and stop it in the end.

    Args:
        version: Of PostgreSQL, the newest unless given.
        settings: More of them.
        tls: What it shows to who connects with TLS.

    Raises:
        AssertionError: The binaries are not installed, or the server did not come up.
    """
    binaries, more = find_binaries(version), dict(settings or {})
    folder = Path(tempfile.mkdtemp(prefix="entrepot-postgres-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        _give_to_postgres(folder)
        _make_cluster(binaries, folder)
        port = free_port()
        if tls is not None:
            more |= _with_tls(folder, tls)
        process = _start(binaries, folder, port, more)
        _wait_until_ready(binaries, folder, process, port)
        yield PostgresServer(port=port, folder=folder, version=version)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def find_binaries(version: int | None = None) -> Path:
    """Return the folder of initdb and postgres, the newest version that Debian has installed or what PATH has."""
    installed = Path("/usr/lib/postgresql").glob(f"{version or '*'}/bin")
    candidates = sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
    on_path = None if version else shutil.which("initdb")
    candidates += [Path(on_path).resolve().parent] if on_path else []
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise AssertionError(f"these tests need PostgreSQL's initdb and postgres: apt-get install {PACKAGE} postgresql-17")


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]


def _give_to_postgres(folder: Path) -> None:
    if os.geteuid() == 0:
        let_others_in(folder)
        os.chown(folder, *_postgres_user())


def _make_cluster(binaries: Path, folder: Path) -> None:
    arguments = ["-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--no-locale"]
    command = [*_as_postgres(), str(binaries / "initdb"), *arguments]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    assert made.returncode == 0, f"initdb failed: {made.stderr}"


def _with_tls(folder: Path, tls: Identity) -> dict[str, object]:
    certificate, key = folder / "server.crt", folder / "server.key"
    tls.write(certificate, key)
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, *_postgres_user())
        certificate.chmod(0o644)
    return {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key}


def _postgres_user() -> tuple[int, int]:
    user = pwd.getpwnam("postgres")
    return user.pw_uid, user.pw_gid


def _start(binaries: Path, folder: Path, port: int, more: Mapping[str, object]) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "deadlock_timeout": "20ms",
        "shared_buffers": "32MB",
        **more,
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    command = [*_as_postgres(), str(binaries / "postgres"), "-D", str(folder / "data"), *options]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def _wait_until_ready(binaries: Path, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
    probe = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(probe, check=False).returncode != 0:
        log = (folder / "log").read_text(errors="replace")
        assert process.poll() is None, f"postgres ended: {log}"
        assert time.monotonic() < deadline, f"postgres was not ready in {START_SECONDS} s: {log}"
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # SIGTERM would wait for clients
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
