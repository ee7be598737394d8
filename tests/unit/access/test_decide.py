"""The pure decision: every kind of principal against every kind of right."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.decision import Rights, decide, explain, reaches
from entrepot.access.model import (
    ANONYMOUS,
    SYSTEM_TARGET,
    Audience,
    Grant,
    Principal,
    PrincipalKind,
    Target,
    Visibility,
)
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import (
    CATALOG,
    CREATE_PROJECT,
    DELETE,
    PULL,
    PUSH,
    READING,
    Permission,
    expand,
    known,
)
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope
from tests.support.rights import permissions_of

TEAM_APP = RepositoryName.parse("team/app")
APP = Target.of(TEAM_APP)
ALONE = Target.of(RepositoryName.parse("alone"))
TEAM = Target("team")
TARGETS = (APP, ALONE, TEAM, SYSTEM_TARGET)
ALICE = Principal(kind=PrincipalKind.USER, name="alice", id=7)
ROBOT = Principal(kind=PrincipalKind.ROBOT, name="robot$ci", id=8)
BOB = Principal(kind=PrincipalKind.USER, name="bob", id=8)
STRANGER = Principal(kind=PrincipalKind.TOKEN, name="alice", scopes=(Scope("repository", "team/app", ("*",)),))
MEMBERS = Permission("member:create")
CONFIGURE = Permission("configuration:update")
LIST_PROJECTS = Permission("project:list")
PERMISSIONS = (PULL, PUSH, DELETE, CATALOG, CREATE_PROJECT, MEMBERS, CONFIGURE)
#: A moment; grants of these tests end before or after it.
NOW = 1_000_000


def allowed(
    principal: Principal,
    permission: Permission,
    target: Target,
    *grants: Grant,
    visibility: Visibility = Visibility.PRIVATE,
) -> bool:
    rights = Rights.of(grant for grant in grants if reaches(grant, principal))
    return decide(principal, rights, permission, target, visibility=visibility, now=NOW).allowed


def grant(actions: str, project: str | None = None, **fields: object) -> Grant:
    return Grant(permissions=expand(permissions_of(actions)), project=project, origin="test", **fields)


def repository(name: str, tag: str | None = None) -> Target:
    return Target.of(RepositoryName.parse(name), tag)


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_nothing_is_allowed_without_a_grant_but_listing(permission: Permission) -> None:
    """A signed-in account without grants may list what it may read, which is nothing, and do nothing else."""
    for target in TARGETS:
        expected = permission == CATALOG and target == SYSTEM_TARGET
        assert allowed(ALICE, permission, target) is expected, target
        assert not allowed(ANONYMOUS, permission, target), target


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_star_allows_everything_everywhere(permission: Permission) -> None:
    """The admin's grant covers every permission on every repository and on the registry."""
    for target in TARGETS:
        assert allowed(ALICE, permission, target, grant("*", principal_id=7))


def test_a_grant_reaches_its_account_only() -> None:
    """A grant to one account gives nothing to another, nor to the anonymous, whose id is empty as well."""
    right = grant("pull", principal_id=7)
    assert allowed(ALICE, PULL, APP, right)
    assert not allowed(BOB, PULL, APP, right)
    assert not allowed(ANONYMOUS, PULL, APP, right)
    assert not allowed(ANONYMOUS, PULL, APP, grant("pull"))


def test_a_grant_to_a_group_reaches_its_members() -> None:
    """What the database names as a group's grant is the account's; an anonymous caller is in no group."""
    right = grant("pull", principal_id=99, group="testers")
    assert allowed(ALICE, PULL, APP, right)
    assert not allowed(ANONYMOUS, PULL, APP, right)


def test_a_grant_covers_its_permissions_only() -> None:
    """Pull is not push, and neither is delete."""
    right = grant("pull,push", principal_id=7)
    wanted = {PULL: True, PUSH: True, DELETE: False, CREATE_PROJECT: False, MEMBERS: False}
    assert {permission: allowed(ALICE, permission, APP, right) for permission in wanted} == wanted


