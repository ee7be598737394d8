"""TLS files: taken over as a pair, kept out when they do not fit, noticed when they change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.serving import certificate_watch
from entrepot.serving.certificate_watch import CertificateWatch
from entrepot.serving.certificates import Certificates
from entrepot.serving.errors import CertificateRefused
from entrepot.serving.settings import TlsSettings
from tests.support.certificates import authority, identity


@pytest.fixture
def settings(tmp_path: Path) -> TlsSettings:
    """The files of a configuration, with a pair that fits."""
    identity().write(tmp_path / "tls.crt", tmp_path / "tls.key")
    return TlsSettings(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")


@pytest.fixture
def certificates(settings: TlsSettings) -> Iterator[Certificates]:
    """The pair as the server gets it."""
    taken = Certificates(settings)
    yield taken
    taken.close()


def replace_pair(settings: TlsSettings) -> None:
    """Put another fitting pair in place."""
    identity().write(settings.certificate, settings.key)


def spoil(settings: TlsSettings) -> None:
    """Put a certificate in place whose key is another."""
    identity().write(settings.certificate, settings.key.with_name("other.key"))


def test_the_server_gets_certificate_and_key_in_one_file(settings: TlsSettings, certificates: Certificates) -> None:
    """Both are in the file of the same path, whatever happens on disk meanwhile."""
    certificate, key = settings.certificate.read_bytes(), settings.key.read_bytes()
    settings.certificate.unlink()
    settings.key.unlink()
    served = certificates.for_server.pair.read_bytes()
    assert certificate in served
    assert key in served
    assert certificates.for_server.client_cas is None


def test_a_new_pair_takes_the_old_ones_place(settings: TlsSettings, certificates: Certificates) -> None:
    """The path stays and shows the new pair; going back shows the old one."""
    path, before = certificates.for_server.pair, certificates.for_server.pair.read_bytes()
    replace_pair(settings)
    certificates.load()
    assert certificates.for_server.pair == path
    assert settings.certificate.read_bytes() in path.read_bytes()
    certificates.revert()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("spoiling", "message"),
    [
        (lambda s: s.key.unlink(), r"Cannot read .*tls\.key: No such file"),
        (lambda s: s.certificate.write_text("nothing"), r"are not a certificate and its key"),
        (spoil, r"are not a certificate and its key in PEM form"),
        (lambda s: s.certificate.write_bytes(b""), r"are not a certificate and its key"),
    ],
    ids=["missing", "no PEM", "another's key", "empty"],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(
    settings: TlsSettings, certificates: Certificates, spoiling: object, message: str
) -> None:
    """A missing file, no PEM, or the key of another certificate: the old pair stays, the message names the file."""
    before = certificates.for_server.pair.read_bytes()
    spoiling(settings)  # type: ignore[operator]
    with pytest.raises(CertificateRefused, match=message):
        certificates.load()
    assert certificates.for_server.pair.read_bytes() == before


def test_client_authorities_are_handed_over(settings: TlsSettings, tmp_path: Path) -> None:
    """All files of http.tls.clientcas are joined; one without certificates is refused."""
    files = []
    for number in range(2):
        authority(f"authority {number}").write(tmp_path / f"ca{number}.crt", tmp_path / "ca.key")
        files.append(tmp_path / f"ca{number}.crt")
    taken = Certificates(TlsSettings(certificate=settings.certificate, key=settings.key, client_cas=tuple(files)))
    assert taken.for_server.client_cas is not None
    assert taken.for_server.client_cas.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    taken.close()
    files[0].write_text("nothing")
    with pytest.raises(CertificateRefused, match=r"ca0\.crt .*holds no CA certificates"):
        Certificates(TlsSettings(certificate=settings.certificate, key=settings.key, client_cas=tuple(files)))


@pytest.mark.parametrize(
    ("wanted", "used"), [("", "tls1.2"), ("tls1.0", "tls1.2"), ("tls1.2", "tls1.2"), ("tls1.3", "tls1.3")]
)
def test_no_version_below_1_2(settings: TlsSettings, wanted: str, used: str) -> None:
    """Older versions are raised to 1.2."""
    taken = Certificates(TlsSettings(certificate=settings.certificate, key=settings.key, minimum=wanted))
    assert taken.for_server.minimum == used
    taken.close()


class Clock:
    """Time that a test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        patch.setattr(certificate_watch.time, "monotonic", lambda: self.now)

    def ask(self, watch: CertificateWatch, times: int = 1, step: float = 1.0) -> list[bool]:
        """Ask once a second, as the supervisor does."""
        answers = []
        for _ in range(times):
            self.now += step
            answers.append(watch.changed())
        return answers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that the test moves."""
    return Clock(monkeypatch)


def test_a_change_is_taken_over_once_the_files_are_settled(
    settings: TlsSettings, certificates: Certificates, clock: Clock
) -> None:
    """Not in the moment of the change but when the files look the same twice; and once."""
    watch = CertificateWatch(certificates, look_seconds=1)
    assert clock.ask(watch, 3) == [False] * 3
    replace_pair(settings)
    assert clock.ask(watch, 4) == [False, True, False, False]


def test_files_are_looked_at_as_often_as_configured(
    settings: TlsSettings, certificates: Certificates, clock: Clock
) -> None:
    """With 10 s between looks a change is taken over within 11 s, with 0 never."""
    watch, blind = CertificateWatch(certificates, look_seconds=10), CertificateWatch(certificates, look_seconds=0)
    replace_pair(settings)
    answers = clock.ask(watch, 12)
    assert answers.count(True) == 1
    assert True not in answers[:9]
    replace_pair(settings)
    assert True not in clock.ask(blind, 20)


def test_a_half_written_renewal_is_waited_for(
    settings: TlsSettings, certificates: Certificates, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate whose key comes three seconds later is taken without a complaint."""
    watch = CertificateWatch(certificates, look_seconds=1)
    new = identity()
    new.write(settings.certificate, settings.key.with_name("other.key"))
    assert clock.ask(watch, 3) == [False] * 3
    settings.key.with_name("other.key").replace(settings.key)
    assert True in clock.ask(watch, 3)
    assert not caplog.records


def test_a_pair_that_never_fits_is_said_once(
    settings: TlsSettings, certificates: Certificates, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """After five seconds of not fitting there is one record, not one a second; the right pair is taken later."""
    watch = CertificateWatch(certificates, look_seconds=1)
    spoil(settings)
    assert True not in clock.ask(watch, 30)
    assert [record.message for record in caplog.records] == ["changed certificate not taken, the old one stays"]
    replace_pair(settings)
    assert True in clock.ask(watch, 3)


def test_an_order_to_reload_is_answered_at_once(
    settings: TlsSettings, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGHUP takes a pair over without waiting, and complains at once about a bad one."""
    watch = CertificateWatch(certificates, look_seconds=0)
    assert watch.reload()
    spoil(settings)
    assert not watch.reload()
    assert "certificate not reloaded" in caplog.text
