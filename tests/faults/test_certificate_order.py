"""Getting a certificate by ACME among strangers, silence and other processes; with a service: `acceptance`."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from entrepot.serving import certificate_challenge, certificate_renewal
from entrepot.serving.certificate_challenge import answer_challenges
from entrepot.serving.certificate_order import _alone
from entrepot.serving.certificate_renewal import CertificateRenewal, OrderAttempts
from entrepot.serving.settings import AcmeSettings
from entrepot.telemetry.logs import LogSettings
from entrepot.vault.private_file import replace
from tests.support.certificates import authority, identity
from tests.support.http_client import eventually
from tests.support.ports import free_port

PATH = "/.well-known/acme-challenge/token"


def asked(port: int, path: str = PATH, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Ask as the service does."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_what_it_was_given_and_nothing_else() -> None:
    """Other paths are not found, other methods not known; afterwards nobody listens."""
    port = free_port()
    with answer_challenges("127.0.0.1", port, {PATH: "proof"}):
        assert asked(port) == (200, b"proof")
        for path in ("/", "/.well-known/acme-challenge/", f"{PATH}x", f"{PATH}/../token"):
            assert asked(port, path) == (404, b"")
        assert asked(port, method="POST")[0] == 501
        with pytest.raises(OSError, match="in use"), answer_challenges("127.0.0.1", port, {}):
            pass
    with pytest.raises(ConnectionRefusedError):
        asked(port)


def test_it_listens_on_all_addresses_where_none_is_named() -> None:
    """On those of IPv6 too, where the machine has them."""
    port = free_port()
    with answer_challenges("", port, {PATH: "proof"}):
        assert asked(port) == (200, b"proof")
        if socket.has_dualstack_ipv6():
            assert asked(port, host="::1") == (200, b"proof")


def test_slow_connections_hold_up_neither_others_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not prolong a connection; of too many the oldest go; the end waits for nobody."""
    monkeypatch.setattr(certificate_challenge, "_CONNECTION_SECONDS", 1.0)
    port, over = free_port(), threading.Event()
    with ExitStack() as strangers:
        with answer_challenges("127.0.0.1", port, {PATH: "proof"}):
            slow = strangers.enter_context(socket.create_connection(("127.0.0.1", port)))
            begin = time.monotonic()
            lasted: list[float] = []

            def dribble() -> None:
                try:
                    while not over.wait(0.1):
                        slow.sendall(b"G")
                except OSError:
                    lasted.append(time.monotonic() - begin)

            thread = threading.Thread(target=dribble)
            thread.start()
            assert asked(port) == (200, b"proof")
            thread.join(10)
            over.set()
            assert lasted
            assert 0.9 < lasted[0] < 5
            monkeypatch.setattr(certificate_challenge, "_CONNECTION_SECONDS", 60.0)
            many = [
                strangers.enter_context(socket.create_connection(("127.0.0.1", port)))
                for _ in range(certificate_challenge._CONNECTIONS + 6)
            ]
            assert asked(port) == (200, b"proof")
            many[0].settimeout(5)
            assert many[0].recv(1) == b"", "the oldest was ended"
            many[-1].settimeout(0.1)
            with pytest.raises(TimeoutError):
                many[-1].recv(1)
            end = time.monotonic()
        assert time.monotonic() - end < 2


@pytest.fixture
def silent_service(tmp_path: Path) -> Iterator[AcmeSettings]:
    """Order from a service that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        directory = f"https://127.0.0.1:{listener.getsockname()[1]}/directory"
        yield AcmeSettings(folder=tmp_path / "acme", hosts=("localhost",), directory=directory)


def a_good_pair(folder: Path) -> bytes:
    """Give a certificate that somebody else signed, with its key."""
    identity(signed_by=authority()).write(folder / "chain.pem", folder / "key.pem")
    return (folder / "chain.pem").read_bytes() + (folder / "key.pem").read_bytes()


def runs(renewal: CertificateRenewal) -> bool:
    """Tell whether an order is under way."""
    return renewal.pid is not None


def test_an_order_that_does_not_end_is_stopped_and_counts_as_failed(
    silent_service: AcmeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing would be ordered ever after; a restart does not try at once, and the pause is over in time."""
    with closing(CertificateRenewal(silent_service, LogSettings())) as renewal:
        renewal.look()
        assert runs(renewal)
        attempts = OrderAttempts(silent_service)
        eventually(attempts.path.exists, 30, what="an order that has begun")
        assert not renewal.look()
        assert runs(renewal), "it is given time"
        monkeypatch.setattr(renewal, "_order_ends", time.monotonic())
        assert not renewal.look()
        renewal.look()
        assert not runs(renewal), "stopped, and the next one is to wait"
        assert 50 < attempts.pause() <= 60
    with closing(CertificateRenewal(silent_service, LogSettings())) as restarted:
        restarted.look()
        assert not runs(restarted), "it waits as before the restart"
        monkeypatch.setattr(certificate_renewal, "_FIRST_PAUSE_SECONDS", 0.0)
        restarted.look()
        assert runs(restarted)


def test_a_pair_that_another_process_got_is_taken_over(silent_service: AcmeSettings, tmp_path: Path) -> None:
    """Whether it came while our own order was refused for the other one's, or while we wait for the next try."""
    with closing(CertificateRenewal(silent_service, LogSettings())) as renewal:
        with _alone(silent_service):
            renewal.look()
            assert runs(renewal)
            replace(silent_service.pair, a_good_pair(tmp_path))
            eventually(renewal.look, 30, what="the pair of the other process")
        assert not renewal.look(), "once is enough"
        assert not renewal.look()
        assert not runs(renewal), "there is nothing to order"
    silent_service.pair.unlink()
    with closing(CertificateRenewal(silent_service, LogSettings())) as renewal:
        OrderAttempts(silent_service).count()
        assert not renewal.look()
        replace(silent_service.pair, a_good_pair(tmp_path))
        assert renewal.look()
        assert not runs(renewal)
