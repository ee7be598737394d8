"""Nobody gives what they do not have."""

from __future__ import annotations

import pytest

from entrepot.access.decision import Rights
from entrepot.access.grantable_rights import lacking
from entrepot.access.model import Grant, Principal, PrincipalKind, Target
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import EVERYTHING, PULL, PUSH, Permission, expand
from entrepot.oci.scope import Scope

BOTH = frozenset((PULL, PUSH))
MAKE_ROBOTS = Permission("robot:create")


def grant(
    *permissions: Permission,
    project: str | None = None,
    repositories: str | None = None,
    tags: str | None = None,
    end: int | None = None,
) -> Grant:
    """Write a grant shortly."""
    return Grant(
        permissions=expand(permissions),
        project=project,
        repositories=None if repositories is None else Pattern.parse(repositories),
        tags=None if tags is None else Pattern.parse(tags),
        expires_at=end,
    )


def giver(**more: object) -> Principal:
    """Give somebody with an account."""
    return Principal(kind=PrincipalKind.USER, name="alice", id=1, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("has", "gives"),
    [
        (grant(EVERYTHING), grant(PULL, MAKE_ROBOTS)),
        (grant(EVERYTHING), grant(EVERYTHING)),
        (grant(PULL, PUSH), grant(PULL, project="demo")),
        (grant(PULL, project="demo"), grant(PULL, project="demo")),
        (grant(PULL, project="demo"), grant(PULL, project="demo", repositories="demo/**", tags="v*", end=5)),
        (grant(PULL, repositories="demo/**"), grant(PULL, repositories="demo/**")),
        (grant(PULL, repositories="demo/**"), grant(PULL, project="demo", repositories="demo/a/b")),
        (grant(PULL, tags="v?"), grant(PULL, tags="v1")),
        (grant(PULL, end=10), grant(PULL, end=10)),
        (grant(PULL, MAKE_ROBOTS, repositories="**"), grant(PULL, MAKE_ROBOTS, project="demo")),
        (grant(PULL, repositories="**"), grant(PULL, repositories="**")),
        (grant(PULL, repositories="**"), grant(PULL, project="demo", repositories="demo/x*")),
    ],
)
def test_what_one_has_one_may_give(has: Grant, gives: Grant) -> None:
    """The same or less: another project's part, a narrower pattern that is a plain name, an earlier end."""
    assert not lacking(giver(), Rights.of([has]), gives)


@pytest.mark.parametrize(
    ("has", "gives"),
    [
        (grant(PULL), grant(PULL, PUSH)),
        (grant(PULL, project="demo"), grant(PULL, project="other")),
        (grant(PULL, project="demo"), grant(PULL)),
        (grant(PULL, project="demo"), grant(PULL, repositories="**")),
        (grant(PULL, project="demo"), grant(PULL, repositories="demo/**")),
        (grant(PULL, repositories="demo/*"), grant(PULL, repositories="demo/**")),
        (grant(PULL, repositories="demo/**"), grant(PULL, repositories="demo/x/*")),
        (grant(PULL, repositories="demo/**"), grant(PULL, project="demo")),
        (grant(PULL, repositories="demo/*"), grant(PULL, repositories="demo/a/b")),
        (grant(PULL, tags="v*"), grant(PULL)),
        (grant(PULL, tags="v*"), grant(PULL, tags="*")),
        (grant(PULL, end=10), grant(PULL)),
        (grant(PULL, end=10), grant(PULL, end=11)),
        (grant(PULL, MAKE_ROBOTS, repositories="**"), grant(MAKE_ROBOTS)),
    ],
)
def test_more_one_may_not(has: Grant, gives: Grant) -> None:
    """Another action, place, pattern or a later end is refused; what cannot be told apart counts as more."""
    assert lacking(giver(), Rights.of([has]), gives)


def test_several_grants_add_up() -> None:
    """Each permission may come from another grant, as long as each covers the whole gift."""
    rights = Rights.of([grant(PULL, project="demo"), grant(PUSH, repositories="demo/**")])
    assert lacking(giver(), rights, grant(PULL, PUSH, project="demo")) == {PUSH}
    assert not lacking(giver(), rights, grant(PULL, PUSH, project="demo", repositories="demo/**"))


def test_a_limited_key_and_a_token_give_less() -> None:
    """A key gives what lies within its limits too; a token for some scopes gives nothing."""
    rights = Rights.of([grant(EVERYTHING)])
    limited = giver(key=1, limits=(grant(PULL, project="demo"),))
    assert not lacking(limited, rights, grant(PULL, project="demo"))
    assert lacking(limited, rights, grant(PULL, PUSH, project="demo")) == {PUSH}
    assert lacking(limited, rights, grant(PULL, project="other")) == {PULL}
    token = giver(scopes=(Scope("repository", "demo/app", ("pull",)),))
    assert lacking(token, rights, grant(PULL, PUSH)) == BOTH


def test_an_account_gives_nothing_beyond_its_own_end() -> None:
    """What a robot of thirty days gives, ends after thirty days."""
    rights = Rights.of([grant(EVERYTHING)])
    assert not lacking(giver(), rights, grant(PULL, end=30), until=30)
    assert lacking(giver(), rights, grant(PULL, end=31), until=30) == {PULL}
    assert lacking(giver(), rights, grant(PULL), until=30) == {PULL}


def test_everything_of_a_project_is_what_projects_have() -> None:
    """`*:*` on a project needs no rights on the registry as a whole."""
    admin = grant(EVERYTHING, project="demo")
    assert not lacking(giver(), Rights.of([admin]), grant(EVERYTHING, project="demo"))


def test_every_repository_is_not_the_registry() -> None:
    """A grant on `**` reaches each project itself, and never the registry as a whole."""
    robots = grant(MAKE_ROBOTS, repositories="**")
    assert not robots.misses(MAKE_ROBOTS, Target("demo"), 0)
    assert robots.misses(MAKE_ROBOTS, Target(), 0)
    assert grant(MAKE_ROBOTS, repositories="demo/**").misses(MAKE_ROBOTS, Target("demo"), 0)
