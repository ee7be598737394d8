"""The WWW-Authenticate header, to the letter of registry:2."""

import pytest

from entrepot.access.challenge import BasicChallenge, BearerChallenge, SillyChallenge
from entrepot.access.errors import AccessRefused, ScopeInsufficient, TokenRefused
from entrepot.oci.errors import Unauthorized
from entrepot.oci.scope import parse_scopes

SCOPES = parse_scopes("repository:a/b:pull,push repository:c/d:pull")
BASE = "https://registry.example"


@pytest.mark.parametrize(
    ("refused", "rest"),
    [
        (AccessRefused(), ""),
        (Unauthorized(), ""),
        (AccessRefused(scopes=SCOPES[:1]), ',scope="repository:a/b:pull,push"'),
        (TokenRefused(scopes=SCOPES[:1]), ',scope="repository:a/b:pull,push",error="invalid_token"'),
        (
            ScopeInsufficient(scopes=SCOPES),
            ',scope="repository:a/b:pull,push repository:c/d:pull",error="insufficient_scope"',
        ),
    ],
)
def test_bearer(refused: Unauthorized, rest: str) -> None:
    """Realm and service, the scopes in one parameter, and the error; every value is quoted."""
    own = BearerChallenge().render(refused, BASE)
    assert own == f'Bearer realm="https://registry.example/token",service="entrepot"{rest}'
    foreign = BearerChallenge(realm="https://auth.example/t", service="r.example").render(refused, BASE)
    assert foreign == f'Bearer realm="https://auth.example/t",service="r.example"{rest}'


def test_our_realm_follows_the_address_and_the_prefix() -> None:
    """The token endpoint is where the client reached us, below `http.prefix`."""
    challenge = BearerChallenge().render(AccessRefused(), "http://127.0.0.1:5000/below/")
    assert 'realm="http://127.0.0.1:5000/below/token"' in challenge


def test_our_realm_holds_no_word_that_confuses_clients() -> None:
    """hardening 1.12: the conformance client's pattern would find `basic` or `bearer` in the realm."""
    header = BearerChallenge().render(AccessRefused(), BASE).removeprefix("Bearer ")
    assert "basic" not in header.lower()
    assert "bearer" not in header.lower()


def test_autoredirect() -> None:
    """`auth.token.autoredirect`: the path on the host that was asked, by https."""
    challenge = BearerChallenge(realm="unused", service="s", autoredirect_path="/auth/token")
    assert challenge.render(AccessRefused(), "http://hub.example:8443/x").startswith(
        'Bearer realm="https://hub.example:8443/auth/token",service="s"'
    )


def test_basic() -> None:
    """The realm and nothing else, quoted."""
    assert BasicChallenge("Registry Realm").render(TokenRefused(scopes=SCOPES), BASE) == 'Basic realm="Registry Realm"'
    assert BasicChallenge('a "b" \\c').render(AccessRefused(), BASE) == r'Basic realm="a \"b\" \\c"'


def test_silly() -> None:
    """registry:2's silly names each action in a scope of its own."""
    silly = SillyChallenge("r", "s")
    assert silly.render(AccessRefused(), BASE) == 'Bearer realm="r",service="s"'
    assert silly.render(AccessRefused(scopes=SCOPES[:1]), BASE) == (
        'Bearer realm="r",service="s",scope="repository:a/b:pull repository:a/b:push"'
    )


def test_a_realm_cannot_break_the_header() -> None:
    """Line ends in a realm do not reach the header."""
    rendered = BasicChallenge("a\r\nSet-Cookie: x").render(AccessRefused(), BASE)
    assert "\r" not in rendered
    assert "\n" not in rendered
