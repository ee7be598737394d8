"""A second proof beside the password, over real accounts and a real vault."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from entrepot.access.errors import CredentialsRefused, OneTimeCodeNeeded
from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.password_cache import SharedVerdicts
from entrepot.access.passwords.sign_in_counts import Key, MemoryCounts, Standing
from entrepot.access.passwords.throttle import FREE, Throttle
from entrepot.access.second_factor.password_alone import SecondFactorPasswords
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.totp import STEP, Seed
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, second_factors, users
from entrepot.metadata.people.second_factors import SecondFactorRecord
from entrepot.oci.errors import TooManyRequests
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from tests.unit.access.conftest import Clock

HERE = "192.0.2.7"
BY = Source(name="alice", credential="session")


@dataclass
class Place:
    """Second factors, and passwords behind them: the password of a test is the name."""

    factors: SecondFactors
    verifier: SecondFactorPasswords
    database: Database
    vault: Vault
    throttle: Throttle
    clock: Clock
    seed: Seed | None = None

    async def current(self, name: str = "alice") -> Principal:
        """Return the account as it is now."""
        record = await principals.find(self.database, principals.USER, name)
        assert record is not None
        return Principal(kind=PrincipalKind.USER, name=name, id=record.id, epoch=record.epoch)

    def code(self, steps: int = 0) -> str:
        """Return the app's code, now or some steps later."""
        assert self.seed is not None
        at = int(self.clock.now) // STEP + steps
        return self.seed._codes().generate(at * STEP).decode()

    async def turn_on(self) -> list[str]:
        """Set it up for alice."""
        alice = await self.current()
        enrolment = await self.factors.enrol(alice, "Registry")
        self.seed = Seed(secret=enrolment.secret)
        codes = await self.factors.confirm(alice, self.code(), BY)
        self.clock.now += STEP
        return codes

    async def sign_in(self, code: str = "") -> Principal:
        """Sign in with the right password."""
        return await self.verifier.verify(Basic("alice", "alice", code), HERE)


class Passwords:
    """Everybody's password is the name."""

    def __init__(self, place_of: Database) -> None:
        self._database = place_of
        self.key: int | None = None

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        record = await principals.find(self._database, principals.USER, basic.username)
        if record is None or basic.password != basic.username:
            raise CredentialsRefused
        return Principal(kind=PrincipalKind.USER, name=record.name, id=record.id, epoch=record.epoch, key=self.key)


class HesitantCounts(MemoryCounts):
    """Let others go on before they answer, as a database does."""

    async def read(self, keys: Sequence[Key], place: Key) -> Standing:
        """See `Counts`."""
        standing = await super().read(keys, place)
        await asyncio.sleep(0)
        return standing


@pytest.fixture
def passwords(database: Database) -> Passwords:
    """Give the passwords behind."""
    return Passwords(database)


@pytest.fixture
async def place(database: Database, clock: Clock, passwords: Passwords, tmp_path: Path) -> Place:
    """Give one with the account alice."""
    assert await database.write(lambda tx: users.add(tx, "alice", secret="x"))
    vault = Vault(database, KeySource(tmp_path / "state", {}))
    throttle = Throttle(clock=clock)
    factors = SecondFactors(database, vault, throttle, now=clock)
    verifier = SecondFactorPasswords(passwords, factors)
    return Place(factors, verifier, database, vault, throttle, clock)


async def test_without_it_the_password_suffices(place: Place) -> None:
    """Before it is turned on, and while it is only begun, a password signs in."""
    assert await place.sign_in() == await place.current()
    await place.factors.enrol(await place.current(), "Registry")
    assert await place.sign_in() == await place.current()
    status = await place.factors.status((await place.current()).id or 0)
    assert (status.enabled, status.recovery_codes) == (False, 0)


async def test_with_it_the_password_alone_signs_nobody_in(place: Place) -> None:
    """A code of the app does, once; the same code again does not."""
    await place.turn_on()
    with pytest.raises(OneTimeCodeNeeded, match="API key"):
        await place.sign_in()
    code = place.code()
    assert await place.sign_in(code) == await place.current()
    with pytest.raises(CredentialsRefused, match="used already"):
        await place.sign_in(code)
    place.clock.now += STEP
    assert await place.sign_in(place.code()) == await place.current()


async def test_a_wrong_password_says_nothing_of_it(place: Place) -> None:
    """Whether a code would be needed is known to those who have the password."""
    await place.turn_on()
    for code in ("", place.code()):
        with pytest.raises(CredentialsRefused) as refused:
            await place.verifier.verify(Basic("alice", "wrong", code), HERE)
        assert not isinstance(refused.value, OneTimeCodeNeeded)
    assert await place.sign_in(place.code()) == await place.current()


async def test_an_api_key_needs_no_code(place: Place, passwords: Passwords) -> None:
    """Programs go on signing in with keys."""
    await place.turn_on()
    passwords.key = 12
    assert (await place.sign_in()).key == 12


async def test_guessing_codes_is_slow(place: Place) -> None:
    """After five wrong codes even a right one waits; the right password in between does not start the count anew."""
    await place.turn_on()
    for _ in range(5):
        with pytest.raises(OneTimeCodeNeeded):
            await place.sign_in()
        with pytest.raises(CredentialsRefused):
            await place.sign_in("000000" if place.code() != "000000" else "000001")
    with pytest.raises(TooManyRequests):
        await place.sign_in(place.code())
    place.clock.now += 60
    assert await place.sign_in(place.code()) == await place.current()


