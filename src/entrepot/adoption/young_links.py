"""Taking in what another registry wrote to a bucket since all that was there was known.

A bucket's links are not written behind each change as a folder's are, so they do not say what the metadata say: only
those that are younger count. What they name comes in, and tags follow them; what was deleted there stays here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from entrepot.adoption.intake import Intake
from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.report import Problem, Report
from entrepot.adoption.repository_adoption import Taking
from entrepot.adoption.run import OnProgress, Progress, Tally, note, walk_names
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.oci.reference import RepositoryName
from entrepot.registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class YoungLinks:
    """One run, over a tree that shows young links only."""

    intake: Intake
    report: Report
    settings: RegistrySettings
    on_progress: OnProgress = lambda _progress: None

    async def run(self) -> Progress:
        """Take it in; may be repeated."""
        progress = Progress()
        async for found in walk_names(self.intake.tree):
            note(progress, self.report, [entry for entry in found if isinstance(entry, Problem)])
            for name in found:
                if not isinstance(name, Problem):
                    await self._repository(name, progress)
        return progress

    async def _repository(self, name: RepositoryName, progress: Progress) -> None:
        links = RepositoryLinks(self.intake.tree, name)
        revisions = await asyncio.to_thread(lambda: list(links.revisions()))
        layers = await asyncio.to_thread(lambda: list(links.layers()))
        tags = await asyncio.to_thread(lambda: list(links.tags()))
        if not (revisions or layers or tags):
            return
        progress.total += 1
        tally = Tally(progress, self.report, self.on_progress)
        taking = Taking(
            metadata=self.intake.metadata,
            links=links,
            guard=_let,
            pushes_win=False,
            rules=self.settings.tag_rules,
            paces=self.intake.paces,
            on_piece=tally.piece,
        )
        repository = await taking.repository()
        await taking.manifests(iter(revisions))
        await taking.layers(repository, iter(layers))
        await taking.tags(iter(tags))
        await taking.finish()
        tally.end(name, taking.result)


async def _let(_tx: Transaction, _repository: RepositoryRecord) -> None:
    """Have nothing against it: what is taken in is younger than whatever is there."""
