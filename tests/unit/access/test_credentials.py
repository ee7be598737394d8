"""The Authorization header and those who read it."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.authenticator import CredentialAuthenticator, OpenAuthenticator, SillyAuthenticator
from entrepot.access.errors import AccessRefused, CredentialsRefused, TokenRefused
from entrepot.access.model import ANONYMOUS, Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic, Bearer, parse_authorization

ALICE = Principal(kind=PrincipalKind.USER, name="alice", id=1)
HERE = "192.0.2.7"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        (basic("alice:secret"), Basic("alice", "secret")),
        (basic("alice:se:cr:et"), Basic("alice", "se:cr:et")),
        (basic("älice:pässwörd"), Basic("älice", "pässwörd")),
        (basic(":"), Basic("", "")),
        ("bAsIc   YTpi", Basic("a", "b")),
        ("Bearer abc.def.ghi", Bearer("abc.def.ghi")),
        ("bearer  abc ", Bearer("abc")),
    ],
)
def test_good_headers(header: str | None, credential: object) -> None:
    """Both schemes, in any case; no header and an empty one are the same."""
    assert parse_authorization(header) == credential


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ?", "Basic YTpi=", basic("no colon"), "Basic //79", basic("a:b\0c"), "Bearer", "Digest x", "YTpi"],
)
def test_bad_headers(header: str) -> None:
    """What cannot be read is a wrong credential, not an anonymous caller."""
    with pytest.raises(CredentialsRefused):
        parse_authorization(header)


@given(st.text(max_size=50))
def test_any_header_is_read_or_refused(header: str) -> None:
    """No text makes anything else happen than being read or refused."""
    with suppress(CredentialsRefused):
        assert parse_authorization(header) is None or header.strip().lower().startswith(("basic ", "bearer "))


def test_secrets_do_not_show() -> None:
    """A credential in a trace or a log line keeps its secret."""
    assert "secret" not in repr(Basic("alice", "secret"))
    assert "secret" not in repr(Bearer("secret"))


class Passwords:
    """Knows one password."""

    async def verify(self, credential: Basic, client: str) -> Principal:
        if credential != Basic("alice", "right"):
            raise CredentialsRefused
        return ALICE


class Tokens:
    """Knows one token, which is expired."""

    async def verify(self, token: str, *, grace: float = 0) -> Principal:
        if token != "right" or not grace:
            raise TokenRefused
        return ALICE


async def test_only_offered_kinds_are_taken() -> None:
    """A registry with passwords only refuses tokens, and the other way round."""
    both = CredentialAuthenticator(passwords=Passwords(), tokens=Tokens())
    assert await both.authenticate(basic("alice:right"), HERE) == ALICE
    assert await both.authenticate("Bearer right", HERE, grace=1) == ALICE
    assert await both.authenticate(None, HERE) == ANONYMOUS
    with pytest.raises(TokenRefused):
        await both.authenticate("Bearer right", HERE)
    with pytest.raises(CredentialsRefused):
        await CredentialAuthenticator(passwords=Passwords()).authenticate("Bearer right", HERE, grace=1)
    with pytest.raises(CredentialsRefused):
        await CredentialAuthenticator(tokens=Tokens()).authenticate(basic("alice:right"), HERE)


@pytest.mark.parametrize("header", [None, "", "Basic ?", "Bearer x", "nonsense"])
async def test_an_open_registry_takes_everybody(header: str | None) -> None:
    """As registry:2 without `auth`: a header, even a broken one, makes no difference."""
    assert await OpenAuthenticator().authenticate(header, HERE) == ANONYMOUS


async def test_silly_takes_any_header() -> None:
    """As registry:2's `silly`: any header signs in, none does not."""
    assert (await SillyAuthenticator().authenticate("nonsense", HERE)).name == "silly"
    for header in (None, ""):
        with pytest.raises(AccessRefused):
            await SillyAuthenticator().authenticate(header, HERE)
