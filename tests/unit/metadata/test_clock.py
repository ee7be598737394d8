"""Times as they are shown."""

from __future__ import annotations

from entrepot.metadata.clock import told

AT = 1_767_323_045_678_901


def test_what_is_shown_has_times_and_no_microseconds_since_the_epoch() -> None:
    """Those that are not known stay so, and what is no time is left alone."""
    values = {"started_at": AT, "finished_at": None, "blobs_read": AT, "looked": "at"}
    assert told(values) == {**values, "started_at": "2026-01-02T03:04:05Z"}
