"""Brings accounts in line with the directory, again and again (`access.ldap.sync`)."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from entrepot.accounts.directory.model import DirectoryError, DirectorySource, NoDirectory
from entrepot.accounts.directory.synchronization import Rules, Synchronisation
from entrepot.jobs.run import JobRun
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.system.jobs.traits import JobTraits

_log = logging.getLogger(__name__)

DIRECTORY_SYNC: Final = JobTraits(
    name="directory-sync",
    title="Bring accounts in line with the directory, where one is configured",
    parameters={"dry_run": False},
    right="user:update",
)


class DirectorySync:
    """The job."""

    def __init__(self, metadata: Database, source: DirectorySource, rules: Rules) -> None:
        self._metadata = metadata
        self._source = source
        self._rules = rules
        self._fault = ""

    async def applies(self) -> bool:
        """Tell whether there is a directory whose people can be listed."""
        try:
            configured = await self._source.current()
        except NoDirectory as error:
            self._tell(str(error))
            return False
        self._fault = ""
        return configured is not None and configured.directory.can_list

    def _tell(self, fault: str) -> None:
        """Log what is wrong with the settings, once: they are looked at often."""
        if fault != self._fault:
            _log.error("the directory is not synchronised", extra={"reason": fault})
        self._fault = fault

    async def run(self, run: JobRun) -> dict[str, int]:
        """Go through the directory once; returns what was changed, by kind of change.

        Raises:
            DirectoryError: There is none, or it cannot be read.
            Stopped: Somebody asked it to end.
        """
        configured = await self._source.current()
        if configured is None:
            raise NoDirectory("no directory is configured: access.ldap has no servers, and auth_mode is not ldap_auth")
        rules = replace(self._rules, dry_run=self._rules.dry_run or run.parameters["dry_run"])
        by = Source(name=run.actor or "directory", credential="job")
        report = await Synchronisation(self._metadata, configured.directory, rules, by, run).run()
        for line in (*report.changes, *report.problems):
            await run.say(line)
        if report.error:
            raise DirectoryError(report.error)
        if report.counts:
            _log.info("synchronised the directory", extra=report.counts)
        return {"people": report.people, **report.counts}
