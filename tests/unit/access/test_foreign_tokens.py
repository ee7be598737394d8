"""`auth.token`: another service's tokens are believed as registry:2 and registry:3 believe them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jws import JWSRegistry

from entrepot.access.errors import SetupError, TokenRefused
from entrepot.access.model import PrincipalKind
from entrepot.adapters.identity.foreign_tokens import ForeignTokens
from entrepot.adapters.identity.key_ids import curve_id, libtrust_id
from entrepot.adapters.identity.trusted_keys import load_trusted_keys
from entrepot.oci.scope import Scope
from tests.unit.access.certificates import NOW, Party, jwk, new_key, token
from tests.unit.access.conftest import Clock


def checker(folder: Path, clock: Clock, *parties: Party, jwks: Any = None, **options: Any) -> ForeignTokens:
    """Build a checker over files as an operator has them."""
    bundle = keys = ""
    if parties:
        (folder / "bundle.pem").write_bytes(b"some text\n".join(party.pem for party in parties))
        bundle = str(folder / "bundle.pem")
    if jwks is not None:
        (folder / "jwks.json").write_text(json.dumps(jwks))
        keys = str(folder / "jwks.json")
    trusted = load_trusted_keys(bundle=bundle, jwks=keys)
    return ForeignTokens(trusted, issuer="auth.example", service="registry.example", clock=clock, **options)


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("EC", "ES256"),
        ("P-384", "ES384"),
        ("RSA", "RS256"),
        ("RSA", "RS512"),
        ("RSA", "PS256"),
        ("Ed25519", "EdDSA"),
    ],
)
def test_keys_of_the_bundle_are_found_by_every_id(kind: str, algorithm: str, tmp_path: Path, clock: Clock) -> None:
    """A token may name its key by registry:2's libtrust id or by registry:3's thumbprint, for each kind of key."""
    signer = Party("signer", new_key(kind))
    tokens = checker(tmp_path, clock, Party("another"), signer)
    for kid in (libtrust_id(signer.key.public_key()), jwk(signer.key).thumbprint()):
        principal = tokens.check(token(signer.key, {"kid": kid}, algorithm)).principal
        assert (principal.kind, principal.name, principal.id) == (PrincipalKind.TOKEN, "alice", None)
        assert principal.scopes == (Scope("repository", "team/app", ("pull", "push")),)


def test_libtrust_ids_have_their_form(tmp_path: Path) -> None:
    """Twelve groups of four, base32 of the first 240 bits of the SHA-256 of the key: a known key has its known id."""
    pem = (
        b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
        b"6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n"
    )
    (tmp_path / "bundle.pem").write_bytes(pem)
    ids = sorted(load_trusted_keys(bundle=str(tmp_path / "bundle.pem")).by_id)
    assert [len(key_id) for key_id in ids if ":" in key_id] == [59]
    assert all(len(group) == 4 for key_id in ids if ":" in key_id for group in key_id.split(":"))


def test_registry_3s_mistaken_id_is_understood(tmp_path: Path, clock: Clock) -> None:
    """registry:3.0 names an elliptic-curve key by its curve; the signature must be the key's all the same."""
    signer = Party("signer")
    tokens = checker(tmp_path, clock, signer)
    kid = curve_id(signer.key.curve)
    assert tokens.check(token(signer.key, {"kid": kid})).principal.name == "alice"
    with pytest.raises(TokenRefused):
        tokens.check(token(new_key(), {"kid": kid}))


def test_key_sets(tmp_path: Path, clock: Clock) -> None:
    """Keys of a JWK set are found by the id it gives them, and by thumbprint where it gives none."""
    named, unnamed = new_key(), new_key("RSA")
    keys = [{**jwk(named).as_dict(private=False), "kid": "first"}, jwk(unnamed).as_dict(private=False)]
    tokens = checker(tmp_path, clock, jwks={"keys": keys})
    assert tokens.check(token(named, {"kid": "first"})).principal.name == "alice"
    assert tokens.check(token(unnamed, {"kid": jwk(unnamed).thumbprint()}, "RS256")).principal.name == "alice"
    with pytest.raises(TokenRefused):
        tokens.check(token(unnamed, {"kid": "first"}, "RS256"))


