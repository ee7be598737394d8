"""What lies in `examples/` does what it says (the files in `examples/config` have a test of their own)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server import Server

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Tool = Callable[[str], Path]


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a program to its end and give what it printed; a failure carries everything it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=os.environ | environment, text=True, check=False, capture_output=True)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def free_port() -> int:
    """Find a port of the loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_file_goes_up_and_comes_back(tmp_path: Path, tool: Tool) -> None:
    """The script pushes a file as an artifact that a real client finds, and fetches the same bytes."""
    (tmp_path / "report.pdf").write_bytes(bytes(range(256)) * 4096)
    script = (sys.executable, EXAMPLES / "artifact.py")
    with Server() as server:
        login = {"REGISTRY_LOGIN": f"admin:{server.admin_password}"}
        target = f"{server.address}/team/reports:2025"
        digest = run(*script, "push", tmp_path / "report.pdf", target, **login)
        run(*script, "pull", target, tmp_path / "copy.pdf", **login)
        options = ("--plain-http", "--username", "admin", "--password", server.admin_password)
        assert run(tool("oras"), "resolve", *options, target) == digest
    assert (tmp_path / "copy.pdf").read_bytes() == (tmp_path / "report.pdf").read_bytes()


@contextmanager
def nginx(folder: Path, program: Path) -> Iterator[None]:
    """Keep nginx running with the configuration in the folder."""
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"], cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_nginx_in_front_changes_nothing_for_clients(tmp_path: Path, tool: Tool) -> None:
    """Behind nginx as configured in the example, a real client pushes and pulls over TLS, and is sent back to nginx."""
    inner, outer = free_port(), free_port()
    conf = (EXAMPLES / "behind-nginx" / "nginx.conf").read_text(encoding="utf-8")
    conf = conf.replace("127.0.0.1:5000", f"127.0.0.1:{inner}").replace("listen 5443", f"listen 127.0.0.1:{outer}")
    (tmp_path / "nginx.conf").write_text(conf, encoding="utf-8")
    make_certificate(tmp_path, tool("openssl"))
    (tmp_path / "htpasswd").write_text(run(tool("htpasswd"), "-Bbn", "alice", "s3cret"), encoding="utf-8")
    text = (EXAMPLES / "behind-nginx" / "config.yml").read_text(encoding="utf-8")
    text = text.replace("./htpasswd", str(tmp_path / "htpasswd")).replace("./data", str(tmp_path / "data"))
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))  # larger than any buffer on the way

    registry = f"127.0.0.1:{outer}"
    login = ("--insecure", "--username", "alice", "--password", "s3cret")
    with Server(text=text, listen=f"127.0.0.1:{inner}"), nginx(tmp_path, tool("nginx")):
        await_port(outer)
        run(tool("oras"), "push", *login, f"{registry}/team/big:1", "big", cwd=tmp_path)
        run(tool("oras"), "pull", *login, f"{registry}/team/big:1", "--output", tmp_path / "pulled")
        ask = ("-sk", "-u", "alice:s3cret", "-X", "POST", "-o", "/dev/null", "-w", "%header{location}")
        location = run(tool("curl"), *ask, f"https://{registry}/v2/team/big/blobs/uploads/")
    assert (tmp_path / "pulled" / "big").read_bytes() == (tmp_path / "big").read_bytes()
    assert location.startswith(f"https://{registry}/v2/team/big/blobs/uploads/")


def make_certificate(folder: Path, openssl: Path) -> None:
    """Make a certificate that signs itself."""
    run(
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", "/CN=127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
    )


def await_port(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nobody listens on port {port}")
