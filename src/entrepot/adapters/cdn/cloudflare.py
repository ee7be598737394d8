"""Cloudflare, for a rule with `is_timed_hmac_valid_v0`. The time is when the URL was made; the rule has the span."""

from __future__ import annotations

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.config.schema.middleware import Cloudflare


def cloudflare(options: Cloudflare, origin: str) -> FormSigner:
    """Return the signer for these options."""
    form = Form(
        message="{path}{begins}",
        url=f"{{path}}?{options.parameter}={{begins}}-{{signature}}",
        hash="hmac-sha256",
        encoding="base64",
    )
    return FormSigner(form, origin=origin, key=options.key_bytes())
