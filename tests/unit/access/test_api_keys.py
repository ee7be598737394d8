"""API keys as texts, and signing in with them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from entrepot.access.api_key_limits import KeyLimit, LimitInvalid, limits_as_grants, read_limits, write_limits
from entrepot.access.api_key_sign_in import KeySignIn
from entrepot.access.api_key_uses import KeyUses
from entrepot.access.api_keys import hash_key, hint_of, is_key, new_key
from entrepot.access.authorizer import Authorizer
from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal, Target
from entrepot.access.passwords.credentials import Basic
from entrepot.access.patterns import PatternInvalid
from entrepot.access.permissions import PULL, PUSH, PermissionUnknown
from entrepot.access.policy import Policy
from entrepot.access.sign_in import Chain
from entrepot.access.tokens.own_tokens import OwnTokenChecker, RememberedTokens, TokenService
from entrepot.access.tokens.refresh import RefreshTokens
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import api_keys, principals
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import parse_scopes
from tests.unit.access.conftest import AccountMaker, Clock, SigningKeys

HERE = "192.0.2.1"


def test_a_key_is_recognised() -> None:
    """A key is `reg_` and 36 letters or digits, never twice the same; each wrong letter is noticed."""
    keys = {new_key() for _ in range(200)}
    assert len(keys) == 200
    for key in keys:
        assert re.fullmatch(r"reg_[0-9A-Za-z]{36}", key)
        assert is_key(key)
    key = keys.pop()
    for position in range(4, len(key)):
        other = "a" if key[position] != "a" else "b"
        assert not is_key(key[:position] + other + key[position + 1 :])


@pytest.mark.parametrize(
    "text", ["", "reg_", "reg_" + "0" * 36, "REG_" + "0" * 30, "reg_é" + "0" * 35, "x{key}", "{key}0", "\n"]
)
def test_what_is_no_key(text: str) -> None:
    """A password that begins like a key is not taken for one."""
    assert not is_key(text.format(key=new_key()))


def test_what_is_kept_tells_nothing() -> None:
    """The database has a hash, and people see eight characters."""
    key = new_key()
    assert key[8:] not in hash_key(key) + hint_of(key)
    assert hint_of(key) == key[:8]
    assert hash_key(key) != hash_key(new_key())


def test_limits_come_back_as_they_were() -> None:
    """What a row keeps says the same as what was given; no limits are something else than an empty list."""
    limits = (
        KeyLimit(permissions=("repository:*", "tag:create"), project="demo", tags="v*"),
        KeyLimit(permissions=("repository:pull",), repositories="library/**"),
    )
    assert read_limits(write_limits(limits)) == limits
    assert read_limits(None) is None
    assert limits_as_grants(None) is None
    grants = limits_as_grants(write_limits(limits))
    assert grants is not None
    inside, outside = Target.of(RepositoryName("demo/app"), "v1"), Target.of(RepositoryName("demo/app"), "main")
    assert not grants[0].misses(PUSH, inside, 0)
    assert grants[0].misses(PUSH, outside, 0)
    assert grants[1].misses(PUSH, Target.of(RepositoryName("library/x")), 0)


@pytest.mark.parametrize(
    ("limit", "fault"),
    [
        (KeyLimit(permissions=()), LimitInvalid),
        (KeyLimit(permissions=("repository:fly",)), PermissionUnknown),
        (KeyLimit(permissions=("repository:pull",), repositories="a{b"), PatternInvalid),
        (KeyLimit(permissions=("repository:pull",), tags=""), PatternInvalid),
    ],
)
def test_a_limit_must_mean_something(limit: KeyLimit, fault: type[Exception]) -> None:
    """A limit without permissions, with unknown ones or with a broken pattern is refused."""
    with pytest.raises(fault):
        limit.check()


@pytest.fixture
def uses(database: Database) -> KeyUses:
    """Give the notes of uses."""
    return KeyUses(database)


@pytest.fixture
def sign_in(database: Database, policy: Policy, uses: KeyUses, clock: Clock) -> KeySignIn:
    """Give what knows keys, by the test's clock."""
    return KeySignIn(database, policy, uses, clock=clock)


