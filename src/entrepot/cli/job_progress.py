"""Watching a run until it ends: its lines as they come, and a bar."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from entrepot.cli.management.api import Api

ENDS: Final = frozenset(("Success", "Error", "Stopped"))
_SECONDS: Final = 0.5
_LAST_LINE: Final = "x-last-line"


async def watch(api: Api, run: int, *, quiet: bool = False) -> dict[str, Any]:
    """Wait for the end of a run and return it; what it says and how far it is is shown on standard error."""
    lines = Lines(api, run)
    from entrepot.cli.progress import watched

    with watched(quiet=quiet) as bar:
        while True:
            found: dict[str, Any] = await api.get(f"/jobs/{run}")
            for line in await lines.new():
                await bar.say(line)
            await bar.step(found["done"], found["total"])
            if found["status"] in ENDS:
                return found
            await asyncio.sleep(_SECONDS)


class Lines:
    """What a run says, from where one left off."""

    def __init__(self, api: Api, run: int) -> None:
        self._api = api
        self._run = run
        self._last = 0

    async def new(self) -> list[str]:
        """Return the lines that were not returned before."""
        reply = await self._api.read(f"/jobs/{self._run}/log", after=self._last)
        self._last = int(reply.headers.get(_LAST_LINE, self._last))
        return reply.body.decode(errors="replace").splitlines()
