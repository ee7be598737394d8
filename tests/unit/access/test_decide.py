"""The pure decision: every kind of principal against every kind of right."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.decide import decide
from entrepot.access.model import ANONYMOUS, Action, Audience, Grant, Principal, PrincipalKind
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope

APP = RepositoryName.parse("team/app")
ALONE = RepositoryName.parse("alone")
ALICE = Principal(kind=PrincipalKind.USER, name="alice", id=7)
BOB = Principal(kind=PrincipalKind.USER, name="bob", id=8)
STRANGER = Principal(kind=PrincipalKind.TOKEN, name="alice", scopes=(Scope("repository", "team/app", ("*",)),))


def allowed(
    principal: Principal,
    action: Action,
    name: RepositoryName | None,
    *grants: Grant,
    public: bool = False,
) -> bool:
    return decide(principal, grants, project_public=public, action=action, name=name).allowed


def grant(actions: str, resource: str = "*", **fields: object) -> Grant:
    return Grant(resource=resource, actions=frozenset(actions.split(",")), origin="test", **fields)


@pytest.mark.parametrize("action", Action)
def test_nothing_is_allowed_without_a_grant_but_listing(action: Action) -> None:
    """A signed-in account without grants may list what it may read, which is nothing, and do nothing else."""
    name = None if action in (Action.CATALOG, Action.ADMIN) else APP
    assert allowed(ALICE, action, name) is (action is Action.CATALOG)
    assert not allowed(ANONYMOUS, action, name)


@pytest.mark.parametrize("action", Action)
def test_star_allows_everything_everywhere(action: Action) -> None:
    """The admin's grant covers every action on every repository and on the registry."""
    for name in (APP, ALONE, None):
        assert allowed(ALICE, action, name, grant("*", principal_id=7))


def test_a_grant_reaches_its_account_only() -> None:
    """A grant to one account gives nothing to another, nor to the anonymous, whose id is empty as well."""
    right = grant("pull", principal_id=7)
    assert allowed(ALICE, Action.PULL, APP, right)
    assert not allowed(BOB, Action.PULL, APP, right)
    assert not allowed(ANONYMOUS, Action.PULL, APP, right)
    assert not allowed(ANONYMOUS, Action.PULL, APP, grant("pull"))


def test_a_grant_covers_its_actions_only() -> None:
    """Pull is not push, and neither is delete."""
    right = grant("pull,push", principal_id=7)
    wanted = {Action.PULL: True, Action.PUSH: True, Action.DELETE: False, Action.CREATE_PROJECT: False}
    assert {action: allowed(ALICE, action, APP, right) for action in wanted} == wanted


def test_a_project_grant_stays_in_its_project() -> None:
    """A grant on a project covers its repositories, not those of one whose name begins alike, nor the registry."""
    right = grant("*", "project:team", principal_id=7)
    assert allowed(ALICE, Action.PUSH, APP, right)
    assert not allowed(ALICE, Action.PUSH, RepositoryName.parse("team2/app"), right)
    assert not allowed(ALICE, Action.PUSH, RepositoryName.parse("team"), right)
    assert not allowed(ALICE, Action.ADMIN, None, right)


def test_one_part_names_belong_to_library() -> None:
    """`alone` and `library/alone` are governed by the same project."""
    right = grant("pull", "project:library", principal_id=7)
    assert allowed(ALICE, Action.PULL, ALONE, right)
    assert allowed(ALICE, Action.PULL, RepositoryName.parse("library/alone"), right)


def test_audiences() -> None:
    """`authenticated` means everybody but the anonymous; `anyone` means them as well."""
    authenticated = grant("pull", audience=Audience.AUTHENTICATED)
    anyone = grant("pull", audience=Audience.ANYONE)
    assert [allowed(who, Action.PULL, APP, authenticated) for who in (ALICE, STRANGER, ANONYMOUS)] == [
        True,
        True,
        False,
    ]
    assert all(allowed(who, Action.PULL, APP, anyone) for who in (ALICE, STRANGER, ANONYMOUS))


def test_public_projects_give_pull_and_no_more() -> None:
    """Everybody may pull from a public project; pushing, deleting and listing stay as they are."""
    assert allowed(ANONYMOUS, Action.PULL, APP, public=True)
    for action, name in ((Action.PUSH, APP), (Action.DELETE, APP), (Action.CATALOG, None)):
        assert not allowed(ANONYMOUS, action, name, public=True)


