"""What all tests share.

`tests/unit` may not reach a network (`tests/unit/conftest.py`). A test that needs a program asks for it with the `tool`
fixture and fails, naming the Debian package, when the machine lacks it: a silent skip would look like a pass.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tools import find_tool


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """Give a function that finds a program or fails the test with the name of its Debian package."""
    return find_tool
