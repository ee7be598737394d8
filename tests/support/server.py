"""A real `entrepot serve` on a free port in a folder of its own, for tests that need processes.

    with Server(config={...}) as server:
        requests to server.url, as ("admin", server.admin_password)

It is stopped by its pid and nothing else; when a test fails, `server.logs()` says what it said.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import yaml

ADMIN_PASSWORD = "password-of-the-admin-in-tests"
#: What every node of one registry is given, where its metadata are in PostgreSQL.
SECRET_KEY = base64.b64encode(bytes(range(32))).decode()
START_SECONDS = 60.0

_READY = re.compile(r"""^\s+address\s+(?P<url>\S+)$|listening on (?P<json>[^"]+)\"""", re.MULTILINE)
_DEBUG = re.compile(r"""(?:^\s+debug\s+|"debug":")(http://\S+?)/debug/health""", re.MULTILINE)


class ServerFailed(AssertionError):
    """The server ended, or did not become ready; the text holds its output."""


class Server:
    """A running registry.

    Args:
        config: Sections of a config.yml, laid over a minimal one (`version`, storage in `data` unless they name an
            object store, a free port, a debug listener); None starts without a file, as a person without one would.
        text: A whole config.yml instead, taken as it is.
        data: The folder of the data; made in a temporary folder when None, and removed at the end.
        database: Address of a PostgreSQL database for the metadata; SQLite files in the folder when empty.
        env: More environment variables; one set to None is taken away.
        workers: Web processes.
        arguments: More arguments for `serve`.
        prefix: Put before the command, such as `["unshare", "--pid", "--fork"]`.
        listen: The address; a free port of the loopback when None.
        start: Start at once; else call `start`.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        text: str | None = None,
        data: Path | None = None,
        database: str = "",
        env: Mapping[str, str | None] | None = None,
        workers: int | None = 2,
        arguments: list[str] | None = None,
        prefix: list[str] | None = None,
        listen: str | None = "127.0.0.1:0",
        start: bool = True,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="entrepot-server-"))
        self.data = data or self.folder / "data"
        self._database = database
        self._config = {} if database and config is None and text is None else config
        self._text = text
        self._env = dict(env or {})
        self._workers = workers
        self._arguments = arguments or []
        self._prefix = prefix or []
        self._listen = listen
        self._output: list[str] = []
        self._reader: threading.Thread | None = None
        self.process: subprocess.Popen[str] | None = None
        self._mark = 0  # where the output of the present start begins
        self._begun = 0.0
        self.package: Path | None = None  #: where the package of another version lies; this version runs when None
        self.started_in = 0.0  #: seconds from the start to being ready
        self.url = ""  #: http://127.0.0.1:PORT, https:// or unix:PATH
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    # ------------------------------------------------------------------------------------------------ life

    def start(self, *, wait: bool = True) -> Self:
        """Start it (again), on the address it had before; waits until it is ready.

        Raises:
            ServerFailed: It ended before that.
        """
        assert self.process is None, "the server runs already"
        self._begun, self._mark = time.monotonic(), len(self._output)
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        if wait:
            self.wait_until_ready()
        return self

    def stop(self, *, timeout: float = 40.0) -> int:
        """Stop it as an operator would (SIGTERM); returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """Kill the supervisor with -9, and wait until none of its processes is left."""
        family = self.family()
        self.signal(signal.SIGKILL)
        self.wait(10)
        gone, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, f"still running after the supervisor was killed: {alive}; {len(gone)} gone"

    def wait(self, timeout: float = 40.0) -> int:
        """Wait for its end; returns the exit code."""
        assert self.process is not None, "the server does not run"
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"the server did not end within {timeout} s\n{self.logs()}") from None
        if self._reader:
            self._reader.join(5)
        self.process = None
        return code

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.pid, number)

    def close(self) -> None:
        """Stop it, if it runs, and remove what it made in temporary folders."""
        if self.process is not None:
            family = self.family()
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for process in family:  # with a prefix such as unshare, the children are not ours to be signalled by pid
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"--- output of the server\n{self.logs()}\n---")
        self.close()

    # ------------------------------------------------------------------------------------------- processes

    @property
    def pid(self) -> int:
        """Pid of the supervisor, as seen from here; below a prefix such as `unshare` it is a child."""
        assert self.process is not None, "the server does not run"
        if self._prefix:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if child.cmdline()[1:3] == self.command()[len(self._prefix) :][:2]:
                    return child.pid
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """List all its processes, the one that was started first."""
        try:
            assert self.process is not None, "the server does not run"
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def web_main(self) -> psutil.Process:
        """Return the process that holds the web workers; of two (a certificate was changed) the younger."""
        return self._child("web")

    def web_workers(self) -> list[psutil.Process]:
        """List the processes that answer requests."""
        return _workers_of(self.web_main())

    def job_worker(self) -> psutil.Process:
        """Return the process that runs jobs."""
        return self._child("job")

    def children(self, role: str) -> list[psutil.Process]:
        """List the supervisor's children of a role: one, or two while one takes the other's place."""
        children = psutil.Process(self.pid).children()
        return [child for child in children if child.cmdline()[3:5] == ["entrepot.serving.process", role]]

    def run_folder(self) -> Path:
        """Return the folder in memory that its processes share: the supervisor listens there for their notices."""
        sockets = [str(own.laddr) for own in psutil.Process(self.pid).net_connections("unix")]
        return next(Path(path).parent for path in sockets if "/entrepot-run-" in path)

    def _child(self, role: str) -> psutil.Process:
        found = self.children(role)
        if not found:
            raise LookupError(f"there is no {role} process now")
        return max(found, key=lambda child: child.create_time())

    # ---------------------------------------------------------------------------------------------- access

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, as clients name a registry."""
        return self.url.partition("://")[2]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def admin_password(self) -> str:
        """Password of the account `admin`: what the environment gave, or what the first start made."""
        file = self.data / "entrepot" / "admin-password"
        if file.exists():
            return file.read_text().strip()
        return self.environment().get("ENTREPOT_ADMIN_PASSWORD", "")

    @property
    def authorization(self) -> str:
        """An Authorization header of the admin."""
        return "Basic " + base64.b64encode(f"admin:{self.admin_password}".encode()).decode()

    def logs(self) -> str:
        """Return everything it wrote so far, over all starts."""
        return "".join(self._output)

    def wait_for_log(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """Wait until its output matches."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.logs())):
            if time.monotonic() > deadline:
                raise ServerFailed(f"no {pattern!r} within {timeout} s in\n{self.logs()}")
            time.sleep(0.02)
        return found

    # --------------------------------------------------------------------------------------------- command

    def command(self) -> list[str]:
        """Give the command line."""
        command = [*self._prefix, str(Path(sys.executable).parent / "entrepot"), "serve"]
        if (file := self._config_file()) is not None:
            command.append(str(file))
        elif not self._arguments or "--data" not in self._arguments:
            command += ["--data", str(self.data)]
        if self._listen is not None:
            command += ["--listen", self._listen]
        if self._workers is not None:
            command += ["--workers", str(self._workers)]
        return [*command, *self._arguments]

    def run(self, *arguments: str) -> str:
        """Run another `entrepot` command with the server's environment; returns what it printed."""
        command = [str(Path(sys.executable).parent / "entrepot"), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Give the environment: ours without what would configure a registry, and what the test adds."""
        foreign = ("REGISTRY_", "ENTREPOT_", "PYTHONDONTWRITEBYTECODE")  # the last would make each start compile anew
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        wanted = {"ENTREPOT_ADMIN_PASSWORD": ADMIN_PASSWORD, **self._env}
        if self._database:
            wanted = {"ENTREPOT_SECRET_KEY": SECRET_KEY, **wanted}
        if self.package is not None:
            wanted["PYTHONPATH"] = str(self.package)
        return {**kept, **{name: value for name, value in wanted.items() if value is not None}}

    def _config_file(self) -> Path | None:
        if self._text is None and self._config is None:
            return None
        file = self.folder / "config.yml"
        file.write_text(self._text if self._text is not None else yaml.safe_dump(self._whole_config()))
        return file

    def _whole_config(self) -> dict[str, Any]:
        elsewhere = {"s3", "azure", "gcs"} & set((self._config or {}).get("storage", {}))
        base: dict[str, Any] = {
            "version": "0.1",
            "storage": {} if elsewhere else {"filesystem": {"rootdirectory": str(self.data)}},
            "http": {"debug": {"addr": "127.0.0.1:0", "prometheus": {"enabled": True}}},
        }
        if self._database:
            base["metadata"] = {"url": self._database}
            base["auth"] = "accounts"
        # Through JSON: the caller's mappings stay as they are, and YAML writes no aliases.
        return _merged(base, json.loads(json.dumps(self._config)))

    # --------------------------------------------------------------------------------------------- output

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._output.append(line)
        process.stdout.close()

    @property
    def debug_url(self) -> str:
        """Return the URL of the debug listener, which is told a line or two after that it is ready; empty without one.

        Where there is none it takes a second.
        """
        deadline = time.monotonic() + 1
        while not (found := _DEBUG.search("".join(self._output[self._mark :]))) and time.monotonic() < deadline:
            time.sleep(0.005)
        return found[1] if found else ""

    def wait_until_ready(self) -> None:
        """Wait until it says where it listens.

        Raises:
            ServerFailed: It ended before that.
        """
        assert self.process is not None
        while not (found := _READY.search("".join(self._output[self._mark :]))):
            if self.process.poll() is not None:
                code = self.wait()
                raise ServerFailed(f"the server ended with exit code {code} before it was ready\n{self.logs()}")
            if time.monotonic() - self._begun > START_SECONDS:
                raise ServerFailed(f"the server was not ready within {START_SECONDS} s\n{self.logs()}")
            time.sleep(0.005)
        self.started_in = time.monotonic() - self._begun
        self.url = (found["url"] or found["json"]).replace("[::]", "127.0.0.1")
        if self._listen and self._listen.endswith(":0"):
            self._listen = self.address


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _workers_of(process: psutil.Process) -> list[psutil.Process]:
    """List the workers below a process; it has no other children."""
    return process.children()
