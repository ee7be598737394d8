"""Alibaba Cloud CDN, URL signing of types A to C. The time is when the URL was made; the console adds a span."""

from __future__ import annotations

from typing import Final

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.config.schema.middleware import AlibabaCdn

_FORMS: Final = {
    "A": Form(message="{path}-{begins}-0-0-{key}", url="{path}?auth_key={begins}-0-0-{signature}"),
    "B": Form(message="{key}{minute}{path}", url="/{minute}/{signature}{path}"),
    "C": Form(message="{key}{path}{begins_hex}", url="/{signature}/{begins_hex}{path}"),
}


def alibaba(options: AlibabaCdn, origin: str) -> FormSigner:
    """Return the signer for these options."""
    return FormSigner(_FORMS[options.type], origin=origin, key=options.key_bytes())
