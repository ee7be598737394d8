"""`Warning` headers: what a person should know although the request succeeded (specification, "Warnings")."""

from __future__ import annotations

from entrepot.web.http import Request

_NAME = b"warning"
#: The specification's limit for all warnings of one answer.
_MAX_BYTES = 4096


def warn(request: Request, text: str) -> None:
    """Add a warning to the request's answer; one that would exceed the specification's limit is left out."""
    plain = text.encode("ascii", "replace").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    value = b'299 - "' + b" ".join(plain.split()) + b'"'
    used = sum(len(old) for name, old in request.extra_headers if name == _NAME)
    if used + len(value) <= _MAX_BYTES:
        request.add_header(_NAME, value)
