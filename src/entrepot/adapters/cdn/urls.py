"""Where clients fetch blobs when a CDN stands in front of the store."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlsplit

from entrepot.adapters.cdn.forms import Signer
from entrepot.adapters.cdn.signers import signer_for
from entrepot.adapters.cdn.spans import Spans
from entrepot.config.schema.middleware import Cdn

#: Gives the name of a blob's object, of the store's key, as the CDN asks its origin for it.
NameOf = Callable[[str], str]


class CdnUrls:
    """The port `BlobUrls` over one CDN."""

    def __init__(self, signer: Signer, spans: Spans, *, base_path: str, name_of: NameOf) -> None:
        """Give URLs below `base_path`, which is encoded and has no slash at its end."""
        self._signer = signer
        self._spans = spans
        self._base = base_path
        self._name_of = name_of

    async def url(self, key: str, client: str) -> str | None:
        """See `BlobUrls`."""
        del client  # the CDN finds what is near
        path = f"{self._base}/{quote(self._name_of(key).lstrip('/'), safe='/-_.~')}"
        return self._signer.sign(path, self._spans.current())


def cdn_urls(options: Cdn, name_of: NameOf) -> CdnUrls:
    """Return the URLs of a CDN.

    Raises:
        OSError: The key's file cannot be read.
        ValueError: The key is none.
    """
    parts = urlsplit(options.baseurl)
    signer = signer_for(options, f"{parts.scheme}://{parts.netloc}")
    return CdnUrls(signer, Spans(options.duration), base_path=parts.path.rstrip("/"), name_of=name_of)
