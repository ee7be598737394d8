"""Which backups stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from entrepot.backup.catalogue import BackupInfo
from entrepot.backup.prune import Keep

START = datetime(2026, 1, 1, 3, tzinfo=UTC)


def backup(moment: datetime) -> BackupInfo:
    """Make up a backup of a moment."""
    at = int(moment.timestamp() * 1_000_000)
    return BackupInfo(
        id=f"{moment:%Y-%m-%d %H}",
        created_at=at,
        finished_at=at,
        version="1",
        schema=3,
        blobs=0,
        bytes=0,
        new_blobs=0,
        new_bytes=0,
        database_sha256="",
        database_bytes=0,
        blobs_sha256="",
        keys_sha256=None,
    )


#: Two a day for 100 days: to the 10th of April.
BACKUPS = [backup(START + timedelta(hours=12 * number)) for number in range(200)]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (Keep(last=2), ["2026-04-10 03", "2026-04-10 15"]),
        (Keep(daily=3), ["2026-04-08 15", "2026-04-09 15", "2026-04-10 15"]),
        (Keep(weekly=3), ["2026-03-29 15", "2026-04-05 15", "2026-04-10 15"]),
        (Keep(monthly=12), ["2026-01-31 15", "2026-02-28 15", "2026-03-31 15", "2026-04-10 15"]),
        (Keep(yearly=2), ["2026-04-10 15"]),
        (Keep(last=1, daily=2, monthly=2), ["2026-03-31 15", "2026-04-09 15", "2026-04-10 15"]),
        (Keep(), []),
    ],
)
def test_the_newest_of_each_period_stay(keep: Keep, kept: list[str]) -> None:
    """Whatever order they come in."""
    assert sorted(keep.choose(BACKUPS)) == kept
    assert keep.choose(list(reversed(BACKUPS))) == set(kept)


def test_keeping_nothing_is_said() -> None:
    """So that nobody removes everything by leaving an option out."""
    assert Keep().is_empty
    assert not Keep(yearly=1).is_empty
