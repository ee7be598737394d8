"""Health checks and what becomes of their results."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrepot.serving.asked_uri import shown_uri
from entrepot.serving.check_kind import CheckKind, in_public
from entrepot.serving.health import Health
from entrepot.serving.health_checks import Check, FileCheck, HealthSettings, HttpCheck, StorageCheck
from entrepot.telemetry.health_flag import HealthFlag


class Probe:
    """A probe that a test lets fail."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.asked = 0

    def __call__(self) -> str | None:
        """Say what the test wants."""
        self.asked += 1
        return self.problem


@pytest.fixture
def probe() -> Probe:
    """A probe that finds nothing."""
    return Probe()


@pytest.fixture
def flag(tmp_path: Path) -> HealthFlag:
    """What workers read."""
    return HealthFlag(tmp_path / "unhealthy.json")


@pytest.fixture
def health(probe: Probe, flag: HealthFlag) -> Iterator[Health]:
    """One check, failing from the third failure in a row on."""
    checks = (Check(name="probe", kind=CheckKind.STORAGE, probe=probe, interval=0.1, threshold=3),)
    running = Health(HealthSettings(checks=checks), flag.path)
    running.start()
    yield running
    running.stop()


def until(check: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_check_fails_from_its_threshold_on_and_recovers(probe: Probe, health: Health, flag: HealthFlag) -> None:
    """Two failures do not count when three are needed; workers are told when the debug listener tells."""
    until(lambda: probe.asked >= 1)
    assert health.problems() == {}
    probe.problem = "no answer"
    seen = probe.asked
    until(lambda: health.problems() == {"probe": "no answer"})
    assert probe.asked - seen >= 3
    assert flag.problems() == {"storage": "the storage does not work"}
    probe.problem = None
    until(lambda: health.problems() == {})
    assert flag.problems() == {}


def test_setting_it_down_by_hand_stays_until_it_is_set_up(health: Health, flag: HealthFlag) -> None:
    """POST /debug/health/down is one problem among the others."""
    health.set_down(down=True)
    health.set_down(down=True)
    assert list(health.problems()) == ["manual_http_status"]
    assert flag.problems() == {"manual": "taken out of service by an operator"}
    health.set_down(down=False)
    assert health.problems() == {}


def test_draining_is_seen_by_workers(health: Health, flag: HealthFlag) -> None:
    """/readyz says no as soon as the registry is being stopped."""
    health.draining()
    assert flag.problems() == {"draining": "the registry is being stopped"}


def test_a_probe_that_breaks_is_a_failed_check(flag: HealthFlag) -> None:
    """An exception in a probe is its finding, and the next check is still made."""

    def broken() -> str | None:
        raise ZeroDivisionError("broken")

    fine = Probe()
    checks = (
        Check(name="broken", kind=CheckKind.TCP, probe=broken, interval=0.1),
        Check(name="fine", kind=CheckKind.TCP, probe=fine, interval=0.1),
    )
    health = Health(HealthSettings(checks=checks), flag.path)
    health.start()
    until(lambda: fine.asked >= 2)
    assert health.problems() == {"broken": "check failed: broken"}
    health.stop()


def test_a_file_check_fails_while_the_file_exists(tmp_path: Path) -> None:
    """As in registry:2: creating the file takes the registry out of service."""
    check = FileCheck(file=tmp_path / "down")
    assert check.probe() is None
    (tmp_path / "down").touch()
    assert check.probe() == "file exists"


def test_a_storage_check_looks_at_the_folder(tmp_path: Path) -> None:
    """A folder that is gone is said with its name."""
    assert StorageCheck(folder=tmp_path).probe() is None
    missing = StorageCheck(folder=tmp_path / "missing").probe()
    assert missing == f"{tmp_path / 'missing'} cannot be read: No such file or directory"


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "ftp://127.0.0.1/", "nonsense"])
def test_an_http_check_opens_http_addresses_only(uri: str) -> None:
    """Other schemes are never opened."""
    assert HttpCheck(uri=uri).probe() == "the URI is not an http or https address"


@pytest.mark.parametrize(
    "uri",
    ["http://robot:s3cret@:5000/", "http://robot:s3/cret@host/", "http://robot:s3cret@host:x/", "http://[s3cret/"],
)
def test_a_malformed_uri_is_not_quoted(uri: str) -> None:
    """Where its parts cannot be told apart, none of them is shown."""
    for text in (shown_uri(uri), HttpCheck(uri=uri).probe()):
        assert text is not None
        assert not {"s3", "cret"} & set(re.findall("s3|cret", text))


def test_what_readyz_tells_has_no_details(flag: HealthFlag) -> None:
    """Names of folders, addresses and errors are for the debug address; anybody may ask for /readyz."""
    kinds = (CheckKind.STORAGE, CheckKind.FILE, CheckKind.HTTP, CheckKind.TCP)
    checks = tuple(
        Check(name=f"/secret/{kind}", kind=kind, probe=lambda: "cannot read /secret", interval=9) for kind in kinds
    )
    health = Health(HealthSettings(checks=checks), flag.path)
    health.start()
    until(lambda: len(flag.problems()) == 4)
    health.stop()
    assert flag.problems() == in_public(kinds)
    assert "/secret" not in flag.path.read_text()
    assert health.problems()["/secret/tcp"] == "cannot read /secret"
