"""Signing in with a directory: what is asked, what is remembered and for how long, and what happens when it fails."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.throttle import FREE, Throttle
from entrepot.accounts.directory.model import Person, Times
from entrepot.accounts.directory.sign_in import DirectoryPasswords
from entrepot.metadata.database import Database
from entrepot.metadata.people import principals, users
from entrepot.oci.errors import TooManyRequests, Unavailable
from tests.support.directory import ScriptedDirectory, ScriptedSource

ALICE = Person(subject="uid=alice", name="alice")
RIGHT = Basic("alice", "right")
CLIENT = "192.0.2.7"
TIMES = Times(remember=60, offline=3600, patience=0.05)


@dataclass(kw_only=True)
class Desk:
    """Passwords of a scripted directory, and a clock that stands still."""

    passwords: DirectoryPasswords
    directory: ScriptedDirectory
    now: list[float] = field(default_factory=lambda: [1000.0])

    async def sign_in(self, basic: Basic = RIGHT) -> Principal | None:
        """Sign in."""
        return await self.passwords.verify(basic, CLIENT)


@pytest.fixture
def desk(accounts: Database) -> Desk:
    """Give one with alice in its directory."""
    now = [1000.0]

    def clock() -> float:
        return now[0]

    directory = ScriptedDirectory(people=[ALICE])
    source = ScriptedSource(directory=directory, times=TIMES)
    passwords = DirectoryPasswords(accounts, source, Throttle(clock=clock), clock=clock)
    return Desk(passwords=passwords, directory=directory, now=now)


async def test_a_right_password_is_asked_once_a_minute(desk: Desk) -> None:
    """Within the minute the directory is left alone, and after it asked again."""
    first = await desk.sign_in()
    assert first is not None
    for seconds, asked in ((59.0, 1), (2.0, 2)):
        desk.now[0] += seconds
        assert await desk.sign_in() == first
        assert desk.directory.asked == asked


async def test_an_alias_is_remembered_too(desk: Desk) -> None:
    """Who signs in by another name than the account's is the same account."""
    desk.directory.people.append(replace(ALICE, name="alias", subject="uid=alias"))
    assert await desk.sign_in(Basic("alias", "right")) is not None
    assert await desk.sign_in(Basic("alias", "right")) is not None
    assert desk.directory.asked == 1


async def test_a_wrong_password_is_not_sent_again_and_again(desk: Desk) -> None:
    """A machine with an old password does not lock its owner's account in the directory."""
    for _ in range(20):
        with pytest.raises(CredentialsRefused):
            await desk.sign_in(Basic("alice", "old"))
    assert desk.directory.asked == 1
    desk.now[0] += 31
    desk.directory.password = "old"
    assert await desk.sign_in(Basic("alice", "old")) is not None


async def test_who_guesses_has_to_wait(desk: Desk) -> None:
    """After a few guesses the directory is not asked any more, and other names go on."""
    for number in range(FREE):
        with pytest.raises(CredentialsRefused):
            await desk.sign_in(Basic("alice", f"guess {number}"))
    with pytest.raises(TooManyRequests):
        await desk.sign_in(Basic("alice", "one more guess"))
    assert desk.directory.asked == FREE


