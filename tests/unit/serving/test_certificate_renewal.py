"""When a certificate is got by ACME: at once in place of a stopgap, and when a third of its life is left."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.serving.certificate_order import _alone
from entrepot.serving.certificate_renewal import OrderAttempts, renewal_time, stopgap
from entrepot.serving.settings import AcmeSettings
from tests.support.certificates import authority, identity


def test_a_third_of_the_life_before_the_end(tmp_path: Path) -> None:
    """The certificate decides, however long the service makes it; the key in the same file is passed over."""
    made = identity(signed_by=authority())
    made.write(tmp_path / "chain.pem", tmp_path / "key.pem")
    pair = (tmp_path / "chain.pem").read_bytes() + (tmp_path / "key.pem").read_bytes()
    begin, end = made.certificate.not_valid_before_utc, made.certificate.not_valid_after_utc
    assert renewal_time(pair, ["localhost"]) == (begin + (end - begin) * 2 / 3).timestamp()
    assert renewal_time(pair, ["localhost", "registry.test"]) == 0, "another name was asked for"


@pytest.mark.parametrize("pair", [stopgap(["localhost"]), b"", b"no certificate"])
def test_at_once_in_place_of_what_nobody_trusts(pair: bytes) -> None:
    """A certificate that the registry signed itself, and a file that cannot be read, are replaced at once."""
    assert renewal_time(pair, ["localhost"]) == 0


def test_one_process_orders_at_a_time(tmp_path: Path) -> None:
    """Of those that serve from one folder; the next may when the first is done."""
    settings = AcmeSettings(folder=tmp_path, hosts=("localhost",))
    with _alone(settings) as first, _alone(settings) as second:
        assert (first, second) == (True, False)
    with _alone(settings) as third:
        assert third


def test_pauses_grow_with_each_failure_and_a_success_ends_them(tmp_path: Path) -> None:
    """To six hours, whatever the clock or the file say; another way to order is tried at once."""
    settings = AcmeSettings(folder=tmp_path, hosts=("localhost",))
    attempts = OrderAttempts(settings)
    assert attempts.pause() == 0
    pauses = []
    for _ in range(7):
        attempts.count()
        pauses.append(round(OrderAttempts(settings).pause()))
    assert pauses == [60, 240, 960, 3840, 15360, 21600, 21600]
    assert OrderAttempts(dataclasses.replace(settings, port=8080)).pause() == 0
    attempts.path.write_text(attempts.path.read_text().replace('"last": ', '"last": 9'))
    assert attempts.pause() == 21600, "the clock was put back"
    attempts.forget()
    assert attempts.pause() == 0
    attempts.path.write_text("nonsense")
    assert attempts.pause() == 0


def test_nothing_of_it_is_imported_where_it_is_not_used() -> None:
    """A registry with a certificate of its own, or none, pays nothing for this."""
    asked = (
        "import sys, entrepot.cli.serve, entrepot.serving.supervisor, entrepot.serving.supervisor_resources, "
        "entrepot.serving.web, "
        "entrepot.bootstrap.web, entrepot.bootstrap.job_worker; print([name for name in sys.modules if "
        "name.split('.')[0] in ('acme', 'josepy', 'requests') or name == 'entrepot.serving.certificate_renewal'])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
