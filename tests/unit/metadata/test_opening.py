"""Opening the folder of an embedded registry."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from entrepot.metadata import clock, opening, schema
from entrepot.metadata.engine import ballast as ballast_module
from entrepot.metadata.engine import filesystems
from entrepot.metadata.engine.host_lease import LEASE_NAME, Host, LeaseTimes
from entrepot.metadata.engine.sqlite_copy import copy_database
from entrepot.metadata.errors import AnotherHost, DatabaseFull, DatabaseUnavailable, SchemaTooNew, UnsafeFileSystem
from entrepot.metadata.migrations import script
from entrepot.metadata.opening import METADATA_NAME, WORK_NAME, Stores, open_embedded
from entrepot.metadata.query import RawQuery
from entrepot.metadata.schema import Schema
from tests.support.mounts import free_bytes, small_disk
from tests.support.notes import COUNT, GET, putting

TIMES = LeaseTimes(renew=0.05, watch=0.3, look=0.05)


def current_umask() -> int:
    """Return the bits that this process takes from new files."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Stores]:
    """Open a folder for the length of a block."""
    stores = await open_embedded(folder)
    try:
        yield stores
    finally:
        await stores.close()


async def test_a_new_folder_gets_both_databases(tmp_path: Path) -> None:
    """The folder and its parents are made, both databases have their tables, and closing leaves no logs."""
    folder = tmp_path / "data" / "entrepot"
    async with opened(folder) as stores:
        await stores.metadata.write(putting("a", "1"))
        assert await stores.work.all(RawQuery("SELECT * FROM upload_sessions")) == []
    names = {path.name for path in folder.iterdir()}
    assert {METADATA_NAME, WORK_NAME, "ballast"} <= names
    assert not [name for name in names if name.endswith(("-wal", "-shm"))]
    assert LEASE_NAME not in names


async def test_an_unclean_stop_of_the_machine_is_noted_once(tmp_path: Path) -> None:
    """A folder in use when the machine stopped says since when its bytes are suspect; later starts leave it at that."""
    async with opened(tmp_path) as stores:
        assert await opening.unclean_stop(stores.metadata) == 0
    record = {"boot": "an earlier one", "machine": "here", "name": "here", "renewed_at": 5}
    (tmp_path / LEASE_NAME).write_text(json.dumps(record).ljust(511) + "\n")
    async with opened(tmp_path) as stores:
        noted = await opening.unclean_stop(stores.metadata)
        assert clock.now() - 60_000_000 < noted <= clock.now()
    async with opened(tmp_path) as stores:
        assert await opening.unclean_stop(stores.metadata) == noted


async def test_nobody_else_can_read_the_databases(tmp_path: Path) -> None:
    """They hold hashes of passwords and tokens; also a copy, and files in a folder that others may enter."""
    own, shared = tmp_path / "data" / "entrepot", tmp_path / "shared"
    shared.mkdir(mode=0o755)
    for folder in (own, shared):
        async with opened(folder) as stores:
            await stores.metadata.write(putting("a", "1"))
            copy_database(folder / METADATA_NAME, folder / "copy.db")
            databases = [
                path for path in folder.iterdir() if ".db" in path.name and path.suffix not in {".lock", ".turn"}
            ]
            assert len(databases) >= 7
            assert {path.stat().st_mode & 0o777 for path in databases} == {0o600}
    assert own.stat().st_mode & 0o777 == 0o700
    assert own.parent.stat().st_mode & 0o777 == 0o777 & ~current_umask()


async def test_what_was_written_is_there_after_the_next_start(tmp_path: Path) -> None:
    """A second start finds the first one's rows and builds nothing."""
    async with opened(tmp_path) as stores:
        await stores.metadata.write(putting("a", "1"))
    async with opened(tmp_path) as stores:
        assert await stores.metadata.one(GET, key="a") == ("1",)
        assert stores.metadata.statistics.transactions == 0
        assert stores.work.statistics.transactions == 0


async def test_several_starts_at_once_build_one_schema(tmp_path: Path) -> None:
    """Eight starts at the same instant in an empty folder all come up, on the same tables."""
    all_stores = await asyncio.gather(*(open_embedded(tmp_path) for _ in range(8)))
    await all_stores[0].metadata.write(putting("a", "1"))
    for stores in all_stores:
        assert await stores.metadata.one(GET, key="a") == ("1",)
        await stores.close()


