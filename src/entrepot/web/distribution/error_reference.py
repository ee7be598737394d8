"""Writes docs/reference/errors.md from the table of errors: `python -m entrepot.web.distribution.error_reference`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from entrepot.oci import errors as oci
from entrepot.oci.errors import RegistryError
from entrepot.web.distribution.errors import status_of

_HEAD = """# Errors of the registry API

<!-- Made by `python -m entrepot.web.distribution.error_reference`; a test holds it against the source. -->

Every error under `/v2/` is answered as the distribution specification wants it:

```json
{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "Manifest unknown to registry", "detail": {"name": "team/app"}}]}
```

The answer's `X-Request-Id` is in the log beside whatever the registry had to say about it.

| Status | Code | Meaning |
|---|---|---|
"""
_TAIL = """
Beyond these, `404 NAME_UNKNOWN` answers paths at which there is nothing, `405 UNSUPPORTED` with `Allow` a method that a
resource does not have, and `500 UNKNOWN` whatever nobody foresaw.

| Header of an error | When |
|---|---|
| `WWW-Authenticate` | 401: how to sign in, and for which scope |
| `Range`, `Location` | 416 of an upload: where it stands, and where to go on |
| `Content-Range` | 416 of a blob: its size |
| `Retry-After` | 429 and 503: seconds to wait |
| `Allow` | 405: the methods that are allowed |
| `Connection: close` | 408 and others after which the rest of a body is not read |
"""


def error_classes() -> Iterator[type[RegistryError]]:
    """Give every error that a client can meet."""
    for _, kind in inspect.getmembers(oci, inspect.isclass):
        if issubclass(kind, RegistryError) and kind is not RegistryError:
            yield kind


def page() -> str:
    """Render the page."""
    rows = sorted(
        (int(status_of(kind)), kind.code.value, (inspect.getdoc(kind) or "").splitlines()[0])
        for kind in error_classes()
    )
    return _HEAD + "".join(f"| {status} | `{code}` | {text} |\n" for status, code, text in rows) + _TAIL


if __name__ == "__main__":
    sys.stdout.write(page())
