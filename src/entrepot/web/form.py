"""Forms that a browser posts."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qs

from entrepot.oci.errors import RequestTimeout
from entrepot.web.http import Request

_TYPE: Final = "application/x-www-form-urlencoded"
_BYTES: Final = 16 * 1024
_FIELDS: Final = 20
#: The whole form must have arrived after this time.
_SECONDS: Final = 10.0


class FormInvalid(Exception):
    """The body is not a form; the message says what was expected."""


async def read_form(request: Request) -> dict[str, str]:
    """Read a posted form whose fields come once each.

    Raises:
        FormInvalid: It is none.
        RequestTimeout: It did not arrive in time.
    """
    if (request.header(b"content-type") or "").partition(";")[0].strip().lower() != _TYPE:
        raise FormInvalid(f"send the fields as {_TYPE}")
    try:
        async with asyncio.timeout(_SECONDS):
            body = await request.body.read(_BYTES)
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except TimeoutError:
        raise RequestTimeout(f"The form did not arrive within {_SECONDS:g} s; send it again.") from None
    except ValueError:
        raise FormInvalid("the form cannot be read") from None
    if any(len(values) != 1 for values in fields.values()):
        raise FormInvalid("a field of the form came twice")
    if any("\0" in text for name, (value,) in fields.items() for text in (name, value)):
        raise FormInvalid("a field of the form holds the character NUL, which no name and no password can have")
    return {name: values[0] for name, values in fields.items()}