def test_unknown_signers_are_refused(tmp_path: Path, clock: Clock) -> None:
    """A key that is not in the bundle signs nothing, under whatever id."""
    signer, stranger = Party("signer"), new_key()
    tokens = checker(tmp_path, clock, signer)
    for header in (
        {},
        {"kid": "?"},
        {"kid": libtrust_id(stranger.public_key())},
        {"kid": jwk(signer.key).thumbprint()},
    ):
        with pytest.raises(TokenRefused):
            tokens.check(token(stranger, header))


@pytest.mark.parametrize(
    ("changes", "believed"),
    [
        ({}, True),
        ({"aud": ["a", "registry.example"]}, True),
        ({"exp": NOW - 59}, True),
        ({"nbf": NOW + 59}, True),
        ({"nbf": ..., "iat": ..., "jti": ..., "sub": ..., "access": ...}, True),
        ({"access": None}, True),
        ({"access": [{"type": "repository", "name": "a", "actions": None, "class": ""}]}, True),
        ({"iss": "other"}, False),
        ({"aud": "registry"}, False),
        ({"aud": "registry.example.evil"}, False),
        ({"aud": []}, False),
        ({"exp": NOW - 61}, False),
        ({"exp": ...}, False),
        ({"nbf": NOW + 61}, False),
    ],
)
def test_claims(changes: dict[str, Any], *, believed: bool, tmp_path: Path, clock: Clock) -> None:
    """Issuer, audience (one or a list) and times with 60 s for clocks that disagree."""
    signer = Party("signer")
    tokens = checker(tmp_path, clock, signer)
    text = token(signer.key, {"kid": jwk(signer.key).thumbprint()}, **changes)
    if believed:
        assert tokens.check(text).expires >= NOW
    else:
        with pytest.raises(TokenRefused):
            tokens.check(text)


def test_algorithms_can_be_narrowed(tmp_path: Path, clock: Clock) -> None:
    """With `signingalgorithms` set, a key is no more believed with another one, nor when none of them fits it."""
    rsa, ec = Party("rsa", new_key("RSA")), Party("ec")
    tokens = checker(tmp_path, clock, rsa, ec, algorithms=("RS256",))
    kid = {"kid": libtrust_id(rsa.key.public_key())}
    assert tokens.check(token(rsa.key, kid, "RS256")).principal.name == "alice"
    for text in (token(rsa.key, kid, "RS384"), token(ec.key, {"kid": libtrust_id(ec.key.public_key())})):
        with pytest.raises(TokenRefused):
            tokens.check(text)


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256K", "rs256"])
def test_unusable_algorithms_stop_the_start(algorithm: str, tmp_path: Path, clock: Clock) -> None:
    """An algorithm that proves nothing or is not known is named at the start."""
    with pytest.raises(SetupError, match=f"signingalgorithms: {algorithm}"):
        checker(tmp_path, clock, Party("signer"), algorithms=("RS256", algorithm))


def test_chains_that_end_in_the_bundle(tmp_path: Path, clock: Clock) -> None:
    """A token may bring its certificate and those between it and the bundle (x5c)."""
    root = Party("root")
    middle = Party("middle", issuer=root, path_length=0)
    leaf = Party("leaf", issuer=middle, authority=False)
    tokens = checker(tmp_path, clock, root)
    for chain in ([leaf.x5c, middle.x5c], [leaf.x5c, middle.x5c, root.x5c]):
        assert tokens.check(token(leaf.key, {"x5c": chain})).principal.name == "alice"
    assert tokens.check(token(middle.key, {"x5c": [middle.x5c]})).principal.name == "alice"
    assert tokens.check(token(root.key, {"x5c": [root.x5c]})).principal.name == "alice"


