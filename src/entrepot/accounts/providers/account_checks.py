"""Asking providers again, in the background, about everybody who signed in by them.

Whoever is due is asked about, those first who wait longest, a few at a time. Somebody whom the provider no longer
vouches for is closed at once. Where it cannot be asked, nothing changes: the account ends by itself after the time
that `Rules.offline` says. So does that of somebody for whom nothing lasting to ask with came, once it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.accounts.providers.model import (
    GripLost,
    PersonGone,
    Provider,
    ProviderError,
    ProviderSource,
    SignInRefused,
    provider_key,
)
from entrepot.accounts.providers.people import People, standing
from entrepot.accounts.providers.provider_tokens import Grips
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.events import Source
from entrepot.metadata.people import provider_tokens
from entrepot.metadata.people.provider_tokens import DueRecord
from entrepot.vault.errors import VaultError

_log = logging.getLogger(__name__)

CHECKER = Source(name="entrepot", credential="internal")
_PAGE = 64
_AT_ONCE = 8


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a round did."""

    confirmed: int = 0
    closed: int = 0
    unanswered: int = 0
    lost: int = 0  #: nothing to ask with is left

    @property
    def asked(self) -> int:
        """How many were asked about."""
        return self.confirmed + self.closed + self.unanswered + self.lost


class ProviderChecks:
    """Asks."""

    def __init__(self, metadata: Reader, source: ProviderSource, people: People, grips: Grips) -> None:
        self._metadata = metadata
        self._source = source
        self._people = people
        self._grips = grips

    async def run(self, stop: asyncio.Event) -> Tally:
        """Ask every provider about everybody who is due."""
        tally = Tally()
        async with asyncio.TaskGroup() as group:
            for provider in await self._source.all():
                group.create_task(self._run_provider(provider, tally, stop))
        return tally

    async def _run_provider(self, provider: Provider, tally: Tally, stop: asyncio.Event) -> None:
        before, after = clock.after(-provider.rules.check), (0, 0)
        while not stop.is_set():
            key = provider_key(provider.name)
            page = await provider_tokens.due(self._metadata, key, before=before, limit=_PAGE, after=after)
            own = Tally()
            await self._ask_about(provider, page, own, stop)
            _add(tally, own)
            if not page or own.unanswered == own.asked:
                return  # nobody is left, or the provider is down: the next round tries again
            after = (page[-1].checked_at, page[-1].id)

    async def _ask_about(
        self, provider: Provider, page: Sequence[DueRecord], tally: Tally, stop: asyncio.Event
    ) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(person: DueRecord) -> None:
            async with slots:
                if not stop.is_set():
                    await self._check(provider, person, tally)

        async with asyncio.TaskGroup() as group:
            for person in page:
                group.create_task(one(person))

    async def _check(self, provider: Provider, person: DueRecord, tally: Tally) -> None:
        try:
            await self._ask(provider, person)
        except (PersonGone, SignInRefused) as error:
            await self._people.close(person.id, person.sealed, str(error), CHECKER)
            _log.info("closed an account", extra={"user": person.name, "provider": provider.name, "reason": str(error)})
            tally.closed += 1
        except GripLost as error:
            await self._grips.let_go(person.id, person.sealed)
            _log.warning(
                "a provider can be asked about an account no more",
                extra={"user": person.name, "provider": provider.name, "reason": str(error)},
            )
            tally.lost += 1
        except (ProviderError, VaultError) as error:
            _log.warning(
                "a provider could not be asked about an account",
                extra={"user": person.name, "provider": provider.name, "reason": str(error)},
            )
            tally.unanswered += 1
        else:
            tally.confirmed += 1

    async def _ask(self, provider: Provider, person: DueRecord) -> None:
        held = await self._grips.open(person.id, person.sealed)
        if held.grip is None:
            return
        told, grip = await provider.ask_again(person.subject, held.grip)
        found = standing(provider.name, told, provider.rules)
        if grip != held.grip:
            await self._grips.replace(person.id, person.sealed, held.grip, grip)
        await self._people.confirm(person.id, found, CHECKER)


def _add(total: Tally, part: Tally) -> None:
    total.confirmed += part.confirmed
    total.closed += part.closed
    total.unanswered += part.unanswered
    total.lost += part.lost