async def test_each_database_syncs_as_it_should(tmp_path: Path) -> None:
    """The truth waits for the disk with every commit, the work in progress does not."""
    async with opened(tmp_path) as stores:
        levels = [
            await database.write(lambda transaction: transaction.one(RawQuery("PRAGMA synchronous")))
            for database in (stores.metadata, stores.work)
        ]
    assert levels == [(2,), (1,)]


async def test_a_second_host_is_refused(tmp_path: Path) -> None:
    """Another host cannot open the folder, and nothing of its try stays open."""
    here = Host.this()
    stores = await open_embedded(tmp_path, host=here, times=TIMES)
    with pytest.raises(AnotherHost):
        await open_embedded(tmp_path, host=replace(here, boot="other"), times=TIMES)
    await stores.metadata.write(putting("a"))
    await stores.close()


async def test_a_succeeded_host_writes_no_more(tmp_path: Path) -> None:
    """When another host has taken the folder over, writes fail and say so."""
    stores = await open_embedded(tmp_path, times=TIMES)
    lease = tmp_path / LEASE_NAME
    lease.write_text(lease.read_text().replace(Host.this().boot, "other"))
    await asyncio.sleep(0.3)
    for database in (stores.metadata, stores.work):
        with pytest.raises(AnotherHost):
            await database.write(putting("a"))
    assert await stores.metadata.one(COUNT) == (0,)
    await stores.close()


async def test_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database is made on a network file system."""
    monkeypatch.setattr(filesystems, "_type_of", lambda folder: 0x6969)
    with pytest.raises(UnsafeFileSystem):
        await open_embedded(tmp_path)
    assert not (tmp_path / METADATA_NAME).exists()


async def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    """The message names the folder and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="chown"):
        await open_embedded(tmp_path / "file" / "entrepot")


async def test_a_folder_that_cannot_be_made_on_a_read_only_file_system_is_explained(tmp_path: Path) -> None:
    """The message says what is wrong, and advises no chown."""
    with small_disk(tmp_path / "disk", "size=1m,ro"):
        with pytest.raises(DatabaseUnavailable, match="mounted read-only") as refused:
            await open_embedded(tmp_path / "disk" / "entrepot")
        assert "chown" not in str(refused.value)


async def test_a_start_without_any_space_says_what_helps(tmp_path: Path) -> None:
    """Where others have taken what was put aside, too, the start names the disk and not the owner."""
    with small_disk(tmp_path / "disk", "size=8m") as disk:
        async with opened(disk / "entrepot"):
            pass
        for name in ("ballast", "reserve"):
            (disk / "entrepot" / name).unlink()
        (disk / "log").write_bytes(bytes(free_bytes(disk)))
        with pytest.raises(DatabaseFull, match="free some space"):
            await open_embedded(disk / "entrepot")


async def test_an_upgrade_keeps_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an existing schema is changed, a copy of everything committed lies beside it, as one file."""
    async with opened(tmp_path) as running:
        await running.metadata.write(putting("a", "1"))
        old = await schema.find(running.metadata)
        assert old is not None
        monkeypatch.setattr(schema, "VERSION", old.version + 1)
        monkeypatch.setattr(script, "statements", lambda dialect, after, to, **_: [f"UPDATE schema SET version = {to}"])
        async with opened(tmp_path) as stores:
            new = Schema(version=old.version + 1, min_reader=old.version, min_writer=old.version)
            assert await schema.find(stores.metadata) == new
    name = f"{METADATA_NAME}.schema-{old.version}"
    copy = sqlite3.connect(tmp_path / name)
    assert copy.execute("SELECT version, (SELECT value FROM settings) FROM schema").fetchone() == (old.version, "1")
    copy.close()
    assert not (tmp_path / f"{name}-wal").exists()


async def test_a_database_that_has_left_us_behind_is_refused_untouched(tmp_path: Path) -> None:
    """An older program stops at once, lets go of everything and changes nothing."""
    async with opened(tmp_path) as stores:
        raise_minimum = RawQuery("UPDATE schema SET version = 9, min_writer = 9")
        await stores.metadata.write(lambda transaction: transaction.execute(raise_minimum))
    for _ in range(2):
        with pytest.raises(SchemaTooNew, match="schema 9"):
            await open_embedded(tmp_path)
    assert LEASE_NAME not in {path.name for path in tmp_path.iterdir()}


async def test_the_ballast_is_put_aside(tmp_path: Path) -> None:
    """With plenty of space, 32 MiB are really taken from the disk."""
    async with opened(tmp_path):
        status = (tmp_path / "ballast").stat()
    assert status.st_size == ballast_module.BALLAST_BYTES
    assert status.st_blocks * 512 >= status.st_size
