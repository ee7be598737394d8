"""The registry as it is deployed, in this process: put together by `bootstrap`, in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from entrepot.bootstrap.web import web
from entrepot.config import load
from entrepot.serving.worker_runtime import WorkerRuntime
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.health_flag import HealthFlag
from entrepot.telemetry.instruments import Metrics
from entrepot.web.application import Application
from tests.support.server import SECRET_KEY

#: What the registry is called among its nodes.
NODE = "node-1"
ADMIN = "admin"
ADMIN_PASSWORD = "the harbour master's own"


class QuietRuntime(WorkerRuntime):
    """What a worker has from its supervisor, without one."""

    def __init__(self, folder: Path) -> None:
        self.node, self.address = NODE, "http://registry.test"
        (folder / "lock").touch()
        self.health = HealthFlag(folder / "unhealthy.json")
        self.folder = folder
        self.metrics = Metrics()
        self.access_log = AccessLog(enabled=False)

    def note(self, text: str) -> None:
        """Show it to nobody."""

    async def problems(self) -> dict[str, str]:
        """Say that there are none."""
        return {}


@asynccontextmanager
async def deployed(
    folder: Path, settings: Mapping[str, str] | None = None, database: str = ""
) -> AsyncIterator[Application]:
    """Run a registry as `make serve` does, whose administrator has `ADMIN_PASSWORD`.

    Args:
        folder: Where its data are.
        settings: Variables, `REGISTRY_…`.
        database: Address of a PostgreSQL database; SQLite when empty.
    """
    data, shared = folder / "data", folder / "shared"
    for each in (data, shared):
        each.mkdir(mode=0o700, exist_ok=True)
    config = load(None, {**(settings or {}), "ENTREPOT_METADATA_URL": database}, data=data).config
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENTREPOT_ADMIN_PASSWORD", ADMIN_PASSWORD)
        if database:
            patch.setenv("ENTREPOT_SECRET_KEY", SECRET_KEY)
        async with web(config, QuietRuntime(shared)) as application:
            yield application
