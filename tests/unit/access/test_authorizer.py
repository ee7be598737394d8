"""Decisions over a real database: what is remembered, what is read anew, and what a refusal says."""

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.errors import AccessRefused, ScopeInsufficient, TokenRefused
from entrepot.access.model import ANONYMOUS, Audience, Principal, PrincipalKind, Target
from entrepot.access.permissions import CATALOG, CREATE_PROJECT, DELETE, PULL, PUSH, Permission, known
from entrepot.metadata.database import Database
from entrepot.metadata.people import grants, principals
from entrepot.oci.errors import ErrorCode
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope, format_scopes
from tests.support.rights import give
from tests.support.rows import all_grants
from tests.unit.access.conftest import AccountMaker, Clock, make_project

APP = RepositoryName.parse("team/app")
OTHER = RepositoryName.parse("other/app")
PULL_TOKEN = (Scope("repository", "team/app", ("pull",)),)


async def may(
    authorizer: Authorizer, principal: Principal, permission: Permission, name: RepositoryName | None
) -> bool:
    return (await authorizer.allows(principal, permission, Target.of(name))).allowed


async def test_a_right_given_counts_at_once(authorizer: Authorizer, database: Database, account: AccountMaker) -> None:
    """A refusal is never remembered: the pull after the grant works."""
    alice = await account("alice")
    assert not await may(authorizer, alice, PULL, APP)
    await give(database, "project:team", "pull", principal_id=alice.id)
    assert await may(authorizer, alice, PULL, APP)


async def test_nothing_is_kept_from_the_operator(authorizer: Authorizer, database: Database) -> None:
    """Whoever works on the data folder itself may do everything, everywhere, and is told why."""
    await make_project(database, "team", public=False)
    operator = Principal(kind=PrincipalKind.OPERATOR, name="root")
    for permission in known():
        assert await may(authorizer, operator, permission, APP)
        assert await may(authorizer, operator, permission, None)
    assert "command line" in (await authorizer.explain(operator, DELETE, Target.of(APP))).reason
    assert (await authorizer.readable(operator)).projects is None


async def test_a_project_made_public_counts_at_once(authorizer: Authorizer, database: Database) -> None:
    """The anonymous pull after `project set --public` works, also right after one that was refused."""
    await make_project(database, "team", public=False)
    assert not await may(authorizer, ANONYMOUS, PULL, APP)
    await make_project(database, "team", public=True)
    assert await may(authorizer, ANONYMOUS, PULL, APP)


async def test_a_right_taken_is_gone_in_time(
    authorizer: Authorizer, database: Database, account: AccountMaker, clock: Clock
) -> None:
    """A read may be decided on what was true five seconds ago, and no longer."""
    alice = await account("alice", ("*", "pull,push"))
    assert await may(authorizer, alice, PULL, APP)
    (row,) = await all_grants(database)
    await database.write(lambda tx: grants.remove(tx, row.id))
    clock.now += 4.9
    assert await may(authorizer, alice, PULL, APP)
    clock.now += 0.2
    assert not await may(authorizer, alice, PULL, APP)


@pytest.mark.parametrize("permission", [PUSH, DELETE, CREATE_PROJECT, Permission("member:create")])
async def test_writes_are_decided_on_what_is_true_now(
    permission: Permission, authorizer: Authorizer, database: Database, account: AccountMaker
) -> None:
    """A right that was taken stops the next write, whatever was read before."""
    alice = await account("alice", ("*", "*"))
    assert await may(authorizer, alice, PULL, APP)
    assert await may(authorizer, alice, permission, APP)
    (row,) = await all_grants(database)
    await database.write(lambda tx: grants.remove(tx, row.id))
    assert not await may(authorizer, alice, permission, APP)


async def test_a_disabled_account_stops_writing_at_once_and_reading_in_time(
    authorizer: Authorizer, database: Database, account: AccountMaker, clock: Clock
) -> None:
    """Revocation: writes at once, reads within the age of what is remembered."""
    alice = await account("alice", ("*", "*"))
    assert await may(authorizer, alice, PULL, APP)
    await database.write(lambda tx: principals.set_disabled(tx, alice.id, disabled=True))
    with pytest.raises(TokenRefused):
        await authorizer.require(alice, (PULL, PUSH), APP)
    clock.now += 30
    with pytest.raises(TokenRefused):
        await authorizer.require(alice, PULL, APP)
    with pytest.raises(TokenRefused):
        await authorizer.require_sign_in(alice)


async def test_a_changed_password_ends_older_credentials(
    authorizer: Authorizer, database: Database, account: AccountMaker
) -> None:
    """The epoch of a credential must be the account's."""
    alice = await account("alice", ("*", "*"))
    await database.write(lambda tx: principals.set_secret(tx, alice.id, "y"))
    assert not await may(authorizer, alice, PUSH, APP)


async def test_a_pull_costs_no_statement_when_it_is_remembered(
    authorizer: Authorizer, database: Database, account: AccountMaker
) -> None:
    """After the first, a thousand pulls of one account ask the database nothing about rights."""
    alice = await account("alice", ("*", "pull"))
    await authorizer.require(alice, PULL, APP)
    before = database.statistics.statements
    for _ in range(1000):
        await authorizer.require(alice, PULL, APP)
    assert database.statistics.statements == before


