"""The grant `registry2-compat`: what registry:2 gives to everybody who gets past its `auth`.

It is a row like any other, to be seen and removed. A start adds it once for each way to sign in, so that a grant which
was removed stays removed, and takes it back when the configuration asks for another way.
"""

from __future__ import annotations

from entrepot.access.model import Audience
from entrepot.access.roles import REGISTRY2
from entrepot.metadata import settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import grants
from entrepot.metadata.transaction_turns import in_turn

ORIGIN = "registry2-compat"


async def ensure_compatibility(database: Database, audience: Audience | None) -> None:
    """Make the grant fit the configuration: to an audience, or (None) to nobody."""
    wanted = audience.value if audience is not None else ""
    if (await settings.find(database, ORIGIN) or "") != wanted:
        await database.write(lambda tx: _change(tx, wanted), name="registry2-compat")


async def _change(tx: Transaction, wanted: str) -> None:
    await in_turn(tx, ORIGIN)  # of several that start at once
    if (await settings.find(tx, ORIGIN) or "") == wanted:
        return
    await grants.remove_from(tx, ORIGIN)
    if wanted:
        await grants.add(tx, audience=wanted, role_id=REGISTRY2, origin=ORIGIN)
    await settings.put(tx, ORIGIN, wanted)
