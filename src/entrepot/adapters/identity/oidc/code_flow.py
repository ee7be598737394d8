"""The authorisation code with PKCE: the way there, and the code's exchange (RFC 6749, RFC 7636, RFC 9207, RFC 9700)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from entrepot.accounts.providers.mapping import Rules
from entrepot.accounts.providers.model import Kept, PersonGone, ProviderError, ProviderUnavailable, SignInRefused
from entrepot.oci import strict_json
from entrepot.outbound.client import Requester
from entrepot.outbound.errors import OutboundError
from entrepot.outbound.response import Response

_FORM: Final = "application/x-www-form-urlencoded"
_ANSWER_LIMIT: Final = 512 * 1024
_SHOWN: Final = 200
_LONGEST_CODE: Final = 4096
#: What a token endpoint says when a code or a refresh token does not count any more.
_GONE: Final = frozenset({"invalid_grant"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """What a provider knows this registry as."""

    id: str
    secret: Callable[[], str]  #: the empty text for a public client
    scopes: tuple[str, ...]
    parameters: Mapping[str, str]
    pkce: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodeFlowProvider:
    """What every `Provider` that is asked by the code flow has."""

    name: str
    title: str
    rules: Rules
    client: RegisteredClient
    http: Requester


def departure(endpoint: str, client: RegisteredClient, redirect_uri: str, kept: Kept, **more: str) -> str:
    """Return the address to send a browser to; ours beat the operator's own parameters."""
    pkce = {"code_challenge": _challenge(kept.verifier), "code_challenge_method": "S256"} if client.pkce else {}
    query = {
        **{name: value for name, value in client.parameters.items() if value},
        **more,
        **pkce,
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(client.scopes),
        "state": kept.state,
    }
    return with_query(endpoint, query)


def code_of(answer: Mapping[str, str], kept: Kept, issuer: str = "", *, names_issuer: bool = False) -> str:
    """Return the code that a browser brought back.

    Args:
        answer: The parameters that came with it.
        kept: What we gave it.
        issuer: Who must have sent it back, where the provider has a name (RFC 9207).
        names_issuer: Whether the provider always says its name.

    Raises:
        SignInRefused: It is for another sign-in, from another provider, or says no.
    """
    if not hmac.compare_digest(answer.get("state", "").encode(), kept.state.encode()):
        raise SignInRefused("the answer belongs to another sign-in; begin again")
    named = answer.get("iss", "")
    if issuer and ((named and named != issuer) or (names_issuer and not named)):
        raise SignInRefused("the answer comes from another provider than the one that was asked")
    if "error" in answer:
        said = answer.get("error_description") or answer["error"]
        raise SignInRefused(f"the provider said no: {printable(said)}")
    code = answer.get("code", "")
    if not 0 < len(code) <= _LONGEST_CODE:
        raise SignInRefused("the provider sent no code back; begin again")
    return code


async def redeem(
    http: Requester, endpoint: str, client: RegisteredClient, code: str, redirect_uri: str, kept: Kept, *, basic: bool
) -> dict[str, object]:
    """Exchange a code for tokens.

    Raises:
        SignInRefused: The provider does not take the code.
        ProviderUnavailable: It cannot be asked, or does not know this registry.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    form |= {"code_verifier": kept.verifier} if client.pkce else {}
    try:
        return await _ask_for_token(http, endpoint, client, form, basic=basic)
    except PersonGone:
        raise SignInRefused("the provider no longer takes the code; begin again") from None


async def renew(
    http: Requester, endpoint: str, client: RegisteredClient, refresh: str, *, basic: bool
) -> dict[str, object]:
    """Exchange a refresh token for tokens.

    Raises:
        PersonGone: It does not count any more.
        ProviderUnavailable: The provider cannot be asked, or does not know this registry.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    return await _ask_for_token(http, endpoint, client, form, basic=basic)


async def ask_with_token(http: Requester, url: str, token: str) -> Response:
    """Ask an address with an access token.

    Raises:
        PersonGone: The provider does not take the token.
        ProviderUnavailable: It cannot be asked.
    """
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    answer = await asked(http, "GET", url, headers=headers)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise PersonGone("the provider does not take the token that it gave")
    if answer.status != HTTPStatus.OK:
        raise ProviderUnavailable(f"the provider answered {answer.status} when it was asked who somebody is")
    return answer


async def asked(
    http: Requester, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
) -> Response:
    """Ask a provider.

    Raises:
        ProviderUnavailable: It cannot be asked.
    """
    try:
        return await http.request(method, url, headers=headers, body=body, limit=_ANSWER_LIMIT)
    except OutboundError as error:
        raise ProviderUnavailable(f"the provider cannot be asked: {error}") from error


def document(answer: Response) -> object:
    """Read an answer's JSON.

    Raises:
        ProviderUnavailable: It is none.
    """
    try:
        return strict_json.loads(answer.body, max_depth=16)
    except strict_json.JsonInvalid:
        raise ProviderUnavailable(f"the provider answered {answer.status} with something that is no JSON") from None


def with_query(address: str, query: Mapping[str, str]) -> str:
    """Return an address with more parameters."""
    parts = urlsplit(address)
    more = urlencode(query, quote_via=quote)
    return urlunsplit(parts._replace(query=f"{parts.query}&{more}" if parts.query else more))


def printable(text: str) -> str:
    """Return what somebody else wrote, in a form and length that may be shown."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_SHOWN]


async def _ask_for_token(
    http: Requester, endpoint: str, client: RegisteredClient, form: Mapping[str, str], *, basic: bool
) -> dict[str, object]:
    secret = client.secret()
    headers = {"Content-Type": _FORM, "Accept": "application/json"}
    fields = dict(form)
    if secret and basic:
        headers["Authorization"] = _basic(client.id, secret)
    else:
        fields |= {"client_id": client.id} | ({"client_secret": secret} if secret else {})
    answer = await asked(http, "POST", endpoint, headers=headers, body=urlencode(fields).encode())
    return _tokens(answer)


def _tokens(answer: Response) -> dict[str, object]:
    """Read a token endpoint's answer. GitHub sends its errors with status 200."""
    found = document(answer)
    if not isinstance(found, dict):
        raise ProviderUnavailable("the provider's token endpoint sent no JSON object")
    error = found.get("error")
    if error is None and answer.status == HTTPStatus.OK:
        return found
    raise _refusal(str(error), found.get("error_description"), answer.status)


def _refusal(error: str, description: object, status: int) -> ProviderError:
    said = printable(f"{error}: {description}" if isinstance(description, str) else error)
    if error in _GONE or error in ("bad_verification_code", "bad_refresh_token"):
        return PersonGone(f"the provider no longer vouches for the account ({said})")
    if error == "invalid_client":
        return ProviderUnavailable(
            f"the provider does not know this registry; check clientid and clientsecret ({said})"
        )
    return ProviderUnavailable(f"the provider's token endpoint answered {status} ({said})")


def _basic(name: str, secret: str) -> str:
    """Write credentials as token endpoints want them: each form-encoded first (RFC 6749, section 2.3.1)."""
    pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