async def test_refusals_say_what_a_token_would_need(authorizer: Authorizer, account: AccountMaker) -> None:
    """Without a credential the challenge asks for one; with one it says that its scope does not suffice."""
    with pytest.raises(AccessRefused) as anonymous:
        await authorizer.require(ANONYMOUS, (PULL, PUSH), APP)
    assert (format_scopes(anonymous.value.scopes), anonymous.value.error) == ("repository:team/app:pull,push", None)
    with pytest.raises(ScopeInsufficient) as refused:
        await authorizer.require(await account("alice"), PULL, APP)
    assert (format_scopes(refused.value.scopes), refused.value.error) == (
        "repository:team/app:pull",
        "insufficient_scope",
    )
    assert refused.value.code is ErrorCode.UNAUTHORIZED
    assert refused.value.detail == [{"Type": "repository", "Class": "", "Name": "team/app", "Action": "pull"}]


async def test_an_anonymous_token_is_a_credential(authorizer: Authorizer) -> None:
    """Whoever came with an anonymous token is told that it does not suffice, and passes `GET /v2/`."""
    token = ANONYMOUS.with_scopes(())
    with pytest.raises(ScopeInsufficient):
        await authorizer.require(token, PULL, APP)
    await authorizer.require_sign_in(token)


async def test_refusals_look_the_same_for_what_exists_and_what_does_not(
    authorizer: Authorizer, database: Database, account: AccountMaker
) -> None:
    """A private project and one that is not there give the same refusal, but for the name asked."""
    await make_project(database, "team", public=False)
    alice = await account("alice")
    seen = []
    for name in (APP, OTHER):
        with pytest.raises(ScopeInsufficient) as refused:
            await authorizer.require(alice, PULL, name)
        seen.append((str(refused.value), refused.value.error, repr(refused.value.detail).replace(name, "NAME")))
    assert seen[0] == seen[1]


async def test_a_mount_names_both_repositories(authorizer: Authorizer, account: AccountMaker) -> None:
    """A mount without the right to read the source is refused with the scopes of target and source."""
    alice = await account("alice", ("*", "*"))
    target_only = alice.with_scopes((Scope("repository", "team/app", ("pull", "push")),))
    with pytest.raises(ScopeInsufficient) as refused:
        await authorizer.require(target_only, (PULL, PUSH), APP, source=OTHER)
    assert format_scopes(refused.value.scopes) == "repository:team/app:pull,push repository:other/app:pull"
    both = alice.with_scopes((*target_only.scopes, Scope("repository", "other/app", ("pull",))))
    await authorizer.require(both, (PULL, PUSH), APP, source=OTHER)


async def test_mounting_from_anywhere_asks_for_the_rights_of_the_account(
    authorizer: Authorizer, database: Database, account: AccountMaker
) -> None:
    """Without a source named, the first repository counts that the person may read, not the first that has the blob."""
    alice = await account("alice", ("project:other", "pull"))
    token = alice.with_scopes(PULL_TOKEN)
    secret = RepositoryName.parse("secret/app")
    assert await authorizer.first_readable(token, [secret, OTHER, APP]) == OTHER
    assert await authorizer.first_readable(ANONYMOUS.with_scopes(()), [secret, OTHER]) is None
    await make_project(database, "secret", public=True)
    assert await authorizer.first_readable(ANONYMOUS, [APP, secret]) == secret


async def test_another_services_token_mounts_only_what_it_names(authorizer: Authorizer, database: Database) -> None:
    """Of a name that another service keeps we know the token alone, so the token stays the limit."""
    await give(database, "*", "pull,push", audience=Audience.AUTHENTICATED)
    token = Principal(kind=PrincipalKind.TOKEN, name="alice", scopes=PULL_TOKEN)
    assert await authorizer.first_readable(token, [OTHER]) is None
    assert await authorizer.first_readable(token, [OTHER, APP]) == APP


async def test_sign_in_is_asked_of_strangers_only_where_something_is_closed(
    authorizer: Authorizer, database: Database, account: AccountMaker
) -> None:
    """`GET /v2/` refuses the anonymous, unless a grant to anyone makes the registry an open one."""
    with pytest.raises(AccessRefused):
        await authorizer.require_sign_in(ANONYMOUS)
    await authorizer.require_sign_in(await account("alice"))
    await give(database, "*", "pull", audience=Audience.ANYONE)
    await authorizer.require_sign_in(ANONYMOUS)


async def test_public_projects_do_not_end_the_challenge(authorizer: Authorizer, database: Database) -> None:
    """A public project does not make `GET /v2/` answer 200 to strangers: `docker login` needs the challenge."""
    await make_project(database, "team", public=True)
    with pytest.raises(AccessRefused):
        await authorizer.require_sign_in(ANONYMOUS)


async def test_lists_show_what_may_be_read(authorizer: Authorizer, database: Database, account: AccountMaker) -> None:
    """The admin sees all projects, others those they were given and the public ones."""
    await make_project(database, "open", public=True)
    await make_project(database, "closed", public=False)
    admin = await account("admin", ("*", "*"))
    alice = await account("alice", ("project:team", "pull"), ("project:drop", "push"))
    assert (await authorizer.readable(admin)).projects is None
    assert (await authorizer.readable(alice)).projects == {"open", "team"}
    assert (await authorizer.readable(ANONYMOUS)).projects == {"open"}


async def test_the_catalog_is_for_those_who_signed_in(authorizer: Authorizer, account: AccountMaker) -> None:
    """The anonymous are asked to sign in, with the catalog's scope; an account without grants may look at its part."""
    with pytest.raises(AccessRefused) as refused:
        await authorizer.require(ANONYMOUS, CATALOG, None)
    assert format_scopes(refused.value.scopes) == "registry:catalog:*"
    await authorizer.require(await account("alice"), CATALOG, None)
