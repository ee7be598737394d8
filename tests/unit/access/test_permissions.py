"""The list of permissions, and what its wildcards stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.permissions import (
    CATALOG,
    CREATE_PROJECT,
    DELETE,
    EVERYTHING,
    PROJECT,
    PULL,
    PUSH,
    READING,
    SYSTEM,
    Permission,
    PermissionUnknown,
    expand,
    known,
    parse,
    within_project,
)

_known = st.sampled_from(sorted(known()))
_resources = st.sampled_from(sorted({*PROJECT, *SYSTEM}))


def test_the_named_ones_are_known() -> None:
    """What the code asks for by name is in the list, so that it can be given."""
    assert {PULL, PUSH, DELETE, CATALOG, CREATE_PROJECT} <= known()
    assert within_project() >= READING
    assert within_project() < known()


def test_everything_is_everything() -> None:
    """`*:*` stands for every permission there is."""
    assert expand([EVERYTHING]) == known()
    assert parse(["*:*"]) == {EVERYTHING}


@given(permission=_known)
def test_one_stands_for_itself(permission: Permission) -> None:
    """And its two halves are its resource and its action."""
    assert expand([permission]) == {permission}
    assert Permission.of(permission.resource, permission.action) == permission


@given(resource=_resources)
def test_a_wildcard_of_actions(resource: str) -> None:
    """`resource:*` is all that can be done to one kind of resource, and nothing else."""
    found = expand([f"{resource}:*"])
    assert found == {permission for permission in known() if permission.resource == resource}
    assert found


@given(one=st.lists(_known, max_size=4), other=st.lists(_known, max_size=4))
def test_sets_add_up(one: list[Permission], other: list[Permission]) -> None:
    """What two sets give together is what each gives, and nothing besides."""
    assert expand([*one, *other]) == expand(one) | expand(other)


@given(text=st.text(max_size=20))
def test_what_is_not_in_the_list_gives_nothing(text: str) -> None:
    """A role of a later version may name what we do not know: that gives nothing, and never an error."""
    assert expand([text]) <= known()
    if ":" not in text:
        assert expand([text]) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "pull",
        "repository",
        "repository:",
        ":pull",
        "repository:fly",
        "Repository:pull",
        "repository:pull ",
        "a:*",
        "*:fly",
        "repository:pull,member:create",
    ],
)
def test_what_cannot_be_given(text: str) -> None:
    """A misspelt permission is told to whoever writes it into a role."""
    with pytest.raises(PermissionUnknown, match="there is no permission"):
        parse([text])
