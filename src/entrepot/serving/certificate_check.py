"""Can the server use this certificate and key? Asked before it tries, because it would not survive a no."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from entrepot.serving.errors import CertificateRefused

if TYPE_CHECKING:
    from entrepot.serving.settings import TlsSettings


def check_pair(pair: bytes, settings: TlsSettings) -> None:
    """Check that the bytes hold a certificate and its key, and the files of the settings CA certificates.

    Raises:
        CertificateRefused: They do not; the text says which and why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("tls-check")
    try:
        os.write(descriptor, pair)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise CertificateRefused(
            f"{settings.certificate} and {settings.key} are not a certificate and its key in PEM form ({reason})."
        ) from error
    finally:
        os.close(descriptor)
    _check_version(pair, settings)
    _check_authorities(context, settings)


def _check_version(pair: bytes, settings: TlsSettings) -> None:
    from cryptography import x509  # noqa: PLC0415 - only where there is TLS

    if any(certificate.version is not x509.Version.v3 for certificate in x509.load_pem_x509_certificates(pair)):
        raise CertificateRefused(
            f"{settings.certificate} holds an X.509 certificate of version 1. The server takes version 3 only, which "
            f"`openssl x509 -req` writes when it is given extensions: -extfile with a subjectAltName."
        )


def _check_authorities(context: ssl.SSLContext, settings: TlsSettings) -> None:
    for path in settings.client_cas:
        try:
            context.load_verify_locations(path)
        except (ssl.SSLError, OSError) as error:
            raise CertificateRefused(f"{path} (http.tls.clientcas) holds no CA certificates in PEM form.") from error


def _no_password() -> str:
    raise ValueError("the key is encrypted; give a key without a passphrase")
