"""Sealing everything anew."""

import secrets
from pathlib import Path

import pytest
from sqlalchemy import bindparam, update

from entrepot.metadata import clock, data_keys, sealed, settings
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals
from entrepot.metadata.query import Query
from entrepot.metadata.tables import data_keys as data_keys_table
from entrepot.metadata.tables import users
from entrepot.vault.errors import SecretUnreadable, VaultError
from entrepot.vault.master import VARIABLE, KeySource
from entrepot.vault.rotation import rotate
from entrepot.vault.vault import Vault

BY = Source(name="root", credential="command line")
_ADD_USER = Query(
    lambda d: d.insert(users).values(
        principal_id=bindparam("id"), realname="", comment="", provider="local", totp=bindparam("totp")
    ),
    "test.add_user",
)
_AGE = Query(update(data_keys_table).values(created_at=bindparam("at")), "test.age_data_keys")


async def fill(database: Database, vault: Vault, count: int = 3) -> None:
    """Seal secrets in two columns, beside a setting that is none."""
    for number in range(count):
        await database.write(
            lambda tx, name=f"user{number}": principals.create(tx, principals.USER, name, secret=None), name="test"
        )
        record = await principals.find(database, principals.USER, f"user{number}")
        assert record is not None
        text = await vault.seal(f"totp{number}", sealed.about(sealed.TOTP, record.id))
        await database.write(lambda tx, row=record.id, text=text: tx.execute(_ADD_USER, id=row, totp=text))
        key = f"key{number}"
        text = await vault.seal(f"setting{number}", sealed.about(sealed.SETTING, key))
        await database.write(lambda tx, key=key, text=text: settings.put(tx, key, text))
    await database.write(lambda tx: settings.put(tx, "plain", "no secret"))


async def opened(database: Database, vault: Vault) -> list[str]:
    """Open everything."""
    texts = []
    for place in sealed.PLACES:
        page = await sealed.page(database, place, after=sealed.before_first(place), limit=1000)
        texts += [await vault.open(text, sealed.about(place, key)) for key, text in page]
    return texts


EVERYTHING = ["totp0", "totp1", "totp2", "setting0", "setting1", "setting2"]


async def test_everything_is_sealed_anew(database: Database, vault: Vault, source: KeySource) -> None:
    """All secrets get the new data key, the secret key is another, and a running process opens them all the same."""
    await fill(database, vault)
    before = source.load()
    done = await rotate(database, source, BY)
    assert (done.secrets, done.unreadable, done.new_master) == (6, (), True)
    newest = await data_keys.newest(database)
    assert newest is not None
    for place in sealed.PLACES:
        page = await sealed.page(database, place, after=sealed.before_first(place), limit=1000)
        assert all(text.startswith(f"sealed:1:{newest.id}:") for _, text in page)
    assert await opened(database, vault) == EVERYTHING
    assert await opened(database, Vault(database, source)) == EVERYTHING
    after = source.load()
    assert before.current.id not in after.known
    assert await settings.find(database, "plain") == "no secret"


async def test_a_key_that_just_went_out_of_use_stays_an_hour(
    database: Database, vault: Vault, source: KeySource
) -> None:
    """What another process sealed a moment before and writes a moment after the rotation still opens."""
    await fill(database, vault, 1)
    late = await vault.seal("late", sealed.about(sealed.SETTING, "late"))
    await rotate(database, source, BY)
    await rotate(database, source, BY)
    assert len(await data_keys.list_all(database)) == 3
    await database.write(lambda tx: settings.put(tx, "late", late))
    assert await Vault(database, source).open(late, sealed.about(sealed.SETTING, "late")) == "late"
    await database.write(lambda tx: tx.execute(_AGE, at=clock.after(-7200)))
    done = await rotate(database, source, BY)
    assert (done.secrets, done.data_keys) == (3, 2)
    assert sorted(await opened(database, vault)) == ["late", "setting0", "totp0"]


async def test_an_operators_key_is_replaced_in_two_steps(database: Database, tmp_path: Path) -> None:
    """With the new key in front of the old one everything is wrapped anew; after that the old one is not needed."""
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    await fill(database, Vault(database, KeySource(tmp_path, {VARIABLE: old})))
    with pytest.raises(VaultError, match="put the old key behind"):
        await rotate(database, KeySource(tmp_path, {VARIABLE: new}), BY)
    done = await rotate(database, KeySource(tmp_path, {VARIABLE: f"{new},{old}"}), BY)
    assert (done.secrets, done.new_master) == (6, False)
    assert await opened(database, Vault(database, KeySource(tmp_path, {VARIABLE: new}))) == EVERYTHING
    with pytest.raises(SecretUnreadable):
        await opened(database, Vault(database, KeySource(tmp_path, {VARIABLE: old})))


async def test_a_rotation_that_was_broken_off_is_finished_by_the_next(
    database: Database, vault: Vault, source: KeySource
) -> None:
    """With both secret keys in the file and some secrets still under the old data key, nothing is lost."""
    await fill(database, vault)
    source.put_new_first()
    assert await opened(database, Vault(database, source)) == EVERYTHING
    assert (await rotate(database, source, BY)).secrets == 6
    assert await opened(database, Vault(database, source)) == EVERYTHING
    assert len(source.load().known) == 1


async def test_a_damaged_secret_is_named_and_harms_no_other(
    database: Database, vault: Vault, source: KeySource
) -> None:
    """The report names the row, the other secrets are sealed anew, and no data key goes."""
    await fill(database, vault)
    strange = await vault.seal("moved", sealed.about(sealed.SETTING, "elsewhere"))
    await database.write(lambda tx: settings.put(tx, "key1", strange))
    await database.write(lambda tx: tx.execute(_AGE, at=clock.after(-7200)))
    done = await rotate(database, source, BY)
    assert (done.secrets, done.unreadable) == (5, ("settings.value:key1",))
    assert done.data_keys == 2
    assert await settings.find(database, "key1") == strange
