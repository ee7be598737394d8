"""Security keys behave alike on SQLite and PostgreSQL: registering, signing in, removing, and their bounds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from entrepot.access.errors import CredentialsRefused, OneTimeCodeNeeded
from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound
from entrepot.access.passwords.credentials import Basic
from entrepot.access.second_factor.security_key_answers import RelyingParty
from entrepot.access.second_factor.security_key_challenges import PATIENCE
from entrepot.access.second_factor.security_keys import MOST, Registered
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.query import Query
from entrepot.metadata.tables import metadata
from entrepot.metadata.work_tables import challenges
from tests.support.authenticator import BACKED_UP, ELIGIBLE, PRESENT, SoftKey, to_text
from tests.support.databases import create_all
from tests.support.security_keys import BY, HERE, PARTY, Place, make_place


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> Place:
    """Give alice and bob, without keys."""
    await create_all(database, metadata)
    return await make_place(database, tmp_path)


@pytest.mark.parametrize("key", [SoftKey(), SoftKey(algorithm=-8, counts=False)], ids=["ES256", "EdDSA"])
async def test_a_key_is_registered_and_signs_in(place: Place, key: SoftKey) -> None:
    """From then on the password alone does not; the first brings ten recovery codes, of which each signs in once."""
    before = await place.who()
    made = await place.register(key, flags=PRESENT | ELIGIBLE | BACKED_UP)
    assert len(made.recovery_codes) == 10
    assert (await place.who()).epoch == before.epoch + 1  # what the password alone has opened ends
    with pytest.raises(OneTimeCodeNeeded, match="security key"):
        await place.verifier.verify(Basic("alice", "alice"), HERE)
    assert await place.sign_in(key) == await place.who()
    await place.verifier.verify(Basic("alice", "alice", made.recovery_codes[0]), HERE)
    with pytest.raises(CredentialsRefused, match="used already"):
        await place.verifier.verify(Basic("alice", "alice", made.recovery_codes[0]), HERE)
    [kept] = await place.keys.list(await place.who())
    assert (kept.name, kept.host, kept.transports, kept.backed_up) == ("blue", "registry.test", "usb,nfc", False)
    assert (kept.aaguid, kept.sign_count) == ("00010203-0405-0607-0809-0a0b0c0d0e0f", key.count)
    assert kept.last_used_at is not None
    status = await place.factors.status(kept.principal_id)
    assert (status.enabled, status.one_time_codes, status.security_keys, status.recovery_codes) == (True, False, 1, 9)


async def test_a_second_key_ends_nothing(place: Place) -> None:
    """It brings no codes, both sign in, and the log tells of both by their names."""
    first, second = SoftKey(), SoftKey()
    await place.register(first)
    before = await place.who()
    assert (await place.register(second, called="green")).recovery_codes == []
    assert await place.who() == before
    assert await place.sign_in(second) == await place.sign_in(first) == before
    assert await place.events() == [
        ("update user:alice", f'{{"key": "{name}", "second factor": "security key added"}}')
        for name in ("blue", "green")
    ]


async def test_the_last_key_takes_the_second_factor_with_it(place: Place) -> None:
    """Removing one of two changes nothing else; with the last the recovery codes and all sessions go."""
    one, two = [(await place.register(SoftKey(), called=name)).key.id for name in ("one", "two")]
    before = await place.who()
    await place.keys.remove(before, one, "alice", BY)
    assert await place.who() == before
    with pytest.raises(NotFound):
        await place.keys.remove(before, one, "alice", BY)
    await place.keys.remove(before, two, "alice", BY)
    after = await place.who()
    assert after.epoch == before.epoch + 1
    assert (await place.factors.status(after.id or 0)).recovery_codes == 0
    assert await place.verifier.verify(Basic("alice", "alice"), HERE) == after


async def test_keys_and_one_time_codes_side_by_side(place: Place) -> None:
    """Either may go, and the other one stays on with the recovery codes."""
    codes = (await place.register(SoftKey())).recovery_codes
    alice = await place.who()
    await place.factors.enrol(alice, "Registry")
    await place.verifier.verify(Basic("alice", "alice", codes[0]), HERE)  # what was begun took none away
    with pytest.raises(Conflict, match="no second factor"):
        await place.factors.disable(alice, codes[1], BY)
    assert len(await place.factors.new_codes(alice, codes[1], BY)) == 10
    [key] = await place.keys.list(alice)
    await place.keys.remove(alice, key.id, "alice", BY)
    assert not await place.factors.is_on(await place.who())


async def test_an_administrator_removes_the_keys_too(place: Place) -> None:
    """Whoever has lost everything begins anew."""
    await place.register(SoftKey())
    before = await place.who()
    await place.factors.reset("alice", BY)
    assert await place.keys.list(await place.who()) == []
    assert (await place.who()).epoch == before.epoch + 1


async def test_questions_are_good_once_and_where_they_were_asked(place: Place) -> None:
    """Not twice, not in another session, not for another account or purpose, not after five minutes."""
    asked = await place.begin()
    with pytest.raises(Forbidden):
        await place.complete(SoftKey().create(asked), place="another session")
    asked = await place.begin()
    with pytest.raises(Forbidden):
        await place.complete(SoftKey().create(asked), "bob")
    with pytest.raises(Forbidden):
        await place.complete(SoftKey().create(await place.begin(), challenge=to_text(b"guessed" * 5)))
    key, asked = SoftKey(), await place.begin()
    await place.complete(key.create(asked))
    with pytest.raises(Forbidden):
        await place.complete(SoftKey().create(asked), called="again")
    question = await place.ask()
    with pytest.raises(Forbidden):
        await place.complete(SoftKey().create({**asked, "challenge": question.options["challenge"]}), called="other")
    late = await place.begin()
    place.now[0] += PATIENCE * clock.MICROSECONDS
    with pytest.raises(Forbidden):
        await place.complete(SoftKey().create(late), called="late")


async def test_a_key_belongs_to_one_account(place: Place) -> None:
    """Registered once, it is not registered again, by nobody; names are an account's own."""
    key = SoftKey()
    await place.register(key)
    with pytest.raises(Conflict):
        await place.register(key, "bob")
    with pytest.raises(Conflict):
        await place.register(SoftKey())
    alice = await place.who()
    green = (await place.register(SoftKey(), called="green")).key
    with pytest.raises(Conflict):
        await place.keys.rename(alice, green.id, "blue", BY)
    with pytest.raises(Invalid):
        await place.keys.rename(alice, green.id, "a\nb", BY)
    with pytest.raises(NotFound):
        await place.keys.rename(await place.who("bob"), green.id, "mine", BY)
    await place.keys.rename(alice, green.id, "red", BY)
    assert [each.name for each in await place.keys.list(alice)] == ["blue", "red"]


