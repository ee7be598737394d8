"""Akamai EdgeAuth 2.0: a token over the URL's path, which the token itself does not repeat."""

from __future__ import annotations

from entrepot.adapters.cdn.forms import Form, FormSigner
from entrepot.config.schema.middleware import Akamai


def akamai(options: Akamai, origin: str) -> FormSigner:
    """Return the signer for these options."""
    salt = options.salt.get_secret_value()
    form = Form(
        message="exp={expires}~url={path}" + (f"~salt={salt}".replace("{", "{{").replace("}", "}}") if salt else ""),
        url=f"{{path}}?{options.tokenname}=exp={{expires}}~hmac={{signature}}",
        hash="hmac-sha256",
    )
    return FormSigner(form, origin=origin, key=options.key_bytes())
