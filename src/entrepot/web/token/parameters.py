"""What a client asks the token endpoint for, read from a query or a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from entrepot.oci.scope import Scope, parse_scopes

#: A form of more fields or bytes is no token request.
MAX_FORM_BYTES = 64 * 1024
_MAX_FIELDS = 100
#: The exchange of an outside token: RFC 8693, section 2.1, and RFC 7523, section 2.1.
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FORM_TYPE = "application/x-www-form-urlencoded"


class FormInvalid(Exception):
    """The body is not a form; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """The parameters that a GET and a POST share."""

    service: str
    scopes: tuple[Scope, ...]
    offline: bool  #: whether the client wants a refresh token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenForm(TokenRequest):
    """The parameters of a POST."""

    grant_type: str
    username: str
    password: str = field(repr=False)
    refresh_token: str = field(repr=False)
    client_id: str
    outside_token: str = field(repr=False)  #: `assertion` or `subject_token`, whichever the grant type has
    outside_type: str  #: `subject_token_type`


def read_query(services: Sequence[str], scopes: Sequence[str], offline: str | None) -> TokenRequest:
    """Read a GET's query; `scope` may come several times, with several scopes each."""
    return TokenRequest(
        service=services[0] if services else "",
        scopes=parse_scopes(" ".join(scopes)),
        offline=offline == "true",
    )


def read_form(content_type: str | None, body: bytes) -> TokenForm:
    """Read a POST's form.

    Raises:
        FormInvalid: The body is no form of the expected type.
    """
    if (content_type or "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise FormInvalid(f"send the parameters as {_FORM_TYPE}")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise FormInvalid("the form cannot be read") from None
    if any("\0" in value for values in fields.values() for value in values):
        raise FormInvalid("a parameter holds the character NUL, which nothing here has in its name")
    grant_type = _first(fields, "grant_type")
    return TokenForm(
        service=_first(fields, "service"),
        scopes=parse_scopes(" ".join(fields.get("scope", []))),
        offline=_first(fields, "access_type") == "offline",
        grant_type=grant_type,
        username=_first(fields, "username"),
        password=_first(fields, "password"),
        refresh_token=_first(fields, "refresh_token"),
        client_id=_first(fields, "client_id"),
        outside_token=_first(fields, "assertion" if grant_type == JWT_BEARER else "subject_token"),
        outside_type=_first(fields, "subject_token_type"),
    )


def _first(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return fields.get(name, [""])[0]
