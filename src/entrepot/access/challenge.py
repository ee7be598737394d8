"""The WWW-Authenticate header of a 401: how a client learns where and for what to sign in (RFC 7617, RFC 6750)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from entrepot.access.tokens.own_tokens import SERVICE
from entrepot.oci.errors import Unauthorized
from entrepot.oci.scope import format_scopes

#: Where our own token service is, below `http.prefix`.
TOKEN_PATH = "/token"  # noqa: S105 - a path


class Challenge(Protocol):
    """Knows how this registry wants its clients to sign in."""

    def render(self, refused: Unauthorized, base_url: str) -> str:
        """Return the header's value; `base_url` is scheme, host and prefix as the client sees them."""
        ...


@dataclass(frozen=True, slots=True)
class BasicChallenge:
    """Asks for name and password with each request."""

    realm: str

    def render(self, refused: Unauthorized, base_url: str) -> str:  # noqa: ARG002 - the port's signature
        """See `Challenge`; Basic has nothing to say about what was refused."""
        return f"Basic realm={_quoted(self.realm)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerChallenge:
    """Sends clients to a token service: ours when `realm` is None."""

    realm: str | None = None
    service: str = SERVICE
    autoredirect_path: str | None = None  #: when set, the realm is this path on the host that was asked, by https

    def render(self, refused: Unauthorized, base_url: str) -> str:
        """See `Challenge`; parameters in registry:2's order, all quoted (some clients read no other)."""
        parameters = {"realm": self._realm(base_url), "service": self.service}
        if refused.scopes:
            parameters["scope"] = format_scopes(refused.scopes)
        if refused.error:
            parameters["error"] = str(refused.error)
        return "Bearer " + ",".join(f"{name}={_quoted(value)}" for name, value in parameters.items())

    def _realm(self, base_url: str) -> str:
        if self.autoredirect_path is not None:
            return f"https://{urlsplit(base_url).netloc}{self.autoredirect_path}"
        return base_url.rstrip("/") + TOKEN_PATH if self.realm is None else self.realm


@dataclass(frozen=True, slots=True)
class SillyChallenge:
    """Asks as registry:2's `auth: silly` does: one scope for each action."""

    realm: str
    service: str

    def render(self, refused: Unauthorized, base_url: str) -> str:  # noqa: ARG002 - the port's signature
        """See `Challenge`."""
        header = f"Bearer realm={_quoted(self.realm)},service={_quoted(self.service)}"
        scopes = [f"{scope.type}:{scope.name}:{action}" for scope in refused.scopes for action in scope.actions]
        return f"{header},scope={_quoted(' '.join(scopes))}" if scopes else header


def _quoted(value: str) -> str:
    r"""Return a quoted string; control characters, which would end the header, are dropped."""
    printable = "".join(character for character in value if character.isprintable())
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