async def test_codes_guessed_at_the_same_time_wait_for_each_other(place: Place) -> None:
    """Of a crowd of guesses no more are looked at than of a row of them."""
    await place.turn_on()
    place.factors._throttle = Throttle(HesitantCounts(clock=place.clock))
    wrong = [
        f"{number:06}" for number in range(1, 70) if f"{number:06}" not in {place.code(step) for step in (-1, 0, 1)}
    ]
    results = await asyncio.gather(*(place.sign_in(code) for code in wrong[:60]), return_exceptions=True)
    assert Counter(map(type, results)) == {CredentialsRefused: FREE, TooManyRequests: 60 - FREE}


async def test_workers_take_turns_with_codes(place: Place, tmp_path: Path) -> None:
    """Two workers that are asked at once look at no more codes together than one alone."""
    codes = await place.turn_on()
    turns = [SharedVerdicts(place.database, tmp_path).turn for _ in range(2)]
    workers = [SecondFactors(place.database, place.vault, place.throttle, turn=turn, now=place.clock) for turn in turns]
    alice = await place.current()
    guesses = [workers[number % 2].prove(alice, f"guess {number}", HERE) for number in range(40)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert Counter(map(type, results)) == {CredentialsRefused: FREE, TooManyRequests: 40 - FREE}
    place.clock.now += 60
    await workers[1].prove(alice, codes[0], HERE)


async def test_a_recovery_code_counts_once(place: Place) -> None:
    """Each of the ten signs in one time, and the number that is left is shown."""
    codes = await place.turn_on()
    assert len(codes) == 10
    assert await place.sign_in(codes[4].upper()) == await place.current()
    with pytest.raises(CredentialsRefused):
        await place.sign_in(codes[4])
    account = (await place.current()).id or 0
    status = await place.factors.status(account)
    assert (status.enabled, status.recovery_codes) == (True, 9)
    new = await place.factors.new_codes(await place.current(), codes[5], BY)
    with pytest.raises(CredentialsRefused):
        await place.sign_in(codes[6])
    assert await place.sign_in(new[0]) == await place.current()


async def test_turning_it_on_ends_what_the_password_opened(place: Place) -> None:
    """On and off change the account's epoch: what was opened before is over, and no worker remembers wrongly."""
    before = await place.current()
    assert not await place.factors.is_on(before)
    await place.turn_on()
    after = await place.current()
    assert after.epoch == before.epoch + 1
    assert await place.factors.is_on(after)
    await place.factors.disable(after, place.code(), BY)
    off = await place.current()
    assert off.epoch == after.epoch + 1
    assert not await place.factors.is_on(off)
    assert await place.sign_in() == off


async def test_steps_out_of_order_are_refused(place: Place) -> None:
    """Nothing is confirmed before it was begun, begun while it is on, or turned off with a wrong code."""
    alice = await place.current()
    with pytest.raises(Conflict):
        await place.factors.confirm(alice, "123456", BY)
    with pytest.raises(Conflict):
        await place.factors.disable(alice, "123456", BY)
    await place.factors.enrol(alice, "Registry")
    with pytest.raises(Invalid):
        await place.factors.confirm(alice, "nonsense", BY)
    assert await place.sign_in() == alice
    await place.turn_on()
    with pytest.raises(Conflict):
        await place.factors.enrol(await place.current(), "Registry")
    for change in (place.factors.disable, place.factors.new_codes):
        with pytest.raises(CredentialsRefused):
            await change(await place.current(), "nonsense", BY)
    with pytest.raises(OneTimeCodeNeeded):
        await place.sign_in()


async def test_whoever_has_a_session_cannot_guess_a_code_to_turn_it_off(place: Place) -> None:
    """Wrong codes are counted wherever they are tried."""
    await place.turn_on()
    alice = await place.current()
    for _ in range(5):
        with pytest.raises(CredentialsRefused):
            await place.factors.disable(alice, "nonsense", BY)
    with pytest.raises(TooManyRequests):
        await place.factors.disable(alice, place.code(), BY)
    with pytest.raises(TooManyRequests):
        await place.factors.new_codes(alice, place.code(), BY)


async def test_only_people_have_one(place: Place) -> None:
    """Robots and names without an account cannot turn it on."""
    alice = await place.current()
    for other in (replace(alice, kind=PrincipalKind.ROBOT), replace(alice, id=None), replace(alice, id=99)):
        with pytest.raises(NotFound):
            await place.factors.enrol(other, "Registry")


async def test_the_operator_can_turn_it_off(place: Place) -> None:
    """For whoever has lost everything."""
    await place.turn_on()
    await place.factors.reset("alice", BY)
    assert await place.sign_in() == await place.current()
    with pytest.raises(NotFound):
        await place.factors.reset("nobody", BY)


async def test_the_database_holds_neither_secret_nor_codes(place: Place, tmp_path: Path) -> None:
    """Seed and recovery codes are sealed; moved to another row they open nowhere."""
    codes = await place.turn_on()
    assert place.seed is not None
    account = (await place.current()).id or 0
    record = await second_factors.find(place.database, account)
    assert record.totp is not None
    assert record.recovery is not None
    assert record.totp.startswith("sealed:")
    assert record.recovery.startswith("sealed:")
    for file in [path for path in tmp_path.iterdir() if path.is_file()]:
        content = file.read_bytes()
        assert all(each.encode() not in content for each in (place.seed.secret, *codes))
    assert await second_factors.find(place.database, 10_000) == SecondFactorRecord(None, None)
