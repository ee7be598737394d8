"""The groups of a provider: known here by the provider's name for them, whatever they are called here."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.accounts.end_sessions_on_promotion import end_if_administrators
from entrepot.metadata import events
from entrepot.metadata.database import Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import groups, memberships
from entrepot.metadata.people.users import UserRecord


async def put_into_groups(
    tx: Transaction, user: UserRecord, provider: str, subjects: Sequence[str], by: Source
) -> None:
    """Let somebody be in exactly those of these groups of a provider that were made known here.

    A provider tells of every team that somebody is in anywhere; one that nobody gave a name here gives no rights here.
    """
    known = await groups.by_subjects(tx, provider, list(subjects))
    into, out_of = await memberships.replace(tx, user.id, provider, (group.id for group in known))
    await end_if_administrators(tx, user.id, into)
    if into or out_of:
        detail = {
            "provider": provider,
            "groups": sorted(group.subject or "" for group in known),
            "added": len(into),
            "removed": len(out_of),
        }
        await events.add(tx, events.UPDATE, by=by, subject=f"user:{user.name}", detail=detail)
