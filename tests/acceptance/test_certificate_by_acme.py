"""Certificates by ACME: a real service (pebble) proves the name by HTTP-01, and issues what clients then see."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.support.certificates import authority, identity
from tests.support.http_client import Client, certificate_of, eventually
from tests.support.ports import free_port
from tests.support.server import Server

HOST = "localhost"


@dataclass
class Pebble:
    """A running service."""

    directory: str
    port: int  #: where it asks for proofs
    ca: Path
    root: str

    def section(self, **more: Any) -> dict[str, Any]:
        """Write `http.tls.letsencrypt` for it."""
        own = {"hosts": [HOST], "directoryurl": self.directory, "addr": f"127.0.0.1:{self.port}", "ca": str(self.ca)}
        return {"letsencrypt": {**own, **more}}


@pytest.fixture
def life() -> int:
    """Give the seconds for which its certificates are good."""
    return 3600


@pytest.fixture
def pebble(tmp_path: Path, tool: Callable[[str], Path], life: int) -> Iterator[Pebble]:
    """Run it on free ports, with a certificate of its own."""
    signer = authority()
    signer.write(tmp_path / "ca.pem", tmp_path / "ca.key")
    identity(signed_by=signer).write(tmp_path / "pebble.pem", tmp_path / "pebble.key")
    listen, manage, http, tls = (free_port() for _ in range(4))
    config = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{manage}",
        "certificate": str(tmp_path / "pebble.pem"),
        "privateKey": str(tmp_path / "pebble.key"),
        "httpPort": http,
        "tlsPort": tls,
        "certificateValidityPeriod": life,
    }
    (tmp_path / "pebble.json").write_text(json.dumps({"pebble": config}))
    log = (tmp_path / "pebble.log").open("wb")
    quick = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
    process = subprocess.Popen(
        [tool("pebble"), "-config", tmp_path / "pebble.json"], env=quick, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))

        def fetch(port: int, path: str) -> str:
            with urllib.request.urlopen(f"https://localhost:{port}{path}", context=trust, timeout=5) as answer:
                return str(answer.read().decode())

        eventually(lambda: "newOrder" in fetch(listen, "/dir"), what="pebble")
        root = fetch(manage, "/roots/0")
        yield Pebble(f"https://localhost:{listen}/dir", http, tmp_path / "ca.pem", root)
    finally:
        process.kill()
        process.wait()
        log.close()


def shown(server: Server) -> x509.Certificate:
    """Give the certificate that clients are shown."""
    return x509.load_der_x509_certificate(certificate_of(Client.of(server)))


def is_issued(certificate: x509.Certificate) -> bool:
    """Tell whether somebody else signed it."""
    return certificate.issuer != certificate.subject


def test_a_certificate_is_got_kept_and_used(pebble: Pebble, tmp_path: Path) -> None:
    """Clients that trust the service trust the registry; account and key are ours alone; a start orders none."""
    config = {"http": {"tls": pebble.section(cachefile="/var/lib/letsencrypt", email="ops@example.org")}}
    with Server(config, data=tmp_path / "data") as server:
        eventually(lambda: is_issued(shown(server)), 60, what="a certificate that was issued")
        trusting = ssl.create_default_context(cadata=pebble.root)
        assert Client.of(server, tls=trusting).request("GET", "/v2/").status == 200
        folder = server.data / "entrepot/acme"
        kept = {"account.pem", "certificate.pem", "lock"}
        eventually(lambda: {file.name for file in folder.iterdir()} == kept, what="the end of the order")
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        first = shown(server)
        assert first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        ) == [HOST]
        assert server.stop() == 0
        server.start()
        assert shown(server) == first


@pytest.mark.parametrize("life", [12])
def test_a_certificate_is_renewed_before_its_end(pebble: Pebble) -> None:
    """With a third of its life left another takes its place, without a restart; requests go on."""
    with Server({"http": {"tls": pebble.section()}}) as server:
        eventually(lambda: is_issued(shown(server)), 60, what="a certificate that was issued")
        first, client = shown(server), Client.of(server)
        deadline = time.monotonic() + 60
        while shown(server) == first:
            assert client.request("GET", "/v2/").status == 200
            assert time.monotonic() < deadline, server.logs()
        assert is_issued(shown(server))


def test_a_stranger_on_the_port_of_the_proof_does_not_keep_the_certificate_away(pebble: Pebble) -> None:
    """Who comes first, sends a byte now and then and stays, holds up neither the service nor the end of the order."""
    over, came = threading.Event(), threading.Event()

    def dribble() -> None:
        while not over.wait(0.002):
            with suppress(OSError), socket.create_connection(("127.0.0.1", pebble.port)) as stranger:
                came.set()
                while not over.wait(0.5):
                    stranger.sendall(b"G")

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        with Server({"http": {"tls": pebble.section()}}) as server:
            eventually(lambda: is_issued(shown(server)), 60, what="a certificate that was issued")
            eventually(lambda: not (server.data / "entrepot/acme/attempts.json").exists(), what="the end of the order")
            assert came.is_set(), "the stranger was there"
    finally:
        over.set()
        thread.join()


def test_a_registry_that_cannot_prove_its_name_serves_and_says_why(pebble: Pebble) -> None:
    """The start does not wait, and orders none after a failure; the log says what the service met and what is next."""
    with Server({"http": {"tls": pebble.section(addr=f"127.0.0.1:{free_port()}")}}) as server:
        server.wait_for_log(r"no certificate \(http\.tls\.letsencrypt\).*localhost.*Port 80", 60)
        assert not is_issued(shown(server))
        assert Client.of(server).request("GET", "/v2/").status == 200
        assert server.stop() == 0
        server.start()
        server.wait_for_log(r"no certificate is ordered yet.*attempts\.json", 10)
