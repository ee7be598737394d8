"""The first account: made once, with one password, whatever starts or dies at the same instant."""

import asyncio
import multiprocessing
from pathlib import Path

import pytest

from entrepot.access.admin_account import FILE, NAME, ensure_admin, set_password
from entrepot.access.errors import SetupError
from entrepot.access.roles import ensure_roles
from entrepot.access.tokens.signing_keys import load_or_create
from entrepot.accounts.passwords import PasswordRule
from entrepot.adapters.identity.accounts import LocalAccounts, hash_password
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.people import principals
from entrepot.metadata.tables import metadata
from entrepot.vault.private_file import create_once
from tests.support.databases import create_all
from tests.support.rows import all_grants


def cheap(password: str) -> str:
    return f"hashed:{password}"


async def secret_of(database: Database) -> str | None:
    record = await principals.find(database, principals.USER, NAME)
    return None if record is None else record.secret


async def test_the_first_start_makes_the_account(database: Database, tmp_path: Path) -> None:
    """The made-up password is printed once, kept in a private file, and signs in to an account that may everything."""
    notice = await ensure_admin(database, tmp_path, hash_password)
    file = tmp_path / FILE
    password = file.read_text().strip()
    assert notice is not None
    assert password in notice
    assert str(file) in notice
    assert len(password) >= 20
    assert file.stat().st_mode & 0o777 == 0o600
    stored = await LocalAccounts(database).find(NAME)
    assert stored is not None
    assert stored.encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert LocalAccounts(database).matches(stored.encoded, password)
    (grant,) = await all_grants(database)
    assert (grant.principal_id, grant.role, grant.permissions) == (stored.principal.id, "systemAdmin", {"*:*"})
    assert (grant.project, grant.repositories, grant.tags, grant.expires_at) == (None, None, None, None)


async def test_the_next_start_changes_nothing(database: Database, tmp_path: Path) -> None:
    """Neither the password nor the grants, and nothing is printed."""
    await ensure_admin(database, tmp_path, cheap)
    before = await secret_of(database)
    assert await ensure_admin(database, tmp_path, cheap) is None
    assert await ensure_admin(database, tmp_path, cheap, "given later") is None
    assert await secret_of(database) == before
    assert len(await all_grants(database)) == 1


async def test_a_given_password_is_neither_printed_nor_kept(database: Database, tmp_path: Path) -> None:
    """ENTREPOT_ADMIN_PASSWORD is the operator's to keep."""
    assert await ensure_admin(database, tmp_path, cheap, "chosen") is None
    assert await secret_of(database) == "hashed:chosen"
    assert not (tmp_path / FILE).exists()


async def test_a_start_that_died_between_file_and_account(database: Database, tmp_path: Path) -> None:
    """The password in the file is the one that signs in, also when the account was made by a later start."""
    create_once(tmp_path / FILE, lambda: b"left behind\n")
    notice = await ensure_admin(database, tmp_path, cheap)
    assert notice is not None
    assert "left behind" in notice
    assert await secret_of(database) == "hashed:left behind"


async def test_the_file_goes_when_the_password_is_changed(database: Database, tmp_path: Path) -> None:
    """A changed password leaves no file that says otherwise, and ends what the old one opened."""
    await ensure_admin(database, tmp_path, cheap)
    assert await set_password(database, tmp_path, cheap, NAME, "mine")
    assert not (tmp_path / FILE).exists()
    assert await secret_of(database) == "hashed:mine"
    record = await principals.find(database, principals.USER, NAME)
    assert record is not None
    assert record.epoch == 1
    assert not await set_password(database, tmp_path, cheap, "nobody", "mine")


@pytest.mark.parametrize(("mode", "content"), [(0o644, "secret\n"), (0o600, "\n")])
async def test_an_unusable_file_stops_the_start(mode: int, content: str, database: Database, tmp_path: Path) -> None:
    """A password that others may have read, or an empty one, is never used."""
    (tmp_path / FILE).write_text(content)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(SetupError, match="remove it"):
        await ensure_admin(database, tmp_path, cheap)
    assert await secret_of(database) is None


async def _start(folder: Path) -> tuple[str | None, str, str | None, str]:
    database = SqliteDatabase(folder / "metadata.db")
    await ensure_roles(database)
    notice = await ensure_admin(database, folder, hash_password)
    secret = await secret_of(database)
    password = (folder / FILE).read_text().strip()
    await database.close()
    assert secret is not None
    assert LocalAccounts(database).matches(secret, password)
    return notice, password, secret, load_or_create(folder / "keys").current.id


def _process(folder: str, barrier: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue") -> None:
    barrier.wait()
    results.put(asyncio.run(_start(Path(folder))))


async def test_processes_that_start_at_the_same_instant(tmp_path: Path) -> None:
    """Of four starts on one empty folder one prints the password; all know the same one, and the same keys."""
    database = SqliteDatabase(tmp_path / "metadata.db")
    await create_all(database, metadata)
    await database.close()
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_process, args=(str(tmp_path), barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sum(notice is not None for notice, *_ in outcomes) == 1
    assert len({outcome[1:] for outcome in outcomes}) == 1
    left = sorted(path.name for path in (*tmp_path.iterdir(), *(tmp_path / "keys").iterdir()))
    assert not [name for name in left if name.startswith(".")], left


@pytest.mark.parametrize(
    "given", ["Harbor12345", "Harbor1234567", "admin", "adminadminadmin", "Password123456", "changeme1234"]
)
async def test_cve_2026_4404_a_password_that_everybody_knows_opens_nothing(
    database: Database, tmp_path: Path, given: str
) -> None:
    """There is no default password, and one that is tried first cannot be chosen: the start fails, and says why."""
    with pytest.raises(SetupError, match="ENTREPOT_ADMIN_PASSWORD"):
        await ensure_admin(database, tmp_path, cheap, given, PasswordRule().checked)
    assert await secret_of(database) is None
    await ensure_admin(database, tmp_path, cheap, "seven boats at anchor", PasswordRule().checked)
    assert await secret_of(database) == cheap("seven boats at anchor")


async def test_cve_2026_4404_no_two_registries_have_one_password(tmp_path: Path) -> None:
    """What is made up is 144 random bits, anew for each registry."""
    made = set()
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        database = SqliteDatabase(folder / "metadata.db")
        try:
            await create_all(database, metadata)
            await ensure_roles(database)
            await ensure_admin(database, folder, cheap)
            made.add((folder / FILE).read_text().strip())
        finally:
            await database.close()
    assert len(made) == 3
    assert min(map(len, made)) >= 24
