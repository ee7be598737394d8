"""CVE-2025-24976: distribution believed a key that a token brought along when only its id was known.

Here a token may name a key, and never bring one or say where to fetch it; nor may it choose how it is checked.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from entrepot.access.errors import TokenRefused
from entrepot.access.tokens.own_tokens import OwnTokenChecker
from entrepot.access.tokens.signing_keys import SigningKeys
from entrepot.adapters.identity.foreign_tokens import ForeignTokens
from entrepot.adapters.identity.trusted_keys import TrustedKeys
from tests.unit.access.conftest import Clock

CLAIMS = {
    "iss": "entrepot",
    "sub": "admin",
    "aud": "entrepot",
    "exp": 1_700_000_300,
    "nbf": 1_700_000_000,
    "iat": 1_700_000_000,
    "access": [{"type": "repository", "name": "team/app", "actions": ["*"]}],
    "entrepot": {"kind": "user", "id": 1, "epoch": 0},
}


@pytest.fixture(params=["own", "foreign"])
def checker(request: pytest.FixtureRequest, keys: SigningKeys, clock: Clock) -> Any:
    """Give both checkers, knowing the same one key."""
    if request.param == "own":
        return OwnTokenChecker(keys, clock=clock)
    public = ECKey.import_key(keys.current.key.as_dict(private=False))
    trusted = TrustedKeys(by_id={keys.current.id: public})
    return ForeignTokens(trusted, issuer="entrepot", service="entrepot", clock=clock)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(key: ECKey, header: dict[str, Any]) -> str:
    """Sign without the library's own checks of the header, which an attacker would not have either."""
    head = b64(json.dumps({"alg": "ES256", "typ": "JWT", **header}).encode())
    body = b64(json.dumps(CLAIMS).encode())
    algorithm = JWSRegistry.algorithms["ES256"]
    signature = algorithm.sign(f"{head}.{body}".encode(), key)
    return f"{head}.{body}.{b64(signature)}"


def test_cve_2025_24976_the_signer_works(checker: Any, keys: SigningKeys) -> None:
    """The tokens below are refused for their headers: the plain one is believed by both checkers."""
    verified = checker.check(signed(keys.current.key, {"kid": keys.current.id}))
    assert verified.principal.name == "admin"


def test_cve_2025_24976_brought_key_with_known_id(checker: Any, keys: SigningKeys) -> None:
    """The fault itself: another key in `jwk`, under the id of a trusted one, and signed with that other key."""
    attacker = ECKey.generate_key("P-256")
    brought = {**attacker.as_dict(private=False), "kid": keys.current.id}
    for header in (
        {"kid": keys.current.id, "jwk": brought},
        {"jwk": brought},
        {"kid": keys.current.id},
        {},
    ):
        with pytest.raises(TokenRefused):
            checker.check(signed(attacker, header))


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "EC"}},
        {"jwk": None},
        {"jku": "https://attacker.test/keys"},
        {"x5u": "https://attacker.test/chain"},
        {"x5c": []},
        {"x5c": ["AAAA"]},
        {"x5c": "AAAA"},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)
def test_cve_2025_24976_such_headers_are_refused_even_with_a_good_signature(
    extra: dict[str, Any], checker: Any, keys: SigningKeys
) -> None:
    """Our own key's signature does not excuse a header that brings a key, an address or a condition."""
    with pytest.raises(TokenRefused):
        checker.check(signed(keys.current.key, {"kid": keys.current.id, **extra}))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "HS512", "ES384", "RS256", None, 5, ["ES256"]]
)
def test_cve_2025_24976_the_token_does_not_choose_the_algorithm(
    algorithm: Any, checker: Any, keys: SigningKeys
) -> None:
    """Whatever algorithm a token names, only that of the trusted key is used."""
    token = signed(keys.current.key, {"kid": keys.current.id, "alg": algorithm})
    with pytest.raises(TokenRefused):
        checker.check(token)
    with pytest.raises(TokenRefused):
        checker.check(token.rpartition(".")[0] + ".")


@pytest.mark.parametrize(
    "encoding", [(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
)
def test_cve_2025_24976_the_public_key_is_no_shared_secret(
    encoding: tuple[Encoding, PublicFormat], checker: Any, keys: SigningKeys
) -> None:
    """HS256 keyed with the public key, which everybody may know, proves nothing."""
    secret = keys.current.key.public_key.public_bytes(*encoding)
    head = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": keys.current.id}).encode())
    body = b64(json.dumps(CLAIMS).encode())
    signature = hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256)
    with pytest.raises(TokenRefused):
        checker.check(f"{head}.{body}.{b64(signature)}")


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\0" * 32, b"\xff" * 64, b"0" * 65])
def test_cve_2025_24976_empty_and_zero_signatures(signature: bytes, checker: Any, keys: SigningKeys) -> None:
    """A signature of zeros (CVE-2022-21449) or none at all is refused."""
    good = signed(keys.current.key, {"kid": keys.current.id})
    with pytest.raises(TokenRefused):
        checker.check(f"{good.rpartition('.')[0]}.{b64(signature)}")


@pytest.mark.parametrize("kid", [None, "", 5, [], {"a": 1}, "../../../dev/null", "' OR 1=1 --"])
def test_cve_2025_24976_key_ids_are_names_only(kid: Any, checker: Any, keys: SigningKeys) -> None:
    """A key id is looked up among known ids, whatever it is, and opens nothing else."""
    with pytest.raises(TokenRefused):
        checker.check(signed(keys.current.key, {"kid": kid}))


def test_cve_2025_24976_a_header_with_two_meanings(checker: Any, keys: SigningKeys) -> None:
    """The same field twice, which two parsers read differently, is refused."""
    good = signed(keys.current.key, {"kid": keys.current.id})
    head = b64(b'{"alg":"none","alg":"ES256","typ":"JWT","kid":"%s"}' % keys.current.id.encode())
    with pytest.raises(TokenRefused):
        checker.check(f"{head}.{good.partition('.')[2]}")