def test_a_token_limits_its_account() -> None:
    """A token for pulling one repository neither pushes there nor pulls elsewhere, whatever its account may do."""
    everything = grant("*", principal_id=7)
    token = ALICE.with_scopes((Scope("repository", "team/app", ("pull",)),))
    assert allowed(token, Action.PULL, APP, everything)
    for action, name in product(Action, (APP, ALONE, None)):
        if (action, name) != (Action.PULL, APP):
            assert not allowed(token, action, name, everything), (action, name)


def test_a_token_without_scopes_gives_nothing() -> None:
    """A token may name nothing at all: then not even public projects are read with it."""
    empty = ALICE.with_scopes(())
    assert not allowed(empty, Action.PULL, APP, grant("*", principal_id=7), public=True)


def test_a_token_never_adds_a_right() -> None:
    """A scope for everything does not help an account that has no grant."""
    token = ALICE.with_scopes((Scope("repository", "team/app", ("*",)), Scope("registry", "catalog", ("*",))))
    assert not allowed(token, Action.PUSH, APP)
    assert allowed(token, Action.CATALOG, None)


def test_tokens_do_not_administer() -> None:
    """No scope gives the rest of the registry, not even `*`."""
    token = ALICE.with_scopes((Scope("registry", "catalog", ("*",)), Scope("repository", "team/app", ("*",))))
    everything = grant("*", principal_id=7)
    assert not allowed(token, Action.ADMIN, None, everything)
    assert not allowed(token, Action.ADMIN, APP, everything)


def test_pushing_makes_the_project_where_the_account_may() -> None:
    """A token with push may make the project it pushes to, one with pull may not."""
    everything = grant("*", principal_id=7)
    push = ALICE.with_scopes((Scope("repository", "team/app", ("pull", "push")),))
    pull = ALICE.with_scopes((Scope("repository", "team/app", ("pull",)),))
    assert allowed(push, Action.CREATE_PROJECT, APP, everything)
    assert not allowed(pull, Action.CREATE_PROJECT, APP, everything)


def test_catalog_needs_its_own_scope() -> None:
    """Only `registry:catalog:*` lists; another action or another name of that type does not."""
    for scope in (
        Scope("registry", "catalog", ("pull",)),
        Scope("registry", "other", ("*",)),
        Scope("repository", "catalog", ("*",)),
    ):
        assert not allowed(ALICE.with_scopes((scope,)), Action.CATALOG, None, grant("*", principal_id=7)), scope


def test_a_name_in_a_token_is_taken_whole() -> None:
    """A scope names one repository: no prefix, no pattern."""
    for name in ("team", "team/ap", "team/app/x", "*", "team/*"):
        token = ALICE.with_scopes((Scope("repository", name, ("*",)),))
        assert not allowed(token, Action.PULL, APP, grant("*", principal_id=7)), name


def test_a_foreign_name_is_not_our_account() -> None:
    """Another service's alice does not get what our alice was given."""
    assert not allowed(STRANGER, Action.PULL, APP, grant("*", principal_id=7))


@given(
    scopes=st.lists(
        st.builds(
            Scope,
            st.sampled_from(["repository", "registry"]),
            st.sampled_from(["team/app", "alone", "catalog", "team"]),
            st.lists(st.sampled_from(["pull", "push", "delete", "*", "admin", "create"]), max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    actions=st.lists(st.sampled_from([*map(str, Action), "*"]), min_size=1, max_size=3),
    resource=st.sampled_from(["*", "project:team", "project:library"]),
    public=st.booleans(),
    action=st.sampled_from(Action),
    name=st.sampled_from([APP, ALONE, None]),
)
def test_a_token_only_takes_away(
    *,
    scopes: tuple[Scope, ...],
    actions: list[str],
    resource: str,
    public: bool,
    action: Action,
    name: RepositoryName | None,
) -> None:
    """What a token allows, its account may do without the token."""
    right = grant(",".join(actions), resource, principal_id=7)
    if allowed(ALICE.with_scopes(scopes), action, name, right, public=public):
        assert allowed(ALICE, action, name, right, public=public)


def test_the_reason_names_the_grant() -> None:
    """The trace says which grant, which public project or which token decided."""
    right = grant("pull", principal_id=7)
    ask = {"project_public": False, "action": Action.PULL, "name": APP}
    assert decide(ALICE, [right], **ask).reason == "grant test allows pull on *"
    assert decide(ALICE, [], **ask).reason == "no grant allows pull on repository team/app"
    assert "public" in decide(ALICE, [], **(ask | {"project_public": True})).reason
    assert "token" in decide(ALICE.with_scopes(()), [right], **ask).reason
