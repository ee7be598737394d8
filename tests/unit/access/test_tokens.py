"""Our own tokens: what they say, who gets which, and which are believed."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from entrepot.access.authorizer import Authorizer
from entrepot.access.errors import SetupError, TokenRefused
from entrepot.access.model import ANONYMOUS, Principal, PrincipalKind
from entrepot.access.policy import Policy
from entrepot.access.tokens.jwt import quietly
from entrepot.access.tokens.own_tokens import OwnTokenChecker, RememberedTokens, TokenService
from entrepot.access.tokens.signing_keys import SigningKeys, load_or_create
from entrepot.metadata.database import Database
from entrepot.metadata.people import principals
from entrepot.oci.scope import format_scopes, parse_scopes
from tests.unit.access.conftest import AccountMaker, Clock, make_project


@pytest.fixture
def service(keys: SigningKeys, authorizer: Authorizer, clock: Clock) -> TokenService:
    """Give a service that signs by the test's clock."""
    return TokenService(keys, authorizer, clock=clock)


@pytest.fixture
def checker(keys: SigningKeys, clock: Clock) -> OwnTokenChecker:
    """Give a checker with the same keys and clock."""
    return OwnTokenChecker(keys, clock=clock)


@pytest.fixture
def verifier(checker: OwnTokenChecker, policy: Policy, clock: Clock) -> RememberedTokens:
    """Give what the web layer asks."""
    return RememberedTokens(checker, policy, clock=clock)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, unverified."""
    header, claims, _ = (
        json.loads(base64.urlsafe_b64decode(p + "==")) if i < 2 else p for i, p in enumerate(token.split("."))
    )
    return header, claims


async def test_the_token_says_what_the_specification_asks(service: TokenService, account: AccountMaker) -> None:
    """Header and claims are those of the Docker token specification; the key id is the RFC 7638 thumbprint."""
    alice = await account("alice", ("*", "pull"))
    issued = await service.issue(alice, parse_scopes("repository:team/app:pull,push"))
    header, claims = parts(issued.text)
    assert header["alg"] == "ES256"
    assert header["kid"] == service._keys.current.key.thumbprint()
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("entrepot", "alice", "entrepot")
    assert claims["exp"] - claims["iat"] == issued.expires_in == 300
    assert claims["nbf"] == claims["iat"] == issued.issued_at == 1_700_000_000
    assert claims["access"] == [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
    again = await service.issue(alice, ())
    assert parts(again.text)[1]["jti"] != claims["jti"]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("repository:team/app:pull,push,delete", "repository:team/app:pull,push"),
        ("repository:team/app:*", "repository:team/app:pull,push"),
        ("repository:team/app:delete", ""),
        ("repository:other/app:pull repository:team/app:pull", "repository:team/app:pull"),
        ("repository:Bad//Name:pull", ""),
        ("repository(plugin):team/app:pull", "repository:team/app:pull"),
        ("registry:catalog:*", "registry:catalog:*"),
        ("registry:catalog:pull", ""),
        ("registry:other:*", ""),
        ("artifact:team/app:pull", ""),
        ("repository:team/app:admin,create", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
async def test_the_intersection_is_granted(
    asked: str, given: str, service: TokenService, account: AccountMaker
) -> None:
    """A token holds the part of what was asked for that the account may do; less is never an error."""
    alice = await account("alice", ("project:team", "pull,push"))
    issued = await service.issue(alice, parse_scopes(asked))
    assert format_scopes(issued.scopes) == given


async def test_the_anonymous_get_pull_of_public_projects(service: TokenService, database: Database) -> None:
    """Without an account, a token holds pull of public projects and nothing else."""
    await make_project(database, "open", public=True)
    await make_project(database, "closed", public=False)
    asked = "repository:open/a:pull,push,delete repository:closed/a:pull repository:missing/a:pull registry:catalog:*"
    issued = await service.issue(ANONYMOUS, parse_scopes(asked))
    assert format_scopes(issued.scopes) == "repository:open/a:pull"


async def test_a_token_is_believed(service: TokenService, verifier: RememberedTokens, account: AccountMaker) -> None:
    """What was issued comes back as the same account, limited to the scopes."""
    alice = await account("alice", ("*", "*"))
    issued = await service.issue(alice, parse_scopes("repository:team/app:pull"))
    assert await verifier.verify(issued.text) == alice.with_scopes(issued.scopes)
    anonymous = await service.issue(ANONYMOUS, ())
    assert await verifier.verify(anonymous.text) == ANONYMOUS.with_scopes(())


async def test_expiry_is_kept_also_for_remembered_tokens(
    service: TokenService, verifier: RememberedTokens, account: AccountMaker, clock: Clock
) -> None:
    """A token works until its last second, and not after, however often it was seen."""
    token = (await service.issue(await account("alice"), ())).text
    await verifier.verify(token)
    clock.now += 299
    await verifier.verify(token)
    clock.now += 7
    with pytest.raises(TokenRefused, match="expired"):
        await verifier.verify(token)


async def test_an_upload_may_outlast_its_token(
    service: TokenService, verifier: RememberedTokens, account: AccountMaker, clock: Clock, database: Database
) -> None:
    """With the grace of an upload session an expired token still says who it is, unless the account was disabled."""
    alice = await account("alice", ("*", "*"))
    token = (await service.issue(alice, ())).text
    clock.now += 3600
    for _ in range(2):
        assert (await verifier.verify(token, grace=7200)).name == "alice"
    with pytest.raises(TokenRefused):
        await verifier.verify(token)
    with pytest.raises(TokenRefused):
        await verifier.verify(token, grace=60)
    await database.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=True))
    clock.now += 30
    with pytest.raises(TokenRefused):
        await verifier.verify(token, grace=7200)


async def test_revocation_reaches_remembered_tokens(
    service: TokenService, verifier: RememberedTokens, account: AccountMaker, clock: Clock, database: Database
) -> None:
    """A token of a disabled account is refused within seconds, though its signature is remembered."""
    alice = await account("alice", ("*", "*"))
    token = (await service.issue(alice, ())).text
    await verifier.verify(token)
    await database.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=True))
    clock.now += 5.1
    with pytest.raises(TokenRefused):
        await verifier.verify(token)


async def test_memory_is_bounded(service: TokenService, checker: OwnTokenChecker, policy: Policy, clock: Clock) -> None:
    """However many tokens come, only so many are remembered."""
    verifier = RememberedTokens(checker, policy, limit=10, clock=clock)
    for _ in range(30):
        await verifier.verify((await service.issue(ANONYMOUS, ())).text)
    assert len(verifier._known) == 10


def forged(keys: SigningKeys, *, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
    """Sign a token that is right but for what is given."""
    body = {
        "iss": "entrepot",
        "sub": "alice",
        "aud": "entrepot",
        "exp": 1_700_000_300,
        "nbf": 1_700_000_000,
        "iat": 1_700_000_000,
        "access": [],
        "entrepot": {"kind": "user", "id": 1, "epoch": 0},
    }
    body.update(claims)
    body = {name: value for name, value in body.items() if value is not ...}
    head = {"alg": "ES256", "kid": keys.current.id, **(header or {})}
    return jwt.encode(head, body, key or keys.current.key, algorithms=[head["alg"]])


def test_the_forger_makes_good_tokens(keys: SigningKeys, checker: OwnTokenChecker) -> None:
    """The tokens of the next test are refused for what is wrong with them: unchanged they are believed."""
    assert checker.check(forged(keys)).principal == Principal(kind=PrincipalKind.USER, name="alice", id=1, scopes=())
    assert checker.check(forged(keys, aud=["other", "entrepot"])).principal.name == "alice"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"iss": ...},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": ...},
        {"aud": {"entrepot": 1}},
        {"exp": ...},
        {"exp": "1700000300"},
        {"exp": True},
        {"exp": 1_699_999_990},
        {"nbf": 1_700_000_100},
        {"nbf": "soon"},
        {"sub": 5},
        {"access": "repository:team/app:pull"},
        {"access": [{"type": "repository", "name": "team/app", "actions": "pull"}]},
        {"access": [{"type": "repository", "name": "team/app"}]},
        {"access": [{"type": 1, "name": "team/app", "actions": []}]},
        {"access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}] * 1001},
        {"entrepot": ...},
        {"entrepot": {"kind": "root", "id": 1, "epoch": 0}},
        {"entrepot": {"kind": "user", "id": "1", "epoch": 0}},
        {"entrepot": {"kind": "user", "id": 1}},
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, Any], keys: SigningKeys, checker: OwnTokenChecker) -> None:
    """A token of ours with a claim that is missing, of the wrong type or not for us is refused."""
    with pytest.raises(TokenRefused):
        checker.check(forged(keys, **claims))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.", "é.é.é", "x" * 70_000, "W10.e30.AA"]
)
def test_what_is_no_token_is_refused(token: str, checker: OwnTokenChecker) -> None:
    """Anything else than a token is refused in words of ours."""
    with pytest.raises(TokenRefused):
        checker.check(token)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_no_part_of_a_token_can_be_changed(position: int, keys: SigningKeys, checker: OwnTokenChecker) -> None:
    """A flipped character in header, claims or signature ends the belief."""
    segments = forged(keys).split(".")
    middle = len(segments[position]) // 2
    other = "A" if segments[position][middle] != "A" else "B"
    segments[position] = segments[position][:middle] + other + segments[position][middle + 1 :]
    with pytest.raises(TokenRefused):
        checker.check(".".join(segments))


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    """The first start makes the keys, in a file of mode 0600; the next ones read them."""
    first = load_or_create(tmp_path / "keys")
    assert load_or_create(tmp_path / "keys").current.id == first.current.id
    (path,) = (tmp_path / "keys").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_keys_that_others_can_read_stop_the_start(tmp_path: Path) -> None:
    """A key file with wider rights is refused with the command that repairs it."""
    load_or_create(tmp_path)
    (path,) = tmp_path.iterdir()
    path.chmod(0o640)
    with pytest.raises(SetupError, match="chmod 600"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "EC"}]}', b"\xff"])
def test_damaged_keys_stop_the_start(content: bytes, tmp_path: Path) -> None:
    """A damaged key file is never replaced in silence: every token would end."""
    load_or_create(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(SetupError, match="remove it"):
        load_or_create(tmp_path)


def test_public_keys_do_not_sign(tmp_path: Path) -> None:
    """A key file that holds public keys only is refused at the start, not at the first token."""
    load_or_create(tmp_path)
    (path,) = tmp_path.iterdir()
    public = ECKey.import_key(json.loads(path.read_bytes())["keys"][0]).as_dict(private=False)
    path.write_text(json.dumps({"keys": [public]}))
    with pytest.raises(SetupError, match="no private"):
        load_or_create(tmp_path)


async def test_an_older_key_is_still_believed(tmp_path: Path, authorizer: Authorizer, clock: Clock) -> None:
    """A new key put in front signs; tokens of the old one work on until it is removed."""
    old = load_or_create(tmp_path / "a")
    token = (await TokenService(old, authorizer, clock=clock).issue(ANONYMOUS, ())).text
    load_or_create(tmp_path / "b")
    files = [next((tmp_path / name).iterdir()) for name in ("b", "a")]
    merged = [key for file in files for key in json.loads(file.read_bytes())["keys"]]
    files[1].write_text(json.dumps({"keys": merged}))
    both = load_or_create(tmp_path / "a")
    assert both.current.id != old.current.id
    OwnTokenChecker(both, clock=clock).check(token)
    with pytest.raises(TokenRefused):
        OwnTokenChecker(load_or_create(tmp_path / "b"), clock=clock).check(token)


async def test_eddsa_when_asked_for(tmp_path: Path, authorizer: Authorizer, clock: Clock) -> None:
    """The other algorithm signs and is believed; keys of both live beside each other."""
    es256 = load_or_create(tmp_path)
    keys = load_or_create(tmp_path, "EdDSA")
    issued = await TokenService(keys, authorizer, clock=clock).issue(ANONYMOUS, ())
    assert parts(issued.text)[0]["alg"] == "EdDSA"
    checker = OwnTokenChecker(keys, clock=clock)
    assert checker.check(issued.text).principal.is_anonymous
    older = await TokenService(es256, authorizer, clock=clock).issue(ANONYMOUS, ())
    assert checker.check(older.text).principal.is_anonymous
    with quietly(), pytest.raises(TokenRefused):
        checker.check(forged(keys, header={"alg": "EdDSA", "kid": es256.current.id}))


def test_tokens_live_at_least_a_minute(keys: SigningKeys, authorizer: Authorizer) -> None:
    """Clients that are told of less than 60 seconds believe 60 all the same."""
    with pytest.raises(SetupError, match="60"):
        TokenService(keys, authorizer, lifetime=59)
