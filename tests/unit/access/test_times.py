"""How long what was taken may go on at most, put together from what each part waits."""

from entrepot.access.policy import ADMISSION_SECONDS, MAX_AGE
from entrepot.config.schema.auth import Access
from entrepot.config.schema.providers import LONGEST_CHECK
from entrepot.jobs.provider_check import LONGEST_PAUSE
from entrepot.jobs.worker import WorkerTimes

#: Seconds for which a worker decides on what it read before.
REMEMBERED = MAX_AGE + ADMISSION_SECONDS
FIVE_MINUTES = 300.0


def test_a_changed_right_is_in_force_within_thirty_seconds() -> None:
    """A worker remembers for no longer, so no worker decides on what is older."""
    assert REMEMBERED <= 30


def test_a_provider_is_heard_within_five_minutes() -> None:
    """The longest `check` that may be configured, the job's pauses and a worker's memory leave half a minute to ask."""
    times = WorkerTimes()
    assert LONGEST_CHECK + LONGEST_PAUSE + times.poll + REMEMBERED <= FIVE_MINUTES - 30


def test_a_directory_is_heard_within_five_minutes() -> None:
    """Unless configured otherwise; a run may take a minute and a half."""
    ldap = Access().ldap
    assert ldap.sync.enabled
    assert ldap.sync.interval + WorkerTimes().poll + REMEMBERED <= FIVE_MINUTES - 90