def test_a_project_grant_stays_in_its_project() -> None:
    """A grant on a project covers its repositories, not those of one whose name begins alike, nor the registry."""
    right = grant("*", "team", principal_id=7)
    assert allowed(ALICE, PUSH, APP, right)
    assert allowed(ALICE, MEMBERS, TEAM, right)
    assert not allowed(ALICE, PUSH, repository("team2/app"), right)
    assert not allowed(ALICE, PUSH, repository("team"), right)
    assert not allowed(ALICE, MEMBERS, Target("team2"), right)
    assert not allowed(ALICE, CONFIGURE, SYSTEM_TARGET, right)


def test_one_part_names_belong_to_library() -> None:
    """`alone` and `library/alone` are governed by the same project."""
    right = grant("pull", "library", principal_id=7)
    assert allowed(ALICE, PULL, ALONE, right)
    assert allowed(ALICE, PULL, repository("library/alone"), right)


def test_a_pattern_of_repositories_limits_a_grant() -> None:
    """The pattern is over the full name; what is done to the project itself is outside of it."""
    right = grant("*", "team", principal_id=7, repositories=Pattern.parse("team/web/**"))
    wanted = {"team/web/front": True, "team/web/a/b": True, "team/app": False, "team/webby": False, "web/web/x": False}
    assert {name: allowed(ALICE, PUSH, repository(name), right) for name in wanted} == wanted
    assert not allowed(ALICE, MEMBERS, TEAM, right)
    assert not allowed(ALICE, CONFIGURE, SYSTEM_TARGET, grant("*", principal_id=7, repositories=Pattern.parse("**")))


def test_a_pattern_of_tags_limits_where_a_tag_is_named() -> None:
    """A tag outside is neither set nor read nor removed; bytes without a tag pass, deleting by digest does not."""
    right = grant("pull,push,delete", "team", principal_id=7, tags=Pattern.parse("dev-*"))
    inside, outside = repository("team/app", "dev-1"), repository("team/app", "v1")
    for permission in (PULL, PUSH, DELETE):
        assert allowed(ALICE, permission, inside, right)
        assert not allowed(ALICE, permission, outside, right)
    assert allowed(ALICE, PULL, APP, right)
    assert allowed(ALICE, PUSH, APP, right)
    assert not allowed(ALICE, DELETE, APP, right)
    assert not allowed(ALICE, PULL, TEAM, right)


def test_an_expired_grant_gives_nothing() -> None:
    """It ends at its moment, not after it."""
    for end, expected in ((NOW - 1, False), (NOW, False), (NOW + 1, True), (None, True)):
        assert allowed(ALICE, PULL, APP, grant("pull", principal_id=7, expires_at=end)) is expected, end


def test_audiences() -> None:
    """`authenticated` means everybody but the anonymous; `anyone` means them as well."""
    authenticated = grant("pull", audience=Audience.AUTHENTICATED)
    anyone = grant("pull", audience=Audience.ANYONE)
    people = (ALICE, STRANGER, ANONYMOUS)
    assert [allowed(who, PULL, APP, authenticated) for who in people] == [True, True, False]
    assert all(allowed(who, PULL, APP, anyone) for who in people)


@pytest.mark.parametrize(
    ("visibility", "strangers", "signed_in"),
    [(Visibility.PRIVATE, False, False), (Visibility.INTERNAL, False, True), (Visibility.PUBLIC, True, True)],
)
def test_visibility(visibility: Visibility, *, strangers: bool, signed_in: bool) -> None:
    """A private project is for members, an internal one for people who signed in, a public one for everybody."""
    for permission in READING:
        for target in (APP, TEAM):
            assert allowed(ANONYMOUS, permission, target, visibility=visibility) is strangers
            assert allowed(ALICE, permission, target, visibility=visibility) is signed_in
            assert allowed(ROBOT, permission, target, visibility=visibility) is strangers


