"""Any CDN whose form the configuration gives; those of Fastly and nginx are known (`Fastly`, `SecureLink`)."""

from __future__ import annotations

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.config.schema.middleware import SignedUrl


def template(options: SignedUrl, origin: str) -> FormSigner:
    """Return the signer for these options."""
    form = Form(message=options.message, url=options.url, hash=options.hash, encoding=options.encoding)
    return FormSigner(form, origin=origin, key=options.key_bytes())
