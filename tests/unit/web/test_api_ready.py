"""The management API is ready before somebody asks, where somebody will."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from entrepot.web.api import mount
from entrepot.web.api.mount import ApiUse, LazyApi

MONTH = 31 * 24 * 3600.0


def counted(use: ApiUse | None) -> tuple[LazyApi, list[int]]:
    """Give an API that counts how often it is built."""
    built: list[int] = []

    async def application(*_: object) -> None:
        """Answer nothing."""

    def build() -> mount.AsgiApp:
        built.append(1)
        return application

    return LazyApi(build, use=use), built


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "_LOOK", 0.05)


async def test_a_new_folder_has_it_ready(tmp_path: Path) -> None:
    """Built once, without a request; the first ones find it there."""
    api, built = counted(ApiUse(tmp_path / "api-used"))
    await api.prepare()
    await api._built()
    assert built == [1]


async def test_nothing_is_built_where_nobody_has_asked_for_a_month(tmp_path: Path) -> None:
    """Until somebody does: from then on it is ready after a start."""
    path = tmp_path / "api-used"
    ApiUse(path).note()
    os.utime(path, (time.time() - MONTH, time.time() - MONTH))
    api, built = counted(ApiUse(path))
    await api.prepare()
    assert built == []
    ApiUse(path).note()
    await api.prepare()
    assert built == [1]


async def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """On a read-only or full disk nothing fails."""
    use = ApiUse(tmp_path / "absent" / "api-used")
    use.note()
    api, built = counted(use)
    await api.prepare()
    assert built == [1]


async def test_it_waits_while_the_process_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests come first: it is built in the first second in which there are few."""
    times = iter([0.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(time, "process_time", lambda: next(times))
    api, built = counted(ApiUse(tmp_path / "api-used"))
    await api.prepare()
    assert built == [1]
    assert next(times, None) is None
