"""API keys: made, shown, replaced and removed. The secret is known to whoever made the key, at that moment only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from entrepot.access.api_key_limits import KeyLimit
from entrepot.access.api_keys import hash_key, hint_of, new_key
from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.access.model import Principal
from entrepot.accounts.key_rules import check_end, check_name, checked_limits, require_to_speak_for
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import api_keys, principals
from entrepot.metadata.people.api_keys import ApiKeyRecord
from entrepot.metadata.people.principals import PrincipalRecord

#: Keys that one account may have.
MOST_KEYS = 100
#: Seconds for which the key that was replaced may go on at most.
LONGEST_GRACE = 30 * 24 * 3600
#: Seconds for which keys that have ended are still shown.
_SHOWN_AFTER_END = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made, with its secret."""

    record: ApiKeyRecord
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a key will be."""

    name: str
    secret: str = field(repr=False)
    limits: str | None
    expires_at: int | None
    replaces: int | None = None


class Keys:
    """The keys of users and robots.

    The account is one's own, or one whose rights one has oneself. Who acts is asked for because a key that was limited
    must not make one that is not.
    """

    def __init__(self, database: Database, authorizer: Authorizer) -> None:
        self._database = database
        self._authorizer = authorizer

    async def list(self, owner_id: int) -> Sequence[ApiKeyRecord]:
        """Return the keys of an account, oldest first."""
        return await api_keys.of_principal(self._database, owner_id)

    async def find(self, owner_id: int, key_id: int) -> ApiKeyRecord:
        """Return one key of an account.

        Raises:
            NotFound: The account has none of this id.
        """
        return await _owned(self._database, owner_id, key_id)

    async def create(
        self,
        owner_id: int,
        name: str,
        *,
        acting: Principal | None,
        by: Source,
        limits: Sequence[KeyLimit] | None = None,
        expires_at: int | None = None,
    ) -> NewKey:
        """Make a key.

        Args:
            owner_id: The account it signs in.
            name: For people; unique among the account's keys.
            acting: Who asks for it; None for the operator at the machine.
            by: What the audit log says of who asks.
            limits: All that the key may be used for; None: whatever the account may.
            expires_at: Its end (microseconds since the epoch); None: never.

        Raises:
            Invalid: The name, a limit or the end cannot be.
            Conflict: The account has a key of this name, or too many.
            Forbidden: The key could do more than who asks.
            NotFound: There is no such account.
        """
        check_name(name)
        check_end(expires_at)
        draft = _Draft(name=name, secret=new_key(), limits=checked_limits(limits), expires_at=expires_at)
        owner = await self._owner(owner_id)
        await self._require_to_speak_for(acting, owner_id, draft)

        async def work(tx: Transaction) -> ApiKeyRecord:
            await api_keys.remove_ended(tx, owner_id, clock.after(-_SHOWN_AFTER_END))
            await _require_room(tx, owner_id, name)
            return await _add(tx, owner, draft, by)

        return NewKey(record=await self._database.write(work, name="make API key"), secret=draft.secret)

    async def rotate(
        self,
        owner_id: int,
        key_id: int,
        *,
        acting: Principal | None,
        by: Source,
        grace: float = 0,
        expires_at: int | None = None,
    ) -> NewKey:
        """Put a new key of the same name and limits in the place of one.

        Args:
            owner_id: Whose key it is.
            key_id: The one to replace; with it goes whatever it opened.
            acting: Who asks for it; None for the operator at the machine.
            by: What the audit log says of who asks.
            grace: Seconds for which the old secret still signs in.
            expires_at: The new key's end; None: that of the old one, which must lie ahead.

        Raises:
            NotFound: The account has no key of this id.
            Invalid: The grace is too long, or the end cannot be.
            Forbidden: The key could do more than who asks.
        """
        if not 0 <= grace <= LONGEST_GRACE:
            raise Invalid(f"the old key can go on for {LONGEST_GRACE // 86400} days at most")
        owner, old = await self._owner(owner_id), await self.find(owner_id, key_id)
        end = old.expires_at if expires_at is None else expires_at
        check_end(end)
        draft = _Draft(name=old.name, secret=new_key(), limits=old.limits, expires_at=end, replaces=key_id)
        await self._require_to_speak_for(acting, owner_id, draft)

        async def work(tx: Transaction) -> ApiKeyRecord:
            await _retire(tx, await _owned(tx, owner_id, key_id), grace)
            await _require_room(tx, owner_id, draft.name)
            return await _add(tx, owner, draft, by)

        return NewKey(record=await self._database.write(work, name="replace API key"), secret=draft.secret)

    async def rename(self, owner_id: int, key_id: int, name: str, *, by: Source) -> ApiKeyRecord:
        """Give a key another name.

        Raises:
            NotFound: The account has no key of this id.
            Invalid: The name cannot be.
            Conflict: The account has a key of this name.
        """
        check_name(name)
        owner = await self._owner(owner_id)

        async def work(tx: Transaction) -> ApiKeyRecord:
            old = await _owned(tx, owner_id, key_id)
            if old.name != name:
                await _require_room(tx, owner_id, name)
                await api_keys.rename(tx, owner_id, key_id, name)
                await _note(tx, events.UPDATE, owner, name, by, {"was": old.name})
            return await _owned(tx, owner_id, key_id)

        return await self._database.write(work, name="rename API key")

    async def remove(self, owner_id: int, key_id: int, *, by: Source) -> None:
        """Remove a key, and with it whatever it opened.

        Raises:
            NotFound: The account has no key of this id.
        """
        owner = await self._owner(owner_id)

        async def work(tx: Transaction) -> None:
            old = await _owned(tx, owner_id, key_id)
            await api_keys.remove(tx, owner_id, key_id)
            await _note(tx, events.DELETE, owner, old.name, by, {"hint": old.hint})

        await self._database.write(work, name="remove API key")

    async def _owner(self, owner_id: int) -> PrincipalRecord:
        found = await principals.find_by_id(self._database, owner_id)
        if found is None or found.kind == principals.GROUP:
            raise NotFound("there is no such account")
        return found

    async def _require_to_speak_for(self, acting: Principal | None, owner_id: int, draft: _Draft) -> None:
        await require_to_speak_for(
            self._database, self._authorizer, acting, owner_id, limits=draft.limits, end=draft.expires_at
        )


async def _owned(reader: Reader, owner_id: int, key_id: int) -> ApiKeyRecord:
    found = await api_keys.find_by_id(reader, key_id)
    if found is None or found.principal_id != owner_id:
        raise NotFound("the account has no such key")
    return found


async def _require_room(tx: Transaction, owner_id: int, name: str) -> None:
    others = await api_keys.of_principal(tx, owner_id)
    if len(others) >= MOST_KEYS:
        raise Conflict(f"the account has {MOST_KEYS} keys; remove one that is not needed any more")
    if any(other.name == name for other in others):
        raise Conflict(f"the account has a key named {name!r}; choose another name, or replace that key")


async def _retire(tx: Transaction, old: ApiKeyRecord, grace: float) -> None:
    if grace == 0:
        await api_keys.remove(tx, old.principal_id, old.id)
        return
    end = min(clock.after(grace), old.expires_at or clock.after(grace))
    await api_keys.retire(tx, old.id, name=f"{old.name} (replaced, {old.id})", expires_at=end)


async def _add(tx: Transaction, owner: PrincipalRecord, draft: _Draft, by: Source) -> ApiKeyRecord:
    key_id = await api_keys.add(
        tx,
        owner.id,
        name=draft.name,
        hashed=hash_key(draft.secret),
        hint=hint_of(draft.secret),
        limits=draft.limits,
        expires_at=draft.expires_at,
    )
    detail = {"key": key_id, "hint": hint_of(draft.secret), "limits": draft.limits, "expires_at": draft.expires_at}
    detail |= {} if draft.replaces is None else {"replaces": draft.replaces}
    await _note(tx, events.CREATE, owner, draft.name, by, detail)
    return await _owned(tx, owner.id, key_id)


async def _note(
    tx: Transaction, kind: str, owner: PrincipalRecord, name: str, by: Source, detail: Mapping[str, object]
) -> None:
    await events.add(tx, kind, by=by, subject=f"key:{owner.name}/{name}", detail=detail)
