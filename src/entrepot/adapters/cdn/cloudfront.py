"""Amazon CloudFront: RSA-SHA1 of its canned policy. Signed URLs only; clients of registries keep no cookies."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1

from entrepot.adapters.cdn.spans import Span
from entrepot.config.schema.middleware import CloudFront

#: What Base64 has and query strings cannot.
_SAFE: Final = str.maketrans("+=/", "-_~")
#: URLs that are remembered in one window: an RSA signature costs a hundred times what the others do.
_MOST: Final = 50_000


class CloudFrontSigner:
    """Signs for one distribution, and for one blob once in a window."""

    __slots__ = ("_key", "_key_id", "_origin", "_span", "_urls")

    def __init__(self, key: RSAPrivateKey, key_id: str, origin: str) -> None:
        self._key = key
        self._key_id = key_id
        self._origin = origin
        self._span = Span(-1, -1)
        self._urls: dict[str, str] = {}

    def sign(self, path: str, span: Span) -> str:
        """See `Signer`."""
        if span is not self._span or len(self._urls) >= _MOST:
            self._span, self._urls = span, {}
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self._signed(self._origin + path, span.expires)
        return url

    def _signed(self, resource: str, expires: int) -> str:
        condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}'
        policy = f'{{"Statement":[{{"Resource":"{resource}","Condition":{condition}}}]}}'
        raw = self._key.sign(policy.encode(), PKCS1v15(), SHA1())  # noqa: S303 - what CloudFront asks for
        signature = b64encode(raw).decode().translate(_SAFE)
        return f"{resource}?Expires={expires}&Signature={signature}&Key-Pair-Id={self._key_id}"


def cloudfront(options: CloudFront, origin: str) -> CloudFrontSigner:
    """Return the signer for these options."""
    return CloudFrontSigner(options.private_key(), options.keypairid, origin)