async def make_key(
    database: Database, owner: Principal, *, limits: Sequence[KeyLimit] | None = None, seconds: float | None = None
) -> tuple[str, int]:
    """Make a key and return it with its id."""
    key, owner_id = new_key(), owner.id
    assert owner_id is not None
    number = await database.write(
        lambda tx: api_keys.add(
            tx,
            owner_id,
            name=key[-4:],
            hashed=hash_key(key),
            hint=hint_of(key),
            limits=None if limits is None else write_limits(limits),
            expires_at=None if seconds is None else clock.after(seconds),
        )
    )
    return key, number


async def test_a_key_signs_its_account_in(database: Database, sign_in: KeySignIn, account: AccountMaker) -> None:
    """As the password of its owner, or by itself; another name with it is refused, a password is not for us."""
    alice = await account("alice")
    key, number = await make_key(database, alice)
    for _ in range(2):
        principal = await sign_in.verify(Basic("alice", key), HERE)
        assert principal is not None
        assert (principal.label, principal.id, principal.key) == ("user:alice", alice.id, number)
        assert principal.credential == f"key:{number}"
    assert await sign_in.by_key(key, HERE) == principal
    with pytest.raises(CredentialsRefused):
        await sign_in.verify(Basic("bob", key), HERE)
    assert await sign_in.verify(Basic("alice", "a password"), HERE) is None
    assert await sign_in.verify(Basic("alice", "reg_" + "0" * 36), HERE) is None


async def test_a_key_says_what_became_of_it(database: Database, sign_in: KeySignIn, account: AccountMaker) -> None:
    """Whoever holds a key learns that it or its account ended, or is gone; a disabled one is a wrong password."""
    alice = await account("alice")
    expired, _ = await make_key(database, alice, seconds=-1)
    with pytest.raises(CredentialsRefused, match="has expired"):
        await sign_in.by_key(expired, HERE)
    with pytest.raises(CredentialsRefused, match="removed or never made"):
        await sign_in.by_key(new_key(), HERE)
    key, _ = await make_key(database, alice)
    await database.write(lambda tx: principals.set_expiry(tx, alice.id or 0, clock.after(-1)))
    with pytest.raises(CredentialsRefused, match=r"the account of this API key is closed.*sign in once in a browser"):
        await sign_in.by_key(key, HERE)
    await database.write(lambda tx: principals.set_disabled(tx, alice.id or 0, disabled=True))
    with pytest.raises(CredentialsRefused, match="wrong"):
        await sign_in.by_key(key, HERE)


async def test_a_change_of_the_account_is_seen(
    database: Database, sign_in: KeySignIn, account: AccountMaker, policy: Policy, clock: Clock
) -> None:
    """A key goes on after its account's password changed; a removed key, or an ended account, is nobody at once."""
    alice = await account("alice")
    key, number = await make_key(database, alice)
    before = await sign_in.by_key(key, HERE)
    await database.write(lambda tx: principals.set_secret(tx, alice.id or 0, "new"))
    clock.now += 6
    after = await sign_in.by_key(key, HERE)
    assert (before.epoch, after.epoch) == (0, 1)
    assert await policy.is_current(after)
    assert not await policy.is_current(before)
    await database.write(lambda tx: api_keys.remove(tx, alice.id or 0, number))
    clock.now += 6
    with pytest.raises(CredentialsRefused):
        await sign_in.by_key(key, HERE)


