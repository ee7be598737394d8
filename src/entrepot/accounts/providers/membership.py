"""The groups of a provider: known here by the provider's name for them, whatever they are called here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from entrepot.accounts.becoming import end_if_administrators
from entrepot.metadata import events, groups, memberships
from entrepot.metadata.database import Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.groups import GroupRecord
from entrepot.metadata.users import UserRecord

_UNFIT: Final = re.compile(r'[,"~#%$:<>`|;\s]+')
_LONGEST: Final = 200
_MOST_TRIES: Final = 100


async def put_into_groups(
    tx: Transaction, user: UserRecord, provider: str, subjects: Sequence[str], by: Source
) -> None:
    """Let somebody be in exactly these groups of a provider, which are made where they are new."""
    known = {group.subject: group for group in await groups.by_subjects(tx, provider, list(subjects))}
    for subject in subjects:
        if subject not in known:
            known[subject] = await _create(tx, provider, subject, by)
    into, out_of = await memberships.replace(tx, user.id, provider, (known[subject].id for subject in subjects))
    await end_if_administrators(tx, user.id, into)
    if into or out_of:
        detail = {"provider": provider, "groups": list(subjects), "added": len(into), "removed": len(out_of)}
        await events.add(tx, events.UPDATE, by=by, subject=f"user:{user.name}", detail=detail)


async def _create(tx: Transaction, provider: str, subject: str, by: Source) -> GroupRecord:
    """Make a group; where its name is taken, by one of ours say, under another: names give rights to nobody."""
    name = _fit(subject)
    for attempt in range(_MOST_TRIES):
        suffix = "" if attempt == 0 else f"@{provider.partition(':')[2]}" + (f"-{attempt}" if attempt > 1 else "")
        group = await groups.add(tx, name + suffix, provider=provider, subject=subject)
        if group is not None:
            detail = {"provider": provider, "of": subject}
            await events.add(tx, events.CREATE, by=by, subject=f"group:{group.name}", detail=detail)
            return group
    raise AssertionError(f"no name is left for the group {subject!r}")


def _fit(subject: str) -> str:
    return _UNFIT.sub("_", subject)[:_LONGEST]