def test_open_projects_are_read_and_no_more() -> None:
    """Pushing, deleting, members and listing stay as they are in a public or internal project."""
    for who, visibility in product((ALICE, ANONYMOUS), (Visibility.PUBLIC, Visibility.INTERNAL)):
        for permission in known() - READING:
            assert not allowed(who, permission, APP, visibility=visibility), permission


def test_a_token_limits_its_account() -> None:
    """A token for pulling one repository neither pushes there nor pulls elsewhere, whatever its account may do."""
    everything = grant("*", principal_id=7)
    token = ALICE.with_scopes((Scope("repository", "team/app", ("pull",)),))
    assert allowed(token, PULL, APP, everything)
    for permission, target in product(PERMISSIONS, TARGETS):
        if (permission, target) != (PULL, APP):
            assert not allowed(token, permission, target, everything), (permission, target)


def test_a_token_without_scopes_gives_nothing() -> None:
    """A token may name nothing at all: then not even public projects are read with it."""
    empty = ALICE.with_scopes(())
    assert not allowed(empty, PULL, APP, grant("*", principal_id=7), visibility=Visibility.PUBLIC)


def test_a_token_never_adds_a_right() -> None:
    """A scope for everything does not help an account that has no grant."""
    token = ALICE.with_scopes((Scope("repository", "team/app", ("*",)), Scope("registry", "catalog", ("*",))))
    assert not allowed(token, PUSH, APP)
    assert allowed(token, CATALOG, SYSTEM_TARGET)


def test_tokens_do_not_administer() -> None:
    """No scope gives the rest of the registry, not even `*`."""
    token = ALICE.with_scopes((Scope("registry", "catalog", ("*",)), Scope("repository", "team/app", ("*",))))
    everything = grant("*", principal_id=7)
    for permission in known() - {PULL, PUSH, DELETE, CATALOG, CREATE_PROJECT}:
        for target in TARGETS:
            assert not allowed(token, permission, target, everything), permission


def test_pushing_makes_the_project_where_the_account_may() -> None:
    """A token with push may make the project it pushes to, one with pull may not."""
    everything = grant("*", principal_id=7)
    push = ALICE.with_scopes((Scope("repository", "team/app", ("pull", "push")),))
    pull = ALICE.with_scopes((Scope("repository", "team/app", ("pull",)),))
    assert allowed(push, CREATE_PROJECT, APP, everything)
    assert not allowed(pull, CREATE_PROJECT, APP, everything)


def test_catalog_needs_its_own_scope() -> None:
    """Only `registry:catalog:*` lists; another action or another name of that type does not."""
    for scope in (
        Scope("registry", "catalog", ("pull",)),
        Scope("registry", "other", ("*",)),
        Scope("repository", "catalog", ("*",)),
    ):
        assert not allowed(ALICE.with_scopes((scope,)), CATALOG, SYSTEM_TARGET, grant("*", principal_id=7)), scope


def test_a_name_in_a_token_is_taken_whole() -> None:
    """A scope names one repository: no prefix, no pattern."""
    for name in ("team", "team/ap", "team/app/x", "*", "team/*"):
        token = ALICE.with_scopes((Scope("repository", name, ("*",)),))
        assert not allowed(token, PULL, APP, grant("*", principal_id=7)), name


def test_a_foreign_name_is_not_our_account() -> None:
    """Another service's alice does not get what our alice was given, nor what her groups were."""
    assert not allowed(STRANGER, PULL, APP, grant("*", principal_id=7))
    assert not allowed(STRANGER, PULL, APP, grant("*", principal_id=9, group="testers"))


