"""A directory as operators and the job worker use it: to be tried, and to be synchronised with."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.accounts.directory.model import Directory
from entrepot.accounts.directory.synchronization import Report, Rules, Synchronisation
from entrepot.config.schema.ldap import LdapSync
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source


def rules_of(section: LdapSync) -> Rules:
    """Return what a synchronisation may do."""
    return Rules(create=section.create, most_removed=section.mostremoved)


@dataclass(frozen=True, slots=True, kw_only=True)
class TendedDirectory:
    """What the command line works with."""

    metadata: Database
    directory: Directory
    rules: LdapSync

    async def synchronise(self, *, dry_run: bool, force: bool, create: bool) -> Report:
        """Run once, for a person who waits for the report."""
        rules = Rules(
            create=create or self.rules.create,
            most_removed=self.rules.mostremoved,
            dry_run=dry_run,
            force=force,
        )
        by = Source(name="operator", credential="command line")
        return await Synchronisation(self.metadata, self.directory, rules, by).run()
