"""People from an htpasswd file: made once, signed in with their old passwords, and from then on kept by our hash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Invalid
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.guarded_passwords import GuardedPasswords
from entrepot.access.passwords.throttle import Throttle
from entrepot.accounts.htpasswd_import import ORIGIN, Imported, import_htpasswd
from entrepot.adapters.identity.accounts import LocalAccounts, PasswordRenewal
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, users
from tests.support.rows import all_grants

BY = Source(name="operator", credential="command line")
HERE = "192.0.2.7"


def line(name: str, password: str, rounds: int = 5) -> str:
    """Return a line as `htpasswd -Bbn` writes it."""
    encoded = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()
    return f"{name}:{encoded.replace('$2b$', '$2y$')}\n"


@pytest.fixture
async def passwords(database: Database) -> AsyncIterator[GuardedPasswords]:
    """Give what the web layer asks."""
    guarded = GuardedPasswords(LocalAccounts(database, max_age=0), Throttle(), renew=PasswordRenewal(database))
    yield guarded
    guarded.close()


async def take(database: Database, folder: Path, text: str, *, rights: bool = False) -> Imported:
    """Import a file with this content."""
    file = folder / "htpasswd"
    file.write_text(text)
    return await import_htpasswd(database, file, rights=rights, by=BY)


async def secret_of(database: Database, name: str) -> str:
    """Return the hash that is kept."""
    record = await principals.find(database, principals.USER, name)
    assert record is not None
    return record.secret or ""


async def test_letters_hashed_elsewhere_count_as_they_are_sent(
    database: Database, tmp_path: Path, passwords: GuardedPasswords
) -> None:
    """What an old file has of decomposed letters signs in as before, and once it is our hash in either form."""
    apart, composed = "e\u0301te\u0301 1998", "\u00e9t\u00e9 1998"
    await take(database, tmp_path, line("alice", apart))
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice", composed), HERE)
    assert (await passwords.verify(Basic("alice", apart), HERE)).name == "alice"
    assert (await secret_of(database, "alice")).startswith("$argon2id$")
    later = GuardedPasswords(LocalAccounts(database, max_age=0), Throttle())
    for spelling in (apart, composed):
        assert (await later.verify(Basic("alice", spelling), HERE)).name == "alice"
    later.close()


async def test_everybody_in_the_file_signs_in(database: Database, tmp_path: Path, passwords: GuardedPasswords) -> None:
    """With the old password, and with no other; the account is a person's, local, without any right."""
    text = "# our users\n" + line("alice", "alice's secret") + "\n" + line("bob", "bob's secret")
    report = await take(database, tmp_path, text)
    assert (report.added, report.present, report.refused) == (["alice", "bob"], [], {})
    principal = await passwords.verify(Basic("alice", "alice's secret"), HERE)
    assert principal.name == "alice"
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice", "bob's secret"), HERE)
    person = await users.find(database, "bob")
    assert person is not None
    assert (person.provider, person.sysadmin, person.must_change) == ("local", False, False)
    assert await all_grants(database) == []


async def test_the_hash_becomes_ours_at_the_sign_in(
    database: Database, tmp_path: Path, passwords: GuardedPasswords
) -> None:
    """A wrong password changes nothing, the right one has the password kept by Argon2id, and ends no session."""
    await take(database, tmp_path, line("alice", "alice's secret"))
    before = await principals.find(database, principals.USER, "alice")
    assert before is not None
    assert (before.secret or "").startswith("$2y$05$")
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice", "wrong"), HERE)
    assert await secret_of(database, "alice") == before.secret
    await passwords.verify(Basic("alice", "alice's secret"), HERE)
    after = await principals.find(database, principals.USER, "alice")
    assert after is not None
    assert (after.secret or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert after.epoch == before.epoch
    await passwords.verify(Basic("alice", "alice's secret"), HERE)
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice", "wrong again"), HERE)
    assert await secret_of(database, "alice") == after.secret


async def test_a_changed_password_is_not_overwritten_by_the_old_one(database: Database, tmp_path: Path) -> None:
    """Somebody who signs in at the moment when the password changes does not bring the old one back."""
    await take(database, tmp_path, line("alice", "alice's secret"))
    stored = await LocalAccounts(database).find("alice")
    assert stored is not None
    await database.write(lambda tx: principals.set_secret(tx, stored.principal.id or 0, "changed"))
    await PasswordRenewal(database)(stored, "alice's secret")
    assert await secret_of(database, "alice") == "changed"


async def test_importing_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    """Accounts that exist stay as they are, also where the file says another password or other capitals."""
    await take(database, tmp_path, line("alice", "alice's secret"))
    secret = await secret_of(database, "alice")
    report = await take(database, tmp_path, line("alice", "other") + line("Alice", "other") + line("carol", "c"))
    assert (report.added, report.present) == (["carol"], ["alice", "Alice"])
    assert await secret_of(database, "alice") == secret


async def test_lines_that_cannot_be_taken_over_are_named(database: Database, tmp_path: Path) -> None:
    """Other hashes, names that no account has and hashes that would take minutes are refused, and the rest is made."""
    dear = line("dear", "x").replace("$05$", "$31$")
    text = "md5:$apr1$x$y\nsha:{SHA}abc\nplain:secret\nrobot$x:" + line("", "x")[1:] + dear + line("alice", "a")
    report = await take(database, tmp_path, text)
    assert report.added == ["alice"]
    assert set(report.refused) == {"md5", "sha", "plain", "robot$x", "dear"}
    assert "bcrypt" in report.refused["md5"]
    assert "secret" not in report.refused["plain"]


async def test_rights_of_registry2_are_given_on_request(database: Database, tmp_path: Path) -> None:
    """Each new account gets one visible grant, and accounts of before get none."""
    await take(database, tmp_path, line("old", "x"))
    await take(database, tmp_path, line("old", "x") + line("new", "x"), rights=True)
    given = await all_grants(database)
    assert [(grant.principal_name, grant.role, grant.origin, grant.project) for grant in given] == [
        ("new", "registry2", ORIGIN, None)
    ]


@pytest.mark.parametrize("content", [None, b"no colon here\n", b"alice:\xff\n"])
async def test_what_is_no_htpasswd_file_is_refused(database: Database, tmp_path: Path, content: bytes | None) -> None:
    """A missing file, one of another form and one that is no text."""
    file = tmp_path / "users"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Invalid, match="cannot be read"):
        await import_htpasswd(database, file, rights=False, by=BY)


async def test_cve_2024_9683_a_longer_password_does_not_match_by_its_beginning(
    database: Database, tmp_path: Path, passwords: GuardedPasswords
) -> None:
    """bcrypt cut the password when the file was made; whoever sends more than it looks at is refused."""
    long = "a" * 72
    await take(database, tmp_path, line("alice", long))
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice", long + "anything"), HERE)
    assert (await passwords.verify(Basic("alice", long), HERE)).name == "alice"
