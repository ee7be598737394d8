"""Which tests stay in one process when several share them (`make test` starts one for each core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

#: What is dear to make and is made once for several files.
_TOGETHER = {
    "tests/acceptance/test_buildx.py": "Docker engines",
    "tests/acceptance/test_docker.py": "Docker engines",
    "tests/contracts/ldap/": "directories",
    "tests/http/matrix/": "the matrix",
}


def group_of(nodeid: str) -> str:
    """Return the group of a test: what it shares with other files, else its file."""
    file = nodeid.partition("::")[0]
    return next((group for start, group in _TOGETHER.items() if file.startswith(start)), file)


class ByFile(LoadScopeScheduling):
    """Gives whole groups to processes, in the order of collection: the long ones, of real clients, come first."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        """Prepare for a session; starting with the groups of most tests would leave long ones to the end."""
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
