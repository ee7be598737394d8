"""Refresh tokens: random, kept as hashes, bound to service and epoch, and ended with the account."""

import hashlib

import pytest
from sqlalchemy import func, select

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import ANONYMOUS, Principal, PrincipalKind
from entrepot.access.tokens.refresh import RefreshTokens
from entrepot.metadata.database import Database
from entrepot.metadata.people import principals, refresh_tokens
from entrepot.metadata.query import Query
from entrepot.metadata.tables import refresh_tokens as table
from tests.unit.access.conftest import AccountMaker


@pytest.fixture
def refresh(database: Database) -> RefreshTokens:
    """Give the use case."""
    return RefreshTokens(database)


async def test_a_token_stands_for_its_account(refresh: RefreshTokens, account: AccountMaker) -> None:
    """It can be redeemed again and again, and no two are alike."""
    alice = await account("alice")
    first, second = await refresh.issue(alice, "entrepot"), await refresh.issue(alice, "entrepot")
    assert first is not None
    assert first != second
    assert len(first.removeprefix("ert_0_")) == 43  # 256 bits
    for _ in range(2):
        assert await refresh.redeem(first, "entrepot") == alice


async def test_who_has_no_account_gets_none(refresh: RefreshTokens) -> None:
    """The anonymous and names that others keep cannot be looked up later."""
    assert await refresh.issue(ANONYMOUS, "entrepot") is None
    assert await refresh.issue(Principal(kind=PrincipalKind.USER, name="htpasswd"), "entrepot") is None


async def test_the_database_has_hashes_only(refresh: RefreshTokens, account: AccountMaker, database: Database) -> None:
    """CVE-2019-10205: whoever reads the table has no token."""
    token = await refresh.issue(await account("alice"), "entrepot")
    assert token is not None
    digest = hashlib.sha256(token.encode()).hexdigest()
    record = await refresh_tokens.find(database, digest)
    assert record is not None
    assert (record.subject, record.service) == ("alice", "entrepot")
    assert token not in repr(record)
    with pytest.raises(CredentialsRefused):
        await refresh.redeem(digest, "entrepot")


@pytest.mark.parametrize("token", ["", "ert_0_x", "ert", "ert_x_y_z", "\udcff", "ert_0_" + "A" * 43])
async def test_others_are_refused(token: str, refresh: RefreshTokens, account: AccountMaker) -> None:
    """Anything that was not issued is refused."""
    await refresh.issue(await account("alice"), "entrepot")
    with pytest.raises(CredentialsRefused):
        await refresh.redeem(token, "entrepot")


async def test_a_token_is_for_one_service(refresh: RefreshTokens, account: AccountMaker) -> None:
    """Made for one service, it is worth nothing at another."""
    token = await refresh.issue(await account("alice"), "entrepot")
    assert token is not None
    with pytest.raises(CredentialsRefused):
        await refresh.redeem(token, "other")


async def test_the_epoch_in_a_token_cannot_be_changed(
    refresh: RefreshTokens, account: AccountMaker, database: Database
) -> None:
    """The epoch stands in clear, and the hash covers it."""
    alice = await account("alice")
    token = await refresh.issue(alice, "entrepot")
    assert token is not None
    with pytest.raises(CredentialsRefused):
        await refresh.redeem(token.replace("ert_0_", "ert_1_"), "entrepot")


@pytest.mark.parametrize("what", ["password", "disabled"])
async def test_tokens_end_with_the_password_and_the_account(
    what: str, refresh: RefreshTokens, account: AccountMaker, database: Database
) -> None:
    """A changed password or a disabled account ends every refresh token at once, and reopening brings none back."""
    alice = await account("alice")
    token = await refresh.issue(alice, "entrepot")
    assert token is not None
    if what == "password":
        await database.write(lambda tx: principals.set_secret(tx, alice.id, "new"))
    else:
        await database.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=True))
        await database.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=False))
    with pytest.raises(CredentialsRefused):
        await refresh.redeem(token, "entrepot")
    with pytest.raises(CredentialsRefused):
        await refresh.issue(alice, "entrepot")


async def test_tokens_expire(account: AccountMaker, database: Database) -> None:
    """After its life a token is refused, and the next issue removes its row."""
    alice = await account("alice")
    gone = await RefreshTokens(database, lifetime=-1).issue(alice, "entrepot")
    assert gone is not None
    with pytest.raises(CredentialsRefused):
        await RefreshTokens(database).redeem(gone, "entrepot")
    await RefreshTokens(database).issue(alice, "entrepot")
    assert await _count(database) == 1


async def test_use_prolongs_a_token(account: AccountMaker, database: Database) -> None:
    """Where tokens are handed out, one that is used ends its whole life later; another end is written down rarely."""
    token = await RefreshTokens(database, lifetime=60).issue(await account("alice"), "entrepot")
    assert token is not None
    ends = [await _end(database, token)]
    for lifetime in (3600, 3600 + 100, 3600 + 200):  # each a little later than the one before, as time would be
        await RefreshTokens(database, lifetime=lifetime).redeem(token, "entrepot")
        ends.append(await _end(database, token))
    assert ends[1] - ends[0] == pytest.approx(3540e6, abs=5e6)
    assert ends[2] == ends[1]
    assert ends[3] - ends[1] == pytest.approx(200e6, abs=5e6)


async def test_switched_off_no_token_is_made_and_those_of_before_work_until_their_end(
    refresh: RefreshTokens, account: AccountMaker, database: Database
) -> None:
    """A configuration that hands out no tokens gives none, honours those it gave before, and prolongs none."""
    alice = await account("alice")
    before = await refresh.issue(alice, "entrepot")
    assert before is not None
    end = await _end(database, before)
    off = RefreshTokens(database, lifetime=1e9, handed_out=False)
    assert await off.issue(alice, "entrepot") is None
    assert await off.redeem(before, "entrepot") == alice
    assert await _end(database, before) == end


async def test_an_account_keeps_its_newest_tokens(
    refresh: RefreshTokens, account: AccountMaker, database: Database
) -> None:
    """A script that signs in for every pull does not fill the table; the newest tokens work, others' too."""
    other = await refresh.issue(await account("bob"), "entrepot")
    alice = await account("alice")
    tokens = [await refresh.issue(alice, "entrepot") for _ in range(205)]
    assert await _count(database) == 201
    for token in (tokens[-1], other):
        assert token is not None
        await refresh.redeem(token, "entrepot")
    with pytest.raises(CredentialsRefused):
        await refresh.redeem(tokens[0] or "", "entrepot")


async def _end(database: Database, token: str) -> int:
    record = await refresh_tokens.find(database, hashlib.sha256(token.encode()).hexdigest())
    assert record is not None
    return record.expires_at


async def _count(database: Database) -> int:
    row = await database.one(Query(select(func.count()).select_from(table)))
    assert row is not None
    return int(row[0])
