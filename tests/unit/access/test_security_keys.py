"""What registers no security key and signs nobody in: whatever may be wrong with what a browser sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Forbidden, Invalid, NotFound
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.throttle import FREE
from entrepot.access.second_factor.security_key_answers import RelyingParty
from entrepot.access.second_factor.security_key_challenges import PATIENCE
from entrepot.access.second_factor.security_key_sign_in import Question
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import principals, security_keys, users
from entrepot.oci.errors import TooManyRequests
from tests.support.authenticator import ATTESTED, ORIGIN, PRESENT, SoftKey, cbor, to_text
from tests.support.security_keys import BY, HERE, PARTY, Place, make_place


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> Place:
    """Give alice and bob, without keys."""
    return await make_place(database, tmp_path)


@pytest.mark.parametrize("password", ["wrong", "key", ""])
async def test_the_password_is_asked_for_again(place: Place, password: str) -> None:
    """Neither a wrong one nor an API key adds or removes a key."""
    key = (await place.register(SoftKey())).key
    alice = await place.who()
    with pytest.raises(CredentialsRefused):
        await place.keys.begin(alice, password, PARTY, place="session", client=HERE)
    with pytest.raises(CredentialsRefused):
        await place.keys.remove(alice, key.id, password, BY)


async def test_people_of_a_provider_have_theirs_there(place: Place) -> None:
    """They are told so."""
    alice = await place.who()
    await place.database.write(lambda tx: users.set_provider(tx, alice.id or 0, "oidc:corp", "s"))
    with pytest.raises(Forbidden, match="sign-in provider"):
        await place.begin()
    robot = Principal(kind=PrincipalKind.ROBOT, name="ci", id=alice.id)
    with pytest.raises(NotFound):
        await place.keys.list(robot)


_EVIL = {"origin": "https://evil.test"}
WRONG_REGISTRATIONS: dict[str, dict[str, Any]] = {
    "another origin": _EVIL,
    "another port": {"origin": f"{ORIGIN}:8443"},
    "plain http": {"origin": "http://registry.test"},
    "another host": {"host": "evil.test"},
    "an assertion": {"type": "webauthn.get"},
    "another site around it": {"cross_origin": True},
    "nobody there": {"flags": 0},
    "an algorithm nobody asked for": {"public_key": {1: 2, 3: -35, -1: 2, -2: b"x" * 48, -3: b"y" * 48}},
    "no point of the curve": {"public_key": {1: 2, 3: -7, -1: 1, -2: b"x" * 32, -3: b"y" * 32}},
    "a key without parts": {"public_key": {1: 2, 3: -7}},
    "a huge RSA key": {"public_key": {1: 3, 3: -257, -1: b"\xff" * 2048, -2: b"\1\0\1"}},
    "no credential": {"credential": b""},
    "a credential too long": {"credential": b"c" * 1024},
    "no CBOR": {"attestation": b"\xff\xff"},
    "CBOR without an end": {"attestation": b"\x9b" + b"\xff" * 8},
    "deep CBOR": {"attestation": b"\x81" * 9000},
    "CBOR of another shape": {"attestation": cbor([1, 2, 3])},
    "authenticator data cut off": {"attestation": cbor({"fmt": "none", "attStmt": {}, "authData": b"x" * 20})},
    "a map with a map for a key": {"attestation": b"\xa1\xa0\x00"},
}


@pytest.mark.parametrize("says", WRONG_REGISTRATIONS.values(), ids=WRONG_REGISTRATIONS)
async def test_what_cannot_be_registered(place: Place, says: dict[str, Any]) -> None:
    """It is refused, nothing is kept, and the same question is answered no second time."""
    key, asked = SoftKey(), await place.begin()
    with pytest.raises(Invalid):
        await place.complete(key.create(asked, **says))
    with pytest.raises(Forbidden, match="begin again"):
        await place.complete(key.create(asked))
    assert await place.keys.list(await place.who()) == []


@pytest.mark.parametrize("client_data", ["", "!", to_text(b"[]"), to_text(b"{" * 5000), to_text(b'{"challenge": 5}')])
async def test_client_data_that_cannot_be_read(place: Place, client_data: str) -> None:
    """It says so, in both ceremonies."""
    asked = await place.begin()
    with pytest.raises(Invalid, match="cannot be read"):
        await place.complete({**SoftKey().create(asked), "client_data": client_data})
    answer = {**SoftKey().get({"challenge": "", "rpId": "registry.test"}), "client_data": client_data}
    with pytest.raises(CredentialsRefused, match="cannot be read"):
        await place.answer("ticket", answer)


WRONG_ASSERTIONS: dict[str, dict[str, Any]] = {
    "another origin": _EVIL,
    "another host": {"host": "evil.test"},
    "a registration": {"type": "webauthn.create"},
    "another site around it": {"cross_origin": True},
    "nobody there": {"flags": 0},
    "another signature": {"signature": b"x" * 70},
    "an unknown key": {"credential": b"unknown"},
    "another account's handle": {"user_handle": to_text(b"another")},
    "data of a registration": {"flags": PRESENT | ATTESTED},
}


@pytest.mark.parametrize("says", WRONG_ASSERTIONS.values(), ids=WRONG_ASSERTIONS)
async def test_what_signs_nobody_in(place: Place, says: dict[str, Any]) -> None:
    """It is refused and uses the question up; the right answer to the next one counts."""
    key = SoftKey()
    await place.register(key)
    question = await place.ask()
    with pytest.raises(CredentialsRefused):
        await place.answer(question.ticket, key.get(question.options, **says))
    with pytest.raises(CredentialsRefused, match="begin again"):
        await place.answer(question.ticket, key.get(question.options))
    assert await place.sign_in(key) == await place.who()


Trick = Callable[[Place, SoftKey, Question], Awaitable[Principal]]


async def _replay(place: Place, key: SoftKey, question: Question) -> Principal:
    answer = key.get(question.options)
    await place.answer(question.ticket, answer)
    return await place.answer(question.ticket, answer)


async def _another_browser(place: Place, key: SoftKey, question: Question) -> Principal:
    other = await place.ask()
    return await place.answer(other.ticket, key.get(question.options))


async def _another_account(place: Place, key: SoftKey, question: Question) -> Principal:
    bobs = SoftKey()
    await place.register(bobs, "bob")
    return await place.answer(question.ticket, bobs.get(question.options))


async def _too_late(place: Place, key: SoftKey, question: Question) -> Principal:
    place.now[0] += PATIENCE * clock.MICROSECONDS
    return await place.answer(question.ticket, key.get(question.options))


async def _changed_since(place: Place, key: SoftKey, question: Question) -> Principal:
    alice = await place.who()
    await place.database.write(lambda tx: principals.end_sign_ins(tx, alice.id or 0))
    return await place.answer(question.ticket, key.get(question.options))


async def _removed_since(place: Place, key: SoftKey, question: Question) -> Principal:
    alice = await place.who()
    await place.database.write(lambda tx: security_keys.remove_of(tx, alice.id or 0))
    return await place.answer(question.ticket, key.get(question.options))


async def _registered_for_another_host(place: Place, key: SoftKey, question: Question) -> Principal:
    evil = RelyingParty(host="evil.test", origin="https://evil.test")
    answer = key.get(question.options, origin=evil.origin, host=evil.host)
    return await place.answer(question.ticket, answer, evil)


TRICKS: list[Trick] = [
    _replay,
    _another_browser,
    _another_account,
    _too_late,
    _changed_since,
    _removed_since,
    _registered_for_another_host,
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_tricks_do_not_sign_in(place: Place, trick: Trick) -> None:
    """A replay, somebody else's question or key, one of before a change, and the key of another host."""
    key = SoftKey()
    await place.register(key)
    with pytest.raises(CredentialsRefused):
        await trick(place, key, await place.ask())


async def test_too_many_wrong_answers_have_to_wait(place: Place) -> None:
    """As wrong codes do, and together with them."""
    key = SoftKey()
    await place.register(key)
    for _ in range(FREE + 1):
        with pytest.raises((CredentialsRefused, TooManyRequests)):
            await place.sign_in(key, **_EVIL)
    with pytest.raises(TooManyRequests):
        await place.sign_in(key)
    with pytest.raises(TooManyRequests):
        await place.verifier.verify(Basic("alice", "alice", "123456"), HERE)
