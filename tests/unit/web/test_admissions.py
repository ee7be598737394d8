"""What is remembered of who was admitted, and for how long."""

from typing import Any

import pytest

from entrepot.access.model import Principal, PrincipalKind
from entrepot.web.http import Request
from entrepot.web.pull_cache import Admissions

ALICE = Principal(kind=PrincipalKind.USER, name="alice", id=1)


def request(method: str = "GET", authorization: str = "Bearer abc", client: str = "10.0.0.1", name: str = "a/b") -> Any:
    """Return a request as it is when its path has been read."""

    async def receive() -> dict[str, object]:
        raise AssertionError

    headers = [(b"authorization", authorization.encode())] if authorization else []
    scope = {"method": method, "raw_path": b"/", "query_string": b"", "headers": headers, "client": (client, "1")}
    made = Request(scope, receive)
    made.name = name
    return made


def known(admissions: Admissions, asked: Request, tags: tuple[str, ...] = ()) -> Principal | None:
    """Return who is remembered for a request."""
    question = admissions.question(asked, tags)
    found = None if question is None else admissions.find(question)
    return None if found is None else found.principal


@pytest.fixture
def clock() -> list[float]:
    """Give a time that a test moves."""
    return [100.0]


@pytest.fixture
def admissions(clock: list[float]) -> Admissions:
    """Give a memory that has admitted Alice once."""
    memory = Admissions(seconds=1.0, clock=lambda: clock[0])
    question = memory.question(request(), ("v1",))
    assert question is not None
    memory.put(question, ALICE)
    return memory


def test_the_same_question_has_the_same_answer(admissions: Admissions) -> None:
    """GET and HEAD ask for the same right."""
    assert known(admissions, request(), ("v1",)) is ALICE
    assert known(admissions, request("HEAD"), ("v1",)) is ALICE


def test_it_is_forgotten_after_its_time(admissions: Admissions, clock: list[float]) -> None:
    """Being asked again does not prolong it."""
    clock[0] += 0.9
    assert known(admissions, request(), ("v1",)) is ALICE
    clock[0] += 0.2
    assert known(admissions, request(), ("v1",)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"authorization": "Bearer abd"},
        {"authorization": ""},
        {"client": "10.0.0.2"},
        {"name": "a/c"},
    ],
)
def test_another_question_is_not_answered(admissions: Admissions, other: dict[str, str]) -> None:
    """Another credential, address or repository."""
    assert known(admissions, request(**other), ("v1",)) is None


def test_a_tag_is_part_of_the_question(admissions: Admissions) -> None:
    """Rights may end at tags."""
    assert known(admissions, request(), ("v2",)) is None
    assert known(admissions, request()) is None


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_writing_is_asked_each_time(admissions: Admissions, method: str) -> None:
    """What changes something is decided on what is committed now."""
    assert admissions.question(request(method), ("v1",)) is None


def test_passwords_are_checked_each_time(admissions: Admissions) -> None:
    """Whoever counts sign-ins sees each of them."""
    assert admissions.question(request(authorization="Basic YTpi"), ()) is None
