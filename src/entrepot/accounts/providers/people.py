"""The accounts of a provider's people: made, changed, closed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from entrepot.access.faults import Conflict, Fault, Invalid
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.roles import SYSTEM_ADMIN
from entrepot.accounts.lookalike_names import require_free
from entrepot.accounts.names import checked_email, checked_name, checked_text
from entrepot.accounts.providers.mapping import Rules
from entrepot.accounts.providers.membership import put_into_groups
from entrepot.accounts.providers.model import SignInRefused, Told, provider_key
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import grants, principals, provider_tokens, users
from entrepot.metadata.people.users import UserRecord

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What our rules make of what a provider told."""

    provider: str  #: as in the rows
    told: Told
    groups: tuple[str, ...]
    is_admin: bool
    ends_at: int  #: microseconds since the epoch: until then the account works without another answer


def standing(provider: str, told: Told, rules: Rules) -> Standing:
    """Hold what a provider told against our rules.

    Raises:
        SignInRefused: The person may not enter.
    """
    groups = rules.groups_of(told.groups)
    refusal = rules.refusal(groups)
    if refusal:
        raise SignInRefused(refusal)
    return Standing(
        provider=provider_key(provider),
        told=told,
        groups=groups,
        is_admin=rules.is_admin(groups),
        ends_at=clock.after(rules.offline),
    )


class People:
    """Writes the accounts."""

    def __init__(self, metadata: Database) -> None:
        self._metadata = metadata

    async def find(self, provider: str, subject: str) -> UserRecord | None:
        """Return the account of somebody who was here before."""
        return await users.find_by_subject(self._metadata, provider_key(provider), subject)

    async def admit(self, found: Standing, by: Source, *, name: str | None = None) -> Principal:
        """Let somebody in who has just come back from a provider, and note what it told.

        Args:
            found: What the provider told.
            by: From where; its name is replaced by the account's.
            name: What to call a new account; None where there must be one.

        Raises:
            SignInRefused: The account was disabled here, or is gone.
            Conflict: There is another account of this name, or of one that looks the same.
            Invalid: No account can have this name.
        """
        wanted = None if name is None else checked_name(name)

        async def work(tx: Transaction) -> Principal:
            user = await users.find_by_subject(tx, found.provider, found.told.subject)
            if user is None:
                user = await _create(tx, found, wanted, by)
            if user.disabled:
                raise SignInRefused("your account was disabled here; ask the registry's administrators")
            source = _named(by, user.name)
            await _update(tx, user, found, source)
            user = await users.find_by_id(tx, user.id) or user  # what was open may have ended, with its epoch
            await events.add(
                tx, events.SIGN_IN, by=source, subject=f"user:{user.name}", detail={"provider": found.provider}
            )
            return Principal(kind=PrincipalKind.USER, name=user.name, id=user.id, epoch=user.epoch)

        return await self._metadata.write(work, name="sign in by a provider")

    async def confirm(self, user_id: int, found: Standing, by: Source) -> None:
        """Note that a provider still vouches for somebody, and what it tells now."""

        async def work(tx: Transaction) -> None:
            user = await users.find_by_id(tx, user_id)
            if user is not None and (user.provider, user.subject) == (found.provider, found.told.subject):
                await _update(tx, user, found, by)
                await users.set_checked(tx, user.id, clock.now())

        await self._metadata.write(work, name="confirm account")

    async def close(self, user_id: int, sealed: str, reason: str, by: Source) -> None:
        """Close an account until its owner signs in at the provider again, and end all that was open.

        Nothing happens when `sealed` is no longer what is kept of the account: its owner has just signed in.
        """

        async def work(tx: Transaction) -> None:
            user = await users.find_by_id(tx, user_id)
            if user is None or await provider_tokens.find(tx, user_id) != sealed:
                return
            await principals.set_expiry(tx, user.id, clock.now())
            await principals.end_sign_ins(tx, user.id)
            await provider_tokens.put(tx, user.id, None, at=None)
            detail = {"provider": user.provider, "closed": reason}
            await events.add(tx, events.REVOKE, by=by, subject=f"user:{user.name}", detail=detail)

        await self._metadata.write(work, name="close account")

    async def refused(self, provider: str, reason: str, by: Source) -> None:
        """Note that a sign-in failed, in the log and in the audit log."""
        tell(provider, reason, by)

        async def work(tx: Transaction) -> None:
            detail = {"provider": provider_key(provider), "reason": reason[:500]}
            await events.add(tx, events.SIGN_IN, by=by, detail=detail, result=events.FAILURE)

        await self._metadata.write(work, name="failed sign-in")


def tell(provider: str, reason: str, by: Source) -> None:
    """Say in the log that a sign-in failed."""
    _log.warning(
        "sign-in failed: by the provider %a from %s: %s", provider[:40], by.address or "a local socket", reason
    )


async def _create(tx: Transaction, found: Standing, name: str | None, by: Source) -> UserRecord:
    if name is None:
        raise SignInRefused("the account was removed meanwhile; sign in again")
    await require_free(tx, name)
    user = await users.add(tx, name, provider=found.provider, subject=found.told.subject)
    if user is None:
        raise Conflict(f"there is an account named {name} already; choose another name")
    detail = {"provider": found.provider}
    await events.add(tx, events.CREATE, by=_named(by, name), subject=f"user:{name}", detail=detail)
    return user


async def _update(tx: Transaction, user: UserRecord, found: Standing, by: Source) -> None:
    """Bring an account in line with what the provider told; one that is closed opens."""
    email, realname = _email(found.told.email), _line(found.told.realname)
    if (user.email, user.realname) != (email, realname):
        await users.set_profile(tx, user.id, email=email, realname=realname, comment=user.comment)
    await principals.set_expiry(tx, user.id, found.ends_at)
    await put_into_groups(tx, user, found.provider, found.groups, by)
    await _set_admin(tx, user, found, by)


async def _set_admin(tx: Transaction, user: UserRecord, found: Standing, by: Source) -> None:
    given = [grant for grant in await grants.of_principal(tx, user.id) if grant.origin == found.provider]
    if found.is_admin == bool(given):
        return
    if found.is_admin:
        await grants.add(tx, principal_id=user.id, role_id=SYSTEM_ADMIN, origin=found.provider)
        await principals.end_sign_ins(tx, user.id)
    for grant in given:
        await grants.remove(tx, grant.id)
    kind = events.GRANT if found.is_admin else events.REVOKE
    await events.add(
        tx, kind, by=by, subject=f"user:{user.name}", detail={"role": "systemAdmin", "provider": found.provider}
    )


def suggested_name(told: Told) -> str:
    """Return the provider's name for somebody, as far as an account can have it."""
    for name in (told.name, told.name.replace(" ", "_"), told.email.partition("@")[0]):
        try:
            return checked_name(name)
        except Fault:
            continue
    return ""


def _named(by: Source, name: str) -> Source:
    return Source(name=name, address=by.address, credential=by.credential, request=by.request)


def _email(text: str) -> str | None:
    try:
        return checked_email(text)
    except Invalid:
        return None


def _line(text: str) -> str:
    try:
        return checked_text(text[:255], "real name")
    except Invalid:
        return ""
