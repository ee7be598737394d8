"""Passwords over real accounts: seldom hashed, one at a time, equally slow for unknown names, and limited."""

import asyncio
import threading
import time
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.guarded_passwords import GuardedPasswords
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.sign_in import Chain
from entrepot.adapters.identity.accounts import LocalAccounts, hash_password
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.people import principals
from entrepot.oci.errors import TooManyRequests
from tests.unit.access.conftest import AccountMaker, Clock

HERE = "192.0.2.7"
SECRET = hash_password("correct horse")


class CountingAccounts(LocalAccounts):
    """Local accounts that count the hashes, and how many ran at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, max_age=5, clock=clock)
        self.hashes = 0
        self.running = 0
        self.most = 0
        self.quick = False  #: whether wrong passwords cost nothing
        self._lock = threading.Lock()

    def matches(self, encoded: str | None, password: str) -> bool:
        with self._lock:
            self.hashes += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return False if self.quick and encoded is None else super().matches(encoded, password)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def accounts(database: Database, clock: Clock) -> CountingAccounts:
    """Give the store."""
    return CountingAccounts(database, clock)


@pytest.fixture
def passwords(accounts: CountingAccounts, clock: Clock) -> GuardedPasswords:
    """Give what the web layer asks."""
    return GuardedPasswords(accounts, Throttle(clock=clock), clock=clock)


@pytest.fixture
async def another(database: Database, tmp_path: Path, clock: Clock) -> AsyncIterator[GuardedPasswords]:
    """Give what another process on the same database asks."""
    opened = SqliteDatabase(tmp_path / "metadata.db")
    yield GuardedPasswords(LocalAccounts(opened, max_age=5, clock=clock), Throttle(clock=clock), clock=clock)
    await opened.close()


RIGHT = Basic("alice", "correct horse")
WRONG = Basic("alice", "battery staple")


async def test_right_and_wrong(passwords: GuardedPasswords, account: AccountMaker) -> None:
    """The right password gives the account; a wrong one, another name and an empty one look alike."""
    alice = await account("alice", secret=SECRET)
    assert await passwords.verify(RIGHT, HERE) == alice
    messages = set()
    for basic in (
        WRONG,
        Basic("bob", "correct horse"),
        Basic("alice", ""),
        Basic("", ""),
        Basic("Alice", "correct horse"),
    ):
        with pytest.raises(CredentialsRefused) as refused:
            await passwords.verify(basic, HERE)
        messages.add(str(refused.value))
    assert len(messages) == 1


async def test_a_password_is_hashed_once_a_minute(
    passwords: GuardedPasswords, accounts: CountingAccounts, account: AccountMaker, clock: Clock
) -> None:
    """A client that sends Basic with each request costs one hash a minute."""
    await account("alice", secret=SECRET)
    for _ in range(50):
        await passwords.verify(RIGHT, HERE)
    assert accounts.hashes == 1
    clock.now += 61
    await passwords.verify(RIGHT, HERE)
    assert accounts.hashes == 2


async def test_a_layer_pull_of_many_requests_costs_one_hash(
    passwords: GuardedPasswords, accounts: CountingAccounts, account: AccountMaker
) -> None:
    """Requests that arrive at the same instant wait for one hash, and hashes never run side by side."""
    await account("alice", secret=SECRET)
    await asyncio.gather(*(passwords.verify(RIGHT, HERE) for _ in range(20)))
    assert accounts.hashes == 1
    wrong = (passwords.verify(Basic("alice", str(n)), f"198.51.{n}.1") for n in range(8))
    outcomes = await asyncio.gather(*wrong, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {CredentialsRefused}
    assert accounts.most == 1


async def test_guesses_from_everywhere_do_not_refuse_who_is_new(
    passwords: GuardedPasswords, account: AccountMaker, accounts: CountingAccounts
) -> None:
    """A flood of guesses from 200 networks waits beside somebody who signs in for the first time, with success."""
    alice = await account("alice", secret=SECRET)
    accounts.quick = True
    flood = [
        asyncio.ensure_future(passwords.verify(Basic(f"user{n}", f"guess{each}"), f"198.51.{n}.1"))
        for each in range(3)
        for n in range(200)
    ]
    await asyncio.sleep(0)
    assert await passwords.verify(RIGHT, HERE) == alice
    outcomes = {type(outcome) for outcome in await asyncio.gather(*flood, return_exceptions=True)}
    assert outcomes == {CredentialsRefused, TooManyRequests}


async def test_the_old_password_ends_with_the_change(
    passwords: GuardedPasswords, account: AccountMaker, database: Database, another: GuardedPasswords
) -> None:
    """When the change is answered the new password works and the old one does not, here and in other processes."""
    alice = await account("alice", secret=SECRET)
    for each in (passwords, another):
        assert await each.verify(RIGHT, HERE) == alice
        assert await each.verify(RIGHT, HERE) == alice
    await database.write(lambda tx: principals.set_secret(tx, alice.id, hash_password("new")))
    for each in (passwords, another):
        with pytest.raises(CredentialsRefused):
            await each.verify(RIGHT, HERE)
        changed = await each.verify(Basic("alice", "new"), HERE)
        assert changed.epoch == alice.epoch + 1


async def test_disabled_accounts_do_not_sign_in(
    passwords: GuardedPasswords, account: AccountMaker, database: Database, another: GuardedPasswords
) -> None:
    """A disabled account is refused like a wrong password, though its password was right a moment ago."""
    alice = await account("alice", secret=SECRET)
    for each in (passwords, another):
        await each.verify(RIGHT, HERE)
    await database.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=True))
    for each in (passwords, another):
        with pytest.raises(CredentialsRefused):
            await each.verify(RIGHT, HERE)


async def test_while_nothing_is_committed_an_account_is_not_read_again(
    passwords: GuardedPasswords, account: AccountMaker, database: Database
) -> None:
    """A pull by password costs no statement more than one by token, once the first has found the WAL index."""
    await account("alice", secret=SECRET)
    for _ in range(2):
        await passwords.verify(RIGHT, HERE)
    before = database.statistics.statements
    for _ in range(10):
        await passwords.verify(RIGHT, HERE)
    assert database.statistics.statements == before


async def test_unknown_names_take_as_long(accounts: CountingAccounts, account: AccountMaker) -> None:
    """CVE-2019-19030 and kin: the time does not tell whether a name exists."""
    await account("alice", secret=SECRET)
    accounts.matches(None, "x")  # makes the hash that unknown names are compared with

    async def seconds(name: str) -> float:
        stored = await accounts.find(name, fresh=True)
        start = time.thread_time()
        assert not accounts.matches(None if stored is None else stored.encoded, "wrong")
        return time.thread_time() - start

    known = median([await seconds("alice") for _ in range(9)])
    unknown = median([await seconds("nobody") for _ in range(9)])
    assert unknown == pytest.approx(known, rel=0.5)


async def test_long_credentials_are_refused_unseen(passwords: GuardedPasswords, accounts: CountingAccounts) -> None:
    """A megabyte of password is not hashed."""
    for basic in (Basic("alice", "x" * 1025), Basic("a" * 256, "x")):
        with pytest.raises(CredentialsRefused):
            await passwords.verify(basic, HERE)
    assert accounts.hashes == 0


async def test_cve_2024_9683_long_passwords_count_to_the_end(
    passwords: GuardedPasswords, account: AccountMaker
) -> None:
    """The 73rd character matters: Argon2id has no cut."""
    await account("alice", secret=hash_password("p" * 80))
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice", "p" * 72), HERE)
    assert (await passwords.verify(Basic("alice", "p" * 80), HERE)).name == "alice"


async def test_letters_count_composed_or_not(account: AccountMaker, passwords: GuardedPasswords) -> None:
    """Whether a keyboard sends one character or a letter and its accent makes no other password, and no other name."""
    composed, apart = "\N{LATIN SMALL LETTER E WITH ACUTE}t\N{LATIN SMALL LETTER E WITH ACUTE}", "e\u0301te\u0301"
    chain = Chain((), passwords)
    for name, kept in ((composed, composed), ("alice", apart)):
        await account(name, secret=hash_password(f"{kept} correct horse"))
        for spelling in (composed, apart):
            sent = Basic(unicodedata.normalize("NFD", name), f"{spelling} correct horse")
            assert (await chain.verify(sent, HERE)).name == name


async def test_failures_make_wait_before_hashing(
    passwords: GuardedPasswords, accounts: CountingAccounts, account: AccountMaker, clock: Clock
) -> None:
    """After five guesses the next attempt is refused unhashed, even the right one, and works after the wait."""
    await account("alice", secret=SECRET)
    for number in range(5):
        with pytest.raises(CredentialsRefused):
            await passwords.verify(Basic("alice", f"guess {number}"), HERE)
    with pytest.raises(TooManyRequests) as refused:
        await passwords.verify(RIGHT, HERE)
    assert accounts.hashes == 5
    clock.now += refused.value.retry_after
    assert (await passwords.verify(RIGHT, HERE)).name == "alice"


async def test_who_signed_in_just_now_is_not_kept_waiting(passwords: GuardedPasswords, account: AccountMaker) -> None:
    """A client with the right password goes on working while another beside it fails."""
    await account("alice", secret=SECRET)
    await passwords.verify(RIGHT, HERE)
    for number in range(5):
        with pytest.raises(CredentialsRefused):
            await passwords.verify(Basic("alice", f"guess {number}"), HERE)
    assert (await passwords.verify(RIGHT, HERE)).name == "alice"


async def test_the_same_mistake_again_is_no_further_guess(
    passwords: GuardedPasswords, accounts: CountingAccounts, account: AccountMaker
) -> None:
    """A client that sends one wrong password with each request costs one hash, and nobody has to wait for it."""
    await account("alice", secret=SECRET)
    together = await asyncio.gather(*(passwords.verify(WRONG, HERE) for _ in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in together} == {CredentialsRefused}
    for name in ("alice", "nobody"):
        for _ in range(20):
            with pytest.raises(CredentialsRefused):
                await passwords.verify(Basic(name, "battery staple"), HERE)
    assert accounts.hashes == 2
    assert (await passwords.verify(RIGHT, HERE)).name == "alice"


async def test_a_password_that_was_wrong_may_become_right(
    passwords: GuardedPasswords, account: AccountMaker, database: Database
) -> None:
    """What was remembered as wrong ends at the moment in which the account gets this password."""
    alice = await account("alice", secret=SECRET)
    with pytest.raises(CredentialsRefused):
        await passwords.verify(WRONG, HERE)
    await database.write(lambda tx: principals.set_secret(tx, alice.id, hash_password("battery staple")))
    assert (await passwords.verify(WRONG, HERE)).name == "alice"


async def test_no_password_is_kept_or_logged(
    passwords: GuardedPasswords, account: AccountMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """What is remembered, shown and logged holds no password; a name with control characters is escaped."""
    await account("alice", secret=SECRET)
    await passwords.verify(RIGHT, HERE)
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("alice\nadmin signed in", "battery staple"), HERE)
    assert "sign-in failed" in caplog.text
    assert r"alice\nadmin" in caplog.text
    seen = (
        caplog.text
        + repr(RIGHT)
        + repr(vars(passwords))
        + repr(passwords._right._entries)
        + repr(passwords._wrong._entries)
    )
    assert "battery" not in seen
    assert "horse" not in seen
