"""A certificate is renewed under clients that trust its authority, while one of them uploads for a long time."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

from tests.support.certificates import Identity, identity
from tests.support.network import ADDRESS, Network
from tests.support.places import Place, run_with_tls
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal


def shown(terminal: Terminal, place: Place) -> str:
    """Ask which certificate a new connection gets."""
    ask = ("s_client", "-connect", place.address, "-verify_return_error", "-CAfile", terminal.more["SSL_CERT_FILE"])
    said = terminal.run("openssl", *ask)
    return said.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]


def test_an_upload_goes_on_while_the_certificate_is_renewed(
    terminal: Terminal, network: Network, signer: Identity, tmp_path: Path, busybox: Path
) -> None:
    """An upload begun under the old certificate ends well; who comes after gets the new one and pushes on."""
    data = os.urandom(8 << 20)
    with run_with_tls(network, tmp_path, signer) as place:
        login = ("--user", ":".join(place.login or ()))
        uploads = f"https://{place.address}/v2/tls/slow/blobs/uploads/"
        ask = ("--silent", "--fail-with-body", *login, "--output", "/dev/null", "--write-out", "%header{location}")
        location = terminal.run("curl", *ask, "--request", "POST", uploads)
        os.mkfifo(tmp_path / "data")
        slowly = ("--upload-file", tmp_path / "data", "--request", "PATCH")
        before = shown(terminal, place)
        with (
            terminal.program("curl", *ask, *slowly, location, log=tmp_path / "log") as upload,
            (tmp_path / "data").open("wb", buffering=0) as rest,
        ):
            rest.write(data[: len(data) // 2])
            identity("registry", signer, ADDRESS).write(tmp_path / "cert.pem", tmp_path / "key.pem")
            place.server.signal(signal.SIGHUP)  # it would notice by itself, some seconds later
            await_another(terminal, place, before)
            assert upload.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
            rest.write(data[len(data) // 2 :])
            rest.close()
            assert upload.wait(timeout=60) == 0, (tmp_path / "log").read_text(encoding="utf-8")
        location = (tmp_path / "log").read_text(encoding="utf-8")
        joint = "&" if "?" in location else "?"
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        terminal.run("curl", *ask, "--request", "PUT", f"{location}{joint}digest={digest}")
        skopeo = Skopeo(terminal, place)
        skopeo.login()
        skopeo.to_registry(busybox, "tls/after:1")


def await_another(terminal: Terminal, place: Place, before: str) -> None:
    """Wait until a new connection gets another certificate."""
    deadline = time.monotonic() + 30
    while shown(terminal, place) == before:
        assert time.monotonic() < deadline, f"the old certificate is still shown\n{place.server.logs()}"
        time.sleep(0.2)
