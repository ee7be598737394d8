"""pgbouncer in transaction mode before a PostgreSQL server, as people run it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.open_folders import let_others_in
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.tools import find_tool

#: What docs/how-to/use-postgresql.md asks for.
TRACKED = "track_extra_parameters = IntervalStyle, default_transaction_read_only"
_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 20
server_idle_timeout = 5
max_prepared_statements = {statements}
{settings}
"""


@dataclass(slots=True, kw_only=True)
class Pooler:
    """A running pgbouncer."""

    port: int
    server: PostgresServer
    _folder: Path
    _process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database by way of it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def kill(self) -> None:
        """End it at once, with all connections."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        as_user: dict[str, object] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
        with (self._folder / "log").open("ab") as log:
            command = [str(find_tool("pgbouncer")), str(self._folder / "pgbouncer.ini")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **as_user)  # type: ignore[call-overload]
        for _ in range(500):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("pgbouncer does not listen")


@contextmanager
def pgbouncer(server: PostgresServer, settings: str = TRACKED, *, statements: int = 200) -> Iterator[Pooler]:
    """Run pgbouncer before a server.

    Args:
        server: Where it leads.
        settings: Lines of its configuration.
        statements: Prepared statements that it keeps for each connection to the server.
    """
    folder = Path(tempfile.mkdtemp(prefix="entrepot-pgbouncer-"))
    let_others_in(folder)
    port = free_port()
    text = _CONFIGURATION.format(server=server.port, port=port, settings=settings, statements=statements)
    (folder / "pgbouncer.ini").write_text(text)
    pooler = Pooler(port=port, server=server, _folder=folder)
    try:
        pooler.start()
        yield pooler
    finally:
        if pooler._process is not None:
            pooler.kill()
        shutil.rmtree(folder, ignore_errors=True)
