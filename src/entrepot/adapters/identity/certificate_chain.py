"""Certificate chains that tokens bring along in `x5c` (RFC 7515, section 4.1.6; RFC 5280, section 6, as far as needed).

A token's signer has no host name and no TLS role, so that the verifiers made for TLS do not fit. What is asked here:
each certificate is valid now and signed by the next, whoever signs is a certificate authority, and the last one is in
the bundle or signed by one that is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from entrepot.access.errors import TokenRefused

_LONGEST = 8
#: Extensions that this file knows what to do with. A critical one that is not known makes a certificate unusable.
_KNOWN = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
    }
)


def verified_leaf(x5c: object, roots: Sequence[x509.Certificate], *, now: float) -> PublicKeyTypes:
    """Return the public key of a chain's first certificate, if the chain ends in one of `roots`.

    Raises:
        TokenRefused: It does not, or is malformed.
    """
    chain = _parse(x5c)
    at = datetime.fromtimestamp(now, UTC)
    for depth, certificate in enumerate(chain):
        _check_usable(certificate, at)
        if certificate in roots:
            return _key(chain[0])
        issuers = [root for root in roots if _issued(certificate, root, depth)]
        if issuers:
            _check_usable(issuers[0], at)
            return _key(chain[0])
        if depth + 1 == len(chain) or not _issued(certificate, chain[depth + 1], depth):
            break
    raise TokenRefused("the token's certificate chain does not end in a certificate that this registry trusts")


def _parse(x5c: object) -> list[x509.Certificate]:
    if not isinstance(x5c, list) or not 0 < len(x5c) <= _LONGEST:
        raise TokenRefused("the token's certificate chain is malformed")
    try:
        return [x509.load_der_x509_certificate(base64.b64decode(entry, validate=True)) for entry in x5c]
    except (binascii.Error, ValueError, TypeError):
        raise TokenRefused("the token's certificate chain is malformed") from None


def _check_usable(certificate: x509.Certificate, at: datetime) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise TokenRefused("a certificate of the token's chain has expired or is not valid yet")
    try:
        unknown = [e.oid for e in certificate.extensions if e.critical and e.oid not in _KNOWN]
    except (ValueError, x509.DuplicateExtension):
        raise TokenRefused("the token's certificate chain is malformed") from None
    if unknown:
        raise TokenRefused("a certificate of the token's chain has a critical extension that is not supported")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, authorities_below: int) -> bool:
    """Tell whether `issuer` may sign certificates, that many authorities above a leaf, and has signed this one."""
    if not _may_sign(issuer, authorities_below):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _may_sign(issuer: x509.Certificate, authorities_below: int) -> bool:
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    long_enough = basic.path_length is None or authorities_below <= basic.path_length
    return basic.ca and long_enough and (usage is None or usage.key_cert_sign)


def _key(leaf: x509.Certificate) -> PublicKeyTypes:
    return leaf.public_key()