async def test_an_account_has_ten_at_most(place: Place) -> None:
    """Also when many come at once."""
    for number in range(MOST - 2):
        await place.register(SoftKey(), called=f"key {number}")
    answers = [SoftKey().create(await place.begin()) for _ in range(4)]
    done = await asyncio.gather(
        *(place.complete(answer, called=f"at once {number}") for number, answer in enumerate(answers)),
        return_exceptions=True,
    )
    assert [type(each) for each in done].count(Registered) == 2
    assert len(await place.keys.list(await place.who())) == MOST
    with pytest.raises(Conflict, match="at most 10"):
        await place.begin()


async def test_a_copied_key_is_found_out(place: Place) -> None:
    """A count that does not grow is refused and an alert; the key itself goes on."""
    key = SoftKey()
    await place.register(key)
    copy = replace(key, count=key.count - 1)
    copy._key = key._key
    await place.sign_in(key)
    with pytest.raises(CredentialsRefused, match="a copy of it"):
        await place.sign_in(copy)
    assert (await place.events())[-1] == (
        "alert user:alice",
        '{"security key": "blue", "signed before": 2, "signed now": 1}',
    )
    assert await place.sign_in(key) == await place.who()


async def test_who_has_no_key_for_the_host_is_not_asked(place: Place) -> None:
    """There is no question, and a database row tells nobody what was asked."""
    assert await place.assertions.ask(await place.who(), PARTY) is None
    await place.register(SoftKey())
    elsewhere = RelyingParty(host="other.test", origin="https://other.test")
    assert await place.assertions.ask(await place.who(), elsewhere) is None
    for _ in range(15):
        question = await place.ask()
    rows = await place.database.all(Query(select(challenges.c.hash, challenges.c.place), "test"))
    assert len(rows) == 10
    assert question.options["challenge"] not in str(rows)
    assert question.ticket not in str(rows)
