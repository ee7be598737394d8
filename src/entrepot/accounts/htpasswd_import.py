"""People from an htpasswd file: with their names, their passwords and, until they sign in, its bcrypt hashes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from entrepot.access.faults import Invalid
from entrepot.access.passwords.htpasswd_entries import is_bcrypt, parse
from entrepot.access.roles import REGISTRY2
from entrepot.accounts.names import checked_name
from entrepot.metadata import events
from entrepot.metadata.database import Database, Transaction, Work
from entrepot.metadata.events import Source
from entrepot.metadata.people import grants, principals, users

#: Why an account has the rights that registry:2 gave to everybody in the file.
ORIGIN = "htpasswd-import"
_BATCH = 200
_LARGEST = 16 << 20
#: bcrypt's cost is a power of two; 14 is about a second.
_DEAREST = 14


@dataclass(slots=True)
class Imported:
    """What became of the lines, by name."""

    added: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)  #: there is an account of that name, which stays as it is
    refused: dict[str, str] = field(default_factory=dict)  #: with the reason


async def import_htpasswd(metadata: Database, file: Path, *, rights: bool, by: Source) -> Imported:
    """Make a local account for each line whose hash is of bcrypt and whose name has none yet.

    Args:
        metadata: The database.
        file: The htpasswd file.
        rights: Whether each new account may do what registry:2 lets everybody in the file do: pull, push and delete
            everywhere. Without, they may do nothing before somebody grants it.
        by: What the audit log says of who imports.

    Raises:
        Invalid: The file cannot be read, or is no htpasswd file.
    """
    report = Imported()
    wanted = list(_usable(await asyncio.to_thread(_read, file), report))
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        added = await metadata.write(_work(batch, rights=rights, by=by), name="import htpasswd")
        report.added += added
        report.present += [name for name, _ in batch if name not in set(added)]
    return report


def _read(file: Path) -> Mapping[str, str]:
    try:
        if file.stat().st_size > _LARGEST:
            raise Invalid(f"{file} is larger than any list of users")
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid(f"{file} cannot be read: {error}") from error


def _usable(entries: Mapping[str, str], report: Imported) -> Iterable[tuple[str, str]]:
    for name, encoded in entries.items():
        try:
            plain = checked_name(name)
        except Invalid as invalid:
            report.refused[name] = str(invalid)
            continue
        reason = _reason(encoded)
        if reason:
            report.refused[name] = reason
        else:
            yield plain, encoded


def _reason(encoded: str) -> str:
    """Say why a hash cannot be taken over; empty when it can."""
    if not is_bcrypt(encoded):
        return "its password is not hashed by bcrypt (htpasswd -B); registry:2 would not let it in either"
    if int(encoded[4:6]) > _DEAREST:
        return f"its hash has a cost above {_DEAREST}: every sign-in would take seconds"
    return ""


def _work(batch: Sequence[tuple[str, str]], *, rights: bool, by: Source) -> Work[list[str]]:
    async def add(tx: Transaction) -> list[str]:
        return [name for name, encoded in batch if await _add(tx, name, encoded, rights=rights, by=by)]

    return add


async def _add(tx: Transaction, name: str, encoded: str, *, rights: bool, by: Source) -> bool:
    """Add one account; False when there is one of that name, or of one that looks the same."""
    if await principals.find(tx, principals.USER, name.lower()) is not None:
        return False
    account = await users.add(tx, name, secret=encoded)
    if account is None:
        return False
    await events.add(tx, events.CREATE, by=by, subject=f"user:{name}", detail={"origin": ORIGIN})
    if rights:
        await grants.add(tx, origin=ORIGIN, role_id=REGISTRY2, principal_id=account.id)
        await events.add(tx, events.GRANT, by=by, subject=f"user:{name}", detail={"role": "registry2"})
    return True
