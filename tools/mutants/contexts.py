"""A plugin of pytest that tells coverage which test runs."""

from collections.abc import Iterator

import pytest
from coverage import Coverage


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what is reached from the set-up of a test to its end as reached by it."""
    measuring = Coverage.current()
    assert measuring is not None, "run by `coverage run -m pytest`"
    measuring.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        measuring.switch_context("")
