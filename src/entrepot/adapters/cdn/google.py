"""Google Cloud CDN: HMAC-SHA1 of the whole URL, the only one there is."""

from __future__ import annotations

from urllib.parse import quote

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.config.schema.middleware import GoogleCdn


def google(options: GoogleCdn, origin: str) -> FormSigner:
    """Return the signer for these options."""
    query = f"{{path}}?Expires={{expires}}&KeyName={quote(options.keyname, safe='')}"
    form = Form(
        message="{origin}" + query,
        url=query + "&Signature={signature}",
        hash="hmac-sha1",
        encoding="base64url-padded",
    )
    return FormSigner(form, origin=origin, key=options.key_bytes())