def test_a_key_limits_its_account() -> None:
    """A key made for one repository's pulls does that, and nothing else of what its owner may."""
    everything = grant("*", principal_id=7)
    limit = Grant(permissions=frozenset((PULL,)), repositories=Pattern.parse("team/app"))
    key = Principal(kind=PrincipalKind.USER, name="alice", id=7, key=1, limits=(limit,))
    assert allowed(key, PULL, APP, everything)
    assert not allowed(key, PUSH, APP, everything)
    assert not allowed(key, PULL, ALONE, everything)
    assert not allowed(key, CONFIGURE, SYSTEM_TARGET, everything)


def test_a_key_never_adds_a_right() -> None:
    """A key that was made for everything gives nothing that its owner has lost."""
    everything = Grant(permissions=expand(["*:*"]))
    key = Principal(kind=PrincipalKind.USER, name="alice", id=7, key=1, limits=(everything,))
    assert not allowed(key, PULL, APP)
    assert allowed(key, PULL, APP, visibility=Visibility.PUBLIC)


def test_a_key_without_limits_entries_gives_nothing() -> None:
    """A key that may be used for nothing does not read public projects either."""
    key = Principal(kind=PrincipalKind.USER, name="alice", id=7, key=1, limits=())
    assert not allowed(key, PULL, APP, grant("*", principal_id=7), visibility=Visibility.PUBLIC)


def test_a_token_made_with_a_key_is_limited_twice() -> None:
    """Scopes and limits both have to name what is asked for."""
    limit = Grant(permissions=frozenset((PULL,)), project="team")
    key = Principal(kind=PrincipalKind.USER, name="alice", id=7, key=1, limits=(limit,))
    token = key.with_scopes((Scope("repository", "team/app", ("pull", "push")),))
    everything = grant("*", principal_id=7)
    assert allowed(token, PULL, APP, everything)
    assert not allowed(token, PUSH, APP, everything)


