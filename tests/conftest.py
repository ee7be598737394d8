"""What all tests share.

`tests/unit` may not reach a network (`tests/unit/conftest.py`). A test that needs a program asks for it with the `tool`
fixture and fails, naming the Debian package, when the machine lacks it: a silent skip would look like a pass.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer

from tests.support.object_stores import azurite, fake_gcs, seaweedfs
from tests.support.side_by_side import ByFile
from tests.support.tools import find_tool

__all__ = ["azurite", "fake_gcs", "seaweedfs"]


@pytest.hookimpl(optionalhook=True)  # without xdist nothing is shared
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Share the tests among processes by groups."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """Give a function that finds a program or fails the test with the name of its Debian package."""
    return find_tool


@pytest.fixture(autouse=True)
def _no_ballast_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove the ballast of the registries of a test: 64 MiB each, those of a thousand tests would fill a disk."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        for name in ("ballast", "reserve"):
            for file in (found for above in ("", "*/", "*/*/") for found in folder.glob(above + name)):
                file.unlink(missing_ok=True)