async def test_uses_are_written_together(
    database: Database, sign_in: KeySignIn, uses: KeyUses, account: AccountMaker
) -> None:
    """A thousand uses of two keys write nothing, and then one transaction."""
    alice = await account("alice")
    keys = [await make_key(database, alice) for _ in range(2)]
    before = database.statistics.transactions
    for _ in range(500):
        for key, _ in keys:
            await sign_in.by_key(key, HERE)
    assert database.statistics.transactions == before
    await uses.flush()
    await uses.flush()
    assert database.statistics.transactions == before + 1
    for _, number in keys:
        record = await api_keys.find_by_id(database, number)
        assert record is not None
        assert record.last_used_at


async def test_a_token_is_limited_as_its_key(
    database: Database,
    policy: Policy,
    authorizer: Authorizer,
    keys: SigningKeys,
    sign_in: KeySignIn,
    account: AccountMaker,
) -> None:
    """Tags do not show in scopes: the token that a key asked for still reaches only the key's tags."""
    alice = await account("alice", ("*", "*"))
    key, number = await make_key(database, alice, limits=[KeyLimit(permissions=("repository:*", "tag:*"), tags="v*")])
    principal = await sign_in.by_key(key, HERE)
    issued = await TokenService(keys, authorizer).issue(principal, parse_scopes("repository:demo/app:pull,push,delete"))
    assert [scope.actions for scope in issued.scopes] == [("pull", "push")]
    bearer = await RememberedTokens(OwnTokenChecker(keys), policy).verify(issued.text)
    assert bearer.key == number
    name = RepositoryName("demo/app")
    assert (await authorizer.allows(bearer, PUSH, Target.of(name, "v1"))).allowed
    refused = await authorizer.allows(bearer, PUSH, Target.of(name, "latest"))
    assert (refused.allowed, refused.reason) == (
        False,
        "the key does not allow repository:push on repository demo/app, tag latest",
    )
    assert (await authorizer.allows(bearer, PULL, Target.of(name))).allowed


async def test_a_refresh_token_dies_with_its_key(database: Database, sign_in: KeySignIn, account: AccountMaker) -> None:
    """It carries the key and its limits, and is refused once the key is gone or has expired."""
    alice = await account("alice")
    refresh = RefreshTokens(database)
    key, number = await make_key(database, alice, limits=[KeyLimit(permissions=("repository:pull",))])
    token = await refresh.issue(await sign_in.by_key(key, HERE), "entrepot")
    assert token is not None
    redeemed = await refresh.redeem(token, "entrepot")
    assert redeemed.key == number
    assert redeemed.limits is not None
    assert redeemed.limits[0].permissions == {PULL}
    await database.write(lambda tx: api_keys.retire(tx, number, name="old", expires_at=clock.now()))
    with pytest.raises(CredentialsRefused, match="API key"):
        await refresh.redeem(token, "entrepot")
    await database.write(lambda tx: api_keys.remove(tx, alice.id or 0, number))
    with pytest.raises(CredentialsRefused, match="API key"):
        await refresh.redeem(token, "entrepot")


class Way:
    """Knows one password."""

    def __init__(self, password: str, answer: Principal) -> None:
        self.password = password
        self.answer = answer
        self.asked = 0

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        self.asked += 1
        if basic.password != self.password:
            raise CredentialsRefused
        return self.answer


async def test_the_first_way_that_knows_decides(database: Database, sign_in: KeySignIn, account: AccountMaker) -> None:
    """A key never reaches the way of passwords, neither a good one nor a bad one; all else does."""
    alice = await account("alice")
    key, _ = await make_key(database, alice)
    last = Way("secret", alice)
    chain = Chain([sign_in], last)
    assert (await chain.verify(Basic("alice", key), HERE)).key is not None
    with pytest.raises(CredentialsRefused):
        await chain.verify(Basic("alice", new_key()), HERE)
    assert last.asked == 0
    assert await chain.verify(Basic("alice", "secret"), HERE) == alice
    with pytest.raises(CredentialsRefused):
        await chain.verify(Basic("alice", "wrong"), HERE)
    assert last.asked == 2
