"""Encryption by the registry itself: certificates renewed, refused, asked of clients."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from entrepot.cli.app import app
from tests.support.certificates import Identity, authority, identity
from tests.support.http_client import Client, certificate_of, eventually, unverified
from tests.support.server import ADMIN_PASSWORD, Server, ServerFailed

MIB = 1024 * 1024


def tls_config(folder: Path, **more: object) -> dict[str, object]:
    """Give a configuration with TLS."""
    tls = {"certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key"), "reload": "1s", **more}
    return {"auth": {"none": {}}, "http": {"tls": tls}}


def write(folder: Path, pair: Identity) -> None:
    """Put a certificate and its key where the configuration has them."""
    pair.write(folder / "tls.crt", folder / "tls.key")


@pytest.fixture
def first(tmp_path: Path) -> Identity:
    """The certificate of the start."""
    pair = identity()
    write(tmp_path, pair)
    return pair


@pytest.fixture
def server(tmp_path: Path, first: Identity) -> Iterator[Server]:
    """A registry with TLS."""
    with Server(tls_config(tmp_path)) as running:
        yield running


def test_it_speaks_tls_and_http_1_only(server: Server, first: Identity) -> None:
    """The certificate of the files is shown, and of the protocols offered HTTP/1.1 is chosen."""
    context = unverified()
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = Client.of(server, tls=context)
    with client.connect() as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.getpeercert(binary_form=True) == first.der
    assert client.request("GET", "/v2/").status == 200


def test_http_2_when_it_is_asked_for(tmp_path: Path, first: Identity) -> None:
    """http.http2.disabled: false offers HTTP/2."""
    config = tls_config(tmp_path)
    config["http"] = {**config["http"], "http2": {"disabled": False}}  # type: ignore[dict-item]
    context = unverified()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Server(config) as server, Client.of(server, tls=context).connect() as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == "h2"
        assert connection.getpeercert(binary_form=True) == first.der


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize(("minimum", "taken"), [("", ["1.2", "1.3"]), ("tls1.3", ["1.3"])])
def test_the_minimum_version(tmp_path: Path, first: Identity, minimum: str, taken: list[str]) -> None:
    """TLS 1.2 is the least without being told, 1.3 when the configuration says so."""
    write(tmp_path, first)
    with Server(tls_config(tmp_path, minimumtls=minimum)) as server:
        assert [version for version in ("1.1", "1.2", "1.3") if speaks(server, version)] == taken


def speaks(server: Server, version: str) -> bool:
    """Say whether a connection of exactly this TLS version is made."""
    number = getattr(ssl.TLSVersion, f"TLSv{version.replace('.', '_')}")
    context = unverified()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = number
    try:
        with Client.of(server, tls=context).connect() as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return connection.version() == f"TLSv{version}"
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.parametrize("asked", [True, False], ids=["SIGHUP", "by itself"])
def test_a_certificate_renewed_during_a_long_upload(
    server: Server, tmp_path: Path, first: Identity, *, asked: bool
) -> None:
    """New connections get the new certificate, on SIGHUP or by itself, while an upload goes on over the old one."""
    client = Client.of(server)
    data = os.urandom(8 * MIB)
    second = identity()

    def slowly() -> Iterator[bytes]:
        yield data[: 4 * MIB]
        assert certificate_of(client) == first.der
        write(tmp_path, second)
        if asked:
            server.signal(signal.SIGHUP)
        eventually(lambda: {certificate_of(client) for _ in range(8)} == {second.der}, what="the new certificate")
        time.sleep(2)
        yield data[4 * MIB :]

    started = client.request("POST", "/v2/a/b/blobs/uploads/")
    patched = client.request("PATCH", started.location, slowly(), {"Content-Type": "application/octet-stream"})
    assert patched.status == 202
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    done = client.request("PUT", f"{patched.location}{'&' if '?' in patched.location else '?'}digest={digest}")
    assert done.status == 201
    eventually(lambda: len(server.children("web")) == 1, what="the end of the old web server")


def test_no_request_fails_while_a_certificate_is_changed(server: Server, tmp_path: Path) -> None:
    """Requests one after the other all through a change of the certificate: each is answered."""
    client = Client.of(server)
    second = identity()
    write(tmp_path, second)
    server.signal(signal.SIGHUP)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        assert client.request("GET", "/v2/").status == 200
    assert certificate_of(client) == second.der


def test_a_pair_that_does_not_fit_is_kept_out(server: Server, tmp_path: Path, first: Identity) -> None:
    """A certificate without its key is not taken, said in the log, and the old one goes on; the right pair is."""
    client = Client.of(server)
    second = identity()
    second.write(tmp_path / "tls.crt", tmp_path / "other.key")
    server.signal(signal.SIGHUP)
    server.wait_for_log("certificate not reloaded, the old one stays")
    for worker in server.web_workers():
        worker.kill()
    eventually(lambda: client.request("GET", "/v2/").status == 200, what="an answer of new workers")
    assert certificate_of(client) == first.der
    (tmp_path / "other.key").replace(tmp_path / "tls.key")
    eventually(lambda: certificate_of(client) == second.der, what="the new certificate")


def test_a_bad_pair_at_the_start_says_which_files(tmp_path: Path) -> None:
    """serve does not start with a key that belongs to another certificate."""
    identity().write(tmp_path / "tls.crt", tmp_path / "other.key")
    identity().write(tmp_path / "other.crt", tmp_path / "tls.key")
    with pytest.raises(ServerFailed, match=r"tls\.crt") as failed:
        Server(tls_config(tmp_path))
    assert "Traceback" not in str(failed.value)


def test_an_old_certificate_of_version_1_is_explained(tmp_path: Path) -> None:
    """Older openssl makes certificates of version 1, which the server cannot use: the message says so."""
    (tmp_path / "plain.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    made = "openssl req -x509 -x509v1 -config plain.cnf -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -days 30"
    subprocess.run([*made.split(), "-subj", "/CN=localhost"], cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(ServerFailed, match="version 1"):
        Server(tls_config(tmp_path))


def test_clients_must_show_a_certificate_of_the_authority(tmp_path: Path, first: Identity) -> None:
    """http.tls.clientcas lets in who has a certificate of it, and nobody else."""
    ours, other = authority(), authority("another authority")
    ours.write(tmp_path / "ca.crt", tmp_path / "ca.key")
    write(tmp_path, first)
    with Server(tls_config(tmp_path, clientcas=[str(tmp_path / "ca.crt")])) as server:
        assert answer_for(server, tmp_path, identity("alice", ours)) == 200
        for stranger in (None, identity("mallory"), identity("eve", other)):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                answer_for(server, tmp_path, stranger)


def test_commands_sign_in_with_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server asks clients for one, `entrepot login --cert` shows it, and so do commands after it."""
    ours = authority()
    ours.write(tmp_path / "ca.crt", tmp_path / "ca.key")
    identity(signed_by=ours).write(tmp_path / "tls.crt", tmp_path / "tls.key")
    identity("alice", ours).write(tmp_path / "alice.crt", tmp_path / "alice.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, words, input=f"{ADMIN_PASSWORD}\n")

    with Server(tls_config(tmp_path, clientcas=[str(tmp_path / "ca.crt")]) | {"auth": "accounts"}) as server:
        login = ("login", server.url, "-u", "admin", "--password-stdin")
        refused = run(*login)
        assert refused.exit_code == 1
        assert "--cert" in refused.output, refused.output
        shown = ("--cert", str(tmp_path / "alice.crt"), "--key", str(tmp_path / "alice.key"))
        assert run(*login, *shown).exit_code == 0
        made = run("project", "create", "team")
        assert made.exit_code == 0, made.output
        assert run("logout").exit_code == 0


def answer_for(server: Server, folder: Path, who: Identity | None) -> int:
    """Ask as somebody; gives the status."""
    context = unverified()
    if who is not None:
        who.write(folder / "client.crt", folder / "client.key")
        context.load_cert_chain(folder / "client.crt", folder / "client.key")
    return Client.of(server, tls=context).request("GET", "/v2/").status


def test_the_key_is_nowhere_on_disk_but_where_it_came_from(server: Server, tmp_path: Path) -> None:
    """The copy that the server reads lies in memory of the supervisor, in no folder and no argument."""
    secret = (tmp_path / "tls.key").read_bytes().splitlines()[1]
    files = [file for file in server.run_folder().rglob("*") if file.is_file()]
    assert not [file for file in files if secret in file.read_bytes()]
    assert not [process for process in server.family() if secret.decode() in " ".join(process.cmdline())]
