"""Brings accounts in line with the directory, again and again (`access.ldap.sync`)."""

from __future__ import annotations

import asyncio
import logging

from entrepot.accounts.directory.model import DirectorySource, NoDirectory
from entrepot.accounts.directory.synchronising import Rules, Synchronisation
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source

_log = logging.getLogger(__name__)


class DirectorySync:
    """The job."""

    def __init__(self, metadata: Database, source: DirectorySource, rules: Rules) -> None:
        self._metadata = metadata
        self._source = source
        self._rules = rules

    async def run(self, stop: asyncio.Event) -> None:
        """Go through the directory once, if there is one whose people can be listed."""
        try:
            configured = await self._source.current()
        except NoDirectory as error:
            _log.error("the directory was not synchronised", extra={"reason": str(error)})
            return
        if configured is None or not configured.directory.can_list:
            return
        by = Source(name="directory", credential="job")
        work = asyncio.ensure_future(Synchronisation(self._metadata, configured.directory, self._rules, by).run())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and work.result().counts:
                _log.info("synchronised the directory", extra=work.result().counts)
        finally:
            work.cancel()
            stopping.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)