async def test_guesses_at_the_same_time_wait_for_each_other(desk: Desk) -> None:
    """One question about an account at a time, so that a crowd of guesses is stopped like a row of them."""
    desk.directory.seconds = 0.01
    guesses = [desk.sign_in(Basic("alice", f"guess {number}")) for number in range(3 * FREE)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert desk.directory.at_once == 1
    assert desk.directory.asked == FREE
    assert sum(isinstance(result, TooManyRequests) for result in results) == 2 * FREE


async def test_many_with_the_right_password_share_one_question(desk: Desk) -> None:
    """A build that pulls ten images at once asks the directory once."""
    desk.directory.seconds = 0.01
    results = await asyncio.gather(*(desk.sign_in() for _ in range(10)))
    assert {result and result.name for result in results} == {"alice"}
    assert desk.directory.asked == 1


async def test_local_accounts_never_reach_the_directory(desk: Desk, accounts: Database) -> None:
    """The administrator signs in whatever becomes of the directory; a disabled local name is not the directory's."""
    await accounts.write(lambda tx: users.add(tx, "admin", secret="hash"))
    await accounts.write(lambda tx: principals.create(tx, principals.USER, "bare", secret="hash"))
    disabled = await accounts.write(lambda tx: users.add(tx, "closed", secret="hash"))
    assert disabled is not None
    await accounts.write(lambda tx: principals.set_disabled(tx, disabled.id, disabled=True))
    desk.directory.people += [replace(ALICE, name=name, subject=name) for name in ("admin", "bare", "closed")]
    desk.directory.down = True
    for name in ("admin", "bare", "closed"):
        assert await desk.sign_in(Basic(name, "right")) is None
    assert desk.directory.asked == 0


async def test_a_robots_secret_is_not_sent_to_the_directory(desk: Desk, accounts: Database) -> None:
    """Robots are ours, as long as they are there: the directory hears of no name and no secret of theirs."""
    name = "robot$team+ci"
    desk.directory.people.append(replace(ALICE, name=name, subject="uid=robot"))
    await accounts.write(lambda tx: principals.create(tx, principals.ROBOT, name, secret="hash"))
    for basic in (Basic(name, "right"), Basic(name, "wrong")):
        assert await desk.sign_in(basic) is None
    assert desk.directory.asked == 0


async def test_another_spelling_is_no_fresh_start(desk: Desk) -> None:
    """However a name is written that the directory takes for one, its guesses are counted together."""
    spellings = ["alice", "ALICE", " Alice", "\N{FULLWIDTH LATIN SMALL LETTER A}lice", "ali\N{SOFT HYPHEN}ce"]
    for number, name in enumerate(spellings):
        with pytest.raises(CredentialsRefused):
            await desk.sign_in(Basic(name, f"guess {number}"))
    for name in ("aLICE", "alice "):
        with pytest.raises(TooManyRequests):
            await desk.sign_in(Basic(name, "one more guess"))
    assert desk.directory.asked == len(spellings) == FREE


@pytest.mark.parametrize(
    "basic",
    [Basic("alice", ""), Basic("a" * 256, "right"), Basic("alice", "p" * 1025), Basic("alice:code", "right")],
)
async def test_what_cannot_be_right_is_not_asked(desk: Desk, basic: Basic) -> None:
    """Empty passwords above all: a directory says yes to them, and means nobody (RFC 4513, 5.1.2)."""
    assert await desk.sign_in(basic) is None
    assert desk.directory.asked == 0


async def test_without_a_directory_nobody_is_asked(accounts: Database) -> None:
    """None configured is no answer about anybody."""
    passwords = DirectoryPasswords(accounts, ScriptedSource(directory=None), Throttle())
    assert await passwords.verify(RIGHT, CLIENT) is None


async def test_while_the_directory_is_down_what_it_said_before_counts_for_an_hour(desk: Desk) -> None:
    """Within the bound; a password that it never confirmed does not, nor a wrong one, nor anything after the bound."""
    first = await desk.sign_in()
    desk.directory.down = True
    desk.now[0] += 3500
    assert await desk.sign_in() == first
    for basic in (Basic("alice", "other"), Basic("bob", "right")):
        with pytest.raises(Unavailable, match="cannot be asked now"):
            await desk.sign_in(basic)
    desk.now[0] += 101
    with pytest.raises(Unavailable):
        await desk.sign_in()


async def test_a_slow_directory_is_waited_for_only_as_long_as_there_is_patience(desk: Desk) -> None:
    """What it said before counts meanwhile; when it says no at last, that counts from then on."""
    first = await desk.sign_in()
    desk.now[0] += 61
    desk.directory.seconds = 0.3
    assert await asyncio.wait_for(desk.sign_in(), 0.25) == first
    desk.directory.password = "changed"
    await asyncio.sleep(0.4)
    with pytest.raises(CredentialsRefused):
        await desk.sign_in()


async def test_an_account_that_was_closed_is_not_remembered(desk: Desk, accounts: Database) -> None:
    """Neither within the minute nor while the directory is down: the rows here count more than the memory."""
    first = await desk.sign_in()
    assert first is not None
    assert first.id is not None
    user_id = first.id
    await accounts.write(lambda tx: principals.set_disabled(tx, user_id, disabled=True))
    desk.now[0] += 6  # rows are remembered for five seconds
    desk.directory.down = True
    with pytest.raises(Unavailable):
        await desk.sign_in()
    desk.directory.down = False
    with pytest.raises(CredentialsRefused):
        await desk.sign_in()


async def test_who_is_refused_is_told_nothing_that_a_stranger_is_not(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password, an unknown name and a person who may not enter look the same; the log has the reason."""
    desk.directory.people.append(Person(subject="uid=eve", name="eve", refused="in no group that may enter"))
    said = set()
    for basic in (Basic("alice", "wrong"), Basic("nobody", "right"), Basic("eve", "right")):
        with pytest.raises(CredentialsRefused) as refusal:
            await desk.sign_in(basic)
        said.add(str(refusal.value))
    assert len(said) == 1
    assert "in no group that may enter" in caplog.text


async def test_no_password_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens, the canary does not turn up (GHSA-prh4-vhfh-24mj)."""
    caplog.set_level(0)
    canary = Basic("alice", "canary-4711")
    outcomes: list[Callable[[], None]] = [lambda: None, lambda: setattr(desk.directory, "down", True)]
    for prepare in outcomes:
        prepare()
        desk.now[0] += 40
        with pytest.raises((CredentialsRefused, Unavailable)):
            await desk.sign_in(canary)
    assert "canary-4711" not in caplog.text
    assert "canary-4711" not in repr(canary)
