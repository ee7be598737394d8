"""`access.limits`: rates of requests and bytes, and how many uploads go on at once."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import MINIMAL, Load, Refuse


def limits(text: str) -> str:
    """Write a configuration with these limits."""
    return f"{MINIMAL}access: {{limits: {{{text}}}}}\n"


@pytest.mark.parametrize(
    ("written", "bytes_in"),
    [
        ("50GB/hour", "50000000000/hour"),
        ("500MiB/10minute", "524288000/10minute"),
        ("1kB/second", "1000/second"),
        ("7B/day", "7/day"),
        ("999TB/day", "999000000000000/day"),
        ("''", ""),
    ],
)
def test_a_rate_of_bytes_has_a_size_and_a_time(load_text: Load, written: str, bytes_in: str) -> None:
    """Units count by thousands, or by 1,024 where they say so."""
    section = load_text(limits(f"principalbytes: {written}")).config.access.limits
    assert section.rates["principalbytes"] == bytes_in
    assert section.rates["signins"] == "60/minute"


@pytest.mark.parametrize(
    "wrong", ["50/hour", "50GB", "50GB/week", "0GB/hour", "1.5GB/hour", "50gb/hour", "1000TB/day", "-1MB/day"]
)
def test_what_is_no_rate_of_bytes_is_refused(refuse_text: Refuse, wrong: str) -> None:
    """With what to write in its place."""
    (problem,) = refuse_text(limits(f"projectbytes: {wrong}"))
    assert problem.startswith("access.limits.projectbytes: must be a size and a time, such as 50GB/hour")


def test_nothing_is_limited_at_once_unless_it_is_asked_for(load_text: Load) -> None:
    """Places for uploads are off until a number says how many there are."""
    assert load_text().config.access.limits.at_once == {"uploads": 0, "projectuploads": 0}
    section = load_text(limits("uploads: 8, projectuploads: 40")).config.access.limits
    assert section.at_once == {"uploads": 8, "projectuploads": 40}


def test_less_than_no_upload_is_refused(refuse_text: Refuse) -> None:
    """A negative number is a mistake, not a limit."""
    (problem,) = refuse_text(limits("uploads: -1"))
    assert problem.startswith("access.limits.uploads")
