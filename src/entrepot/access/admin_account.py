"""The first account: `admin`, who may do everything.

The password comes from ENTREPOT_ADMIN_PASSWORD, or is made up and kept in a file that only we can read until it is
changed. The file is there before the account is: whichever process makes the account, and wherever one is killed, the
password in the file is the one that signs in. Where nodes share a database on a server, there is no such file: the one
process that makes the account shows the password once, and `entrepot admin password` sets another.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from entrepot.access.errors import SetupError
from entrepot.access.faults import Invalid
from entrepot.access.roles import SYSTEM_ADMIN
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import grants, principals, users
from entrepot.vault.private_file import create_once, remove

NAME = "admin"
VARIABLE = "ENTREPOT_ADMIN_PASSWORD"
#: In the state folder, beside the databases.
FILE = "admin-password"
_ORIGIN = "first-start"

Hash = Callable[[str], str]
#: Returns a password as it is hashed, given it and the account's name; raises Invalid.
Check = Callable[[str, str], str]


async def ensure_admin(
    database: Database, folder: Path | None, hash_password: Hash, given: str = "", check: Check | None = None
) -> str | None:
    """Make the admin account if there is none yet.

    Args:
        database: The metadata.
        folder: The state folder, for the password's file; None to keep it nowhere.
        hash_password: Hashes slowly; called in a thread.
        given: The first password, if the operator chose one.
        check: Whether a chosen password will do; the same rule as for everybody else's.

    Returns:
        A notice to print, for the one process that made the account with a made-up password.

    Raises:
        SetupError: The password's file cannot be used, or the chosen one is no password to choose.
    """
    if await principals.find(database, principals.USER, NAME) is not None:
        return None
    path = None if folder is None else folder / FILE
    password = _checked(given, check) or (secrets.token_urlsafe(18) if path is None else _made_up(path))
    encoded = await asyncio.to_thread(hash_password, password)
    made = await database.write(lambda tx: _create(tx, encoded), name="first account")
    if not made:
        return None
    if given:
        _forget(path)
        return None
    kept = "shown this once, and kept nowhere" if path is None else f"kept in {path} until it is changed"
    return f"The first password of the account '{NAME}' is {password} - it is {kept}."


async def set_password(database: Database, folder: Path | None, hash_password: Hash, name: str, password: str) -> bool:
    """Change an account's password, and end everything the old one opened; False when there is no such account.

    The file with the first password goes before the change is answered: what it says is no longer true.
    """
    account = await principals.find(database, principals.USER, name)
    if account is None:
        return False
    encoded = await asyncio.to_thread(hash_password, password)
    await database.write(lambda tx: users.set_password(tx, account.id, encoded), name="set password")
    forget_first_password(folder, name)
    return True


def forget_first_password(folder: Path | None, name: str) -> None:
    """Remove the file with the first password once that of the account `name` was changed, if it is the account's."""
    if name == NAME:
        _forget(None if folder is None else folder / FILE)


def _forget(path: Path | None) -> None:
    if path is not None:
        remove(path)


def _checked(given: str, check: Check | None) -> str:
    """Return a chosen password: a well-known one, such as an example's or another registry's, is a door left open."""
    if not given or check is None:
        return given
    try:
        return check(given, NAME)
    except Invalid as error:
        raise SetupError(f"{VARIABLE}: {error}; without the variable, a password is made up") from None


def _made_up(path: Path) -> str:
    create_once(path, lambda: secrets.token_urlsafe(18).encode() + b"\n")
    if path.stat().st_mode & 0o077:
        raise SetupError(f"{path} can be read by others; remove it, and the next start makes a new password")
    password = path.read_text().strip()
    if not password:
        raise SetupError(f"{path} is empty; remove it, and the next start makes a new password")
    return password


async def _create(tx: Transaction, encoded: str) -> bool:
    account = await users.add(tx, NAME, secret=encoded)
    if account is None:
        return False
    await grants.add(tx, principal_id=account.id, role_id=SYSTEM_ADMIN, origin=_ORIGIN)
    return True
