"""Tencent Cloud CDN, authentication of the types A to D. The time is when the URL was made; the console adds a span."""

from __future__ import annotations

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.config.schema.middleware import TencentCdn


def tencent(options: TencentCdn, origin: str) -> FormSigner:
    """Return the signer for these options."""
    forms = {
        "A": Form(
            message="{path}-{begins}-0-0-{key}", url=f"{{path}}?{options.signature}={{begins}}-0-0-{{signature}}"
        ),
        "B": Form(message="{key}{minute}{path}", url="/{minute}/{signature}{path}"),
        "C": Form(message="{key}{path}{begins_hex}", url="/{signature}/{begins_hex}{path}"),
        "D": Form(
            message="{key}{path}{begins}",
            url=f"{{path}}?{options.signature}={{signature}}&{options.timestamp}={{begins}}",
        ),
    }
    return FormSigner(forms[options.type], origin=origin, key=options.key_bytes())