_permissions = st.sampled_from(sorted(known()))
_targets = st.sampled_from([*TARGETS, repository("team/app", "dev-1"), repository("team/app", "v1")])
_grants = st.builds(
    Grant,
    permissions=st.frozensets(_permissions, max_size=3) | st.just(expand(["*:*"])),
    project=st.sampled_from([None, "team", "library"]),
    repositories=st.sampled_from([None, Pattern("team/*"), Pattern("**")]),
    tags=st.sampled_from([None, Pattern("dev-*")]),
    principal_id=st.just(7),
    expires_at=st.sampled_from([None, NOW - 1, NOW + 1]),
)
_scopes = st.lists(
    st.builds(
        Scope,
        st.sampled_from(["repository", "registry"]),
        st.sampled_from(["team/app", "alone", "catalog", "team"]),
        st.lists(st.sampled_from(["pull", "push", "delete", "*", "admin", "create"]), max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)
_visibilities = st.sampled_from(Visibility)


@given(
    scopes=st.none() | _scopes,
    limits=st.none() | st.lists(_grants, max_size=2).map(tuple),
    grants=st.lists(_grants, max_size=3),
    visibility=_visibilities,
    permission=_permissions,
    target=_targets,
)
def test_a_credential_only_takes_away(
    *,
    scopes: tuple[Scope, ...] | None,
    limits: tuple[Grant, ...] | None,
    grants: list[Grant],
    visibility: Visibility,
    permission: Permission,
    target: Target,
) -> None:
    """What a token or a key allows, its account may do without it."""
    limited = Principal(kind=PrincipalKind.USER, name="alice", id=7, key=1, scopes=scopes, limits=limits)
    if allowed(limited, permission, target, *grants, visibility=visibility):
        assert allowed(ALICE, permission, target, *grants, visibility=visibility)


@given(
    grants=st.lists(_grants, max_size=3),
    more=_grants,
    visibility=_visibilities,
    permission=_permissions,
    target=_targets,
)
def test_a_grant_only_adds(
    *, grants: list[Grant], more: Grant, visibility: Visibility, permission: Permission, target: Target
) -> None:
    """No grant takes away what another gives, and their order does not count."""
    before = allowed(ALICE, permission, target, *grants, visibility=visibility)
    after = allowed(ALICE, permission, target, *grants, more, visibility=visibility)
    assert after >= before
    assert after == allowed(ALICE, permission, target, more, *reversed(grants), visibility=visibility)
    assert after == (before or not more.misses(permission, target, NOW))


@given(grants=st.lists(_grants, max_size=4), visibility=_visibilities, permission=_permissions, target=_targets)
def test_explaining_decides_alike(
    *, grants: list[Grant], visibility: Visibility, permission: Permission, target: Target
) -> None:
    """`explain` says yes and no exactly where `decide` does, and speaks of every grant."""
    rights = Rights.of(grants)
    decision = decide(ALICE, rights, permission, target, visibility=visibility, now=NOW)
    explained = explain(ALICE, rights, permission, target, visibility=visibility, now=NOW)
    assert (explained.allowed, explained.reason) == (decision.allowed, decision.reason)
    spoken = [line for line in explained.trace if line.startswith("grant ")]
    assert len(spoken) == len(grants)
    assert any(line.endswith("allows it") for line in spoken) == any(
        not g.misses(permission, target, NOW) for g in grants
    )


def test_the_reason_names_the_grant() -> None:
    """The reason says which grant, which open project, which token or which key decided."""
    right = Rights.of([grant("pull", "team", principal_id=7)])
    none = Rights.of([])

    def reason(who: Principal, rights: Rights, visibility: Visibility = Visibility.PRIVATE) -> str:
        return decide(who, rights, PULL, APP, visibility=visibility).reason

    assert reason(ALICE, right) == "grant test: permissions on project team allows repository:pull"
    assert reason(ALICE, none) == "no grant allows repository:pull on repository team/app"
    assert reason(ALICE, none, Visibility.PUBLIC) == "project team is public"
    assert "internal" in reason(ALICE, none, Visibility.INTERNAL)
    assert reason(ALICE.with_scopes(()), right) == "the token does not allow repository:pull on repository team/app"
    key = Principal(kind=PrincipalKind.USER, name="alice", id=7, limits=())
    assert reason(key, right) == "the key does not allow repository:pull on repository team/app"


def test_the_trace_says_why_each_grant_did_not_help() -> None:
    """Somebody who is refused reads which of their grants was near, and what was missing."""
    rights = Rights.of(
        [
            grant("pull", "team", principal_id=7),
            grant("push", "other", principal_id=7),
            grant("push", "team", principal_id=7, expires_at=NOW),
            grant("push", "team", principal_id=7, repositories=Pattern.parse("team/web/*")),
            grant("push", "team", principal_id=9, tags=Pattern.parse("dev-*"), group="testers"),
        ]
    )
    decision = explain(ALICE, rights, PUSH, repository("team/app", "v1"), now=NOW)
    assert not decision.allowed
    assert decision.reason == "no grant allows repository:push on repository team/app, tag v1"
    assert sorted(decision.trace) == [
        "grant test: permissions on project other: it is for another project",
        "grant test: permissions on project team, repositories team/web/*: its pattern does not match the repository",
        (
            "grant test: permissions on project team, tags dev-*, through group testers: "
            "its pattern does not match the tag"
        ),
        "grant test: permissions on project team: it does not include the permission",
        "grant test: permissions on project team: it has expired",
        "project team is private",
    ]


def test_a_decision_looks_at_the_grants_on_its_project_alone() -> None:
    """Of 2,000 grants on 500 projects, a decision on one project sees the few on it and the system-wide ones."""
    grants = [grant("pull", f"p{number % 500}", principal_id=7) for number in range(2000)]
    rights = Rights.of([*grants, grant("catalog", principal_id=7)])
    assert len(list(rights.on(Target("p3")))) == 5
    assert len(list(rights.on(SYSTEM_TARGET))) == 1
    assert len(list(rights.all())) == 2001