def _bad_chains() -> dict[str, tuple[Party, list[Party], list[Party]]]:
    """Chains that must be refused: signer, what the token brings, what the bundle holds."""
    root, stranger = Party("root"), Party("root")
    leaf = Party("leaf", issuer=root, authority=False)
    no_ca = Party("no-ca", issuer=root, authority=False)
    short = Party("short", issuer=root, path_length=0)
    middle = Party("middle", issuer=short)
    expired = Party("expired", issuer=root, lifetime=(-7200, -60))
    no_usage = Party("usage", issuer=root, extensions=((_usage(signs_certificates=False), True),))
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    old_root = Party("old", lifetime=(-7200, -60))
    return {
        "of another root with the same name": (leaf, [leaf], [stranger]),
        "without the certificate between": (p := Party("p", issuer=middle, authority=False), [p], [root]),
        "signed by a certificate that may not sign": (p := Party("p", issuer=no_ca), [p, no_ca], [root]),
        "longer than the authority allows": (p := Party("p", issuer=middle), [p, middle, short], [root]),
        "with an expired certificate": (p := Party("p", issuer=expired), [p, expired], [root]),
        "of an expired leaf": (p := Party("p", issuer=root, lifetime=(-7200, -60)), [p], [root]),
        "of a leaf that is not valid yet": (p := Party("p", issuer=root, lifetime=(60, 7200)), [p], [root]),
        "of an expired root": (p := Party("p", issuer=old_root), [p], [old_root]),
        "signed with a key that is not for certificates": (p := Party("p", issuer=no_usage), [p, no_usage], [root]),
        "with a critical extension nobody knows": (
            p := Party("p", issuer=root, extensions=((strange, True),)),
            [p],
            [root],
        ),
        "signed by itself": (p := Party("root"), [p], [root]),
        "whose first certificate is somebody else's": (Party("p"), [leaf], [root]),
    }


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.mark.parametrize("case", list(_bad_chains()))
def test_bad_chains_are_refused(case: str, tmp_path: Path, clock: Clock) -> None:
    """A chain must lead to the bundle through certificates that may sign, all valid now."""
    signer, brought, bundle = _bad_chains()[case]
    tokens = checker(tmp_path, clock, *bundle)
    with pytest.raises(TokenRefused):
        tokens.check(token(signer.key, {"x5c": [party.x5c for party in brought]}))


@pytest.mark.parametrize("x5c", [[], "AAAA", [5], ["?"], ["AAAA"], [""], ["AAAA"] * 9, None])
def test_malformed_chains_are_refused(x5c: Any, tmp_path: Path, clock: Clock) -> None:
    """What is no chain is refused in words of ours, also when a good key id stands beside it."""
    signer = Party("signer")
    header = {"x5c": x5c, "kid": jwk(signer.key).thumbprint()}
    tokens = checker(tmp_path, clock, signer)
    with pytest.raises(TokenRefused):
        tokens.check(unchecked(signer.key, header))


def unchecked(key: Any, header: dict[str, Any]) -> str:
    """Sign a token whose header the library would not write."""
    plain = token(key, {}).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", **header}).encode()).rstrip(b"=").decode()
    signature = JWSRegistry.algorithms["ES256"].sign(f"{head}.{plain[1]}".encode(), jwk(key))
    return f"{head}.{plain[1]}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("bundle", "jwks", "message"),
    [
        (None, None, "at least one public key"),
        (b"", None, "at least one public key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "rootcertbundle"),
        (None, b"{", "jwks"),
        (None, b"[]", "jwks"),
        (None, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}]}', "shared secret"),
        (None, json.dumps({"keys": [jwk(new_key()).as_dict(private=True)]}).encode(), "private key"),
    ],
)
def test_unusable_files_stop_the_start(bundle: bytes | None, jwks: bytes | None, message: str, tmp_path: Path) -> None:
    """A start without a usable key says which setting's file is at fault."""
    paths = {}
    for name, content in (("bundle", bundle), ("jwks", jwks)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
            paths[name] = str(tmp_path / name)
    with pytest.raises(SetupError, match=message):
        load_trusted_keys(**paths)


def test_missing_files_stop_the_start(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(SetupError, match=r"missing\.pem"):
        load_trusted_keys(bundle=str(tmp_path / "missing.pem"))


def test_bundles_may_hold_plain_public_keys(tmp_path: Path, clock: Clock) -> None:
    """A PEM public key counts like a certificate's, for tokens that name it."""
    key = new_key()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "bundle.pem").write_bytes(pem)
    trusted = load_trusted_keys(bundle=str(tmp_path / "bundle.pem"))
    tokens = ForeignTokens(trusted, issuer="auth.example", service="registry.example", clock=clock)
    assert tokens.check(token(key, {"kid": libtrust_id(key.public_key())})).principal.name == "alice"
