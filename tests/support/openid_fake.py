"""The provider's side of OpenID Connect in memory, whose every answer a test can spoil."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from entrepot.access.tokens.foreign_issuer import Issuer
from entrepot.access.tokens.jwt import quietly
from entrepot.accounts.providers.mapping import Rules
from entrepot.accounts.providers.model import Kept
from entrepot.adapters.identity.oidc.code_flow import RegisteredClient
from entrepot.adapters.identity.oidc.openid import ClaimNames, OpenIdProvider
from entrepot.outbound.errors import Unreachable
from entrepot.outbound.response import Response

NAME = "https://provider.test"
REDIRECT = "https://registry.test/c/oidc/callback/main"
KEPT = Kept(state="the-state", nonce="the-nonce", verifier="v" * 64)


@dataclass(slots=True)
class FakeOpenId:
    """What the provider says, and what it heard."""

    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "first"}))
    metadata: dict[str, Any] = field(
        default_factory=lambda: {
            "issuer": NAME,
            "authorization_endpoint": NAME + "/auth?tenant=1",
            "token_endpoint": NAME + "/token",
            "userinfo_endpoint": NAME + "/me",
            "end_session_endpoint": NAME + "/end",
            "jwks_uri": NAME + "/keys",
        }
    )
    claims: dict[str, Any] = field(default_factory=dict)  #: laid over a good ID token's; None takes one away
    tokens: dict[str, Any] = field(default_factory=dict)  #: laid over a good token answer
    token_status: int = 200
    userinfo: dict[str, Any] | None = None
    userinfo_status: int = 200
    down: bool = False
    heard: list[tuple[str, str, Mapping[str, str], dict[str, str]]] = field(default_factory=list)
    make_token: Callable[[dict[str, Any]], str] | None = None

    def provider(self, **options: Any) -> OpenIdProvider:
        """Return ours, talking to it."""
        secret = str(options.pop("secret", "the secret: 100%"))
        client = RegisteredClient(
            id="registry",
            secret=lambda: secret,
            scopes=options.pop("scopes", ("openid", "profile")),
            parameters=options.pop("parameters", {"prompt": "login", "state": "never ours"}),
        )
        names = ClaimNames(name=options.pop("name_claim", "preferred_username"), groups=options.pop("groups", "groups"))
        return OpenIdProvider(
            name="main",
            title="Main",
            rules=Rules(),
            issuer=Issuer(self, NAME),
            client=client,
            claims=names,
            http=self,
            **options,
        )

    def answer(self, **changes: str) -> dict[str, str]:
        """Return what a browser brings back."""
        given = {"state": KEPT.state, "code": "the-code", **changes}
        return {name: value for name, value in given.items() if value}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = 0,
        timeout: float = 0,
    ) -> Response:
        """See `Requester`."""
        form = {name: values[0] for name, values in parse_qs((body or b"").decode()).items()}
        self.heard.append((method, url, headers or {}, form))
        if self.down:
            raise Unreachable("it is down")
        status, document = self._say(urlsplit(url).path)
        return Response(status=status, headers={}, body=json.dumps(document).encode())

    def _say(self, path: str) -> tuple[int, object]:
        match path:
            case "/keys":
                return 200, {"keys": [self.key.as_dict(private=False)]}
            case "/token":
                return self.token_status, self._tokens()
            case "/me":
                return self.userinfo_status, self.userinfo
        return 200, self.metadata

    def _tokens(self) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": NAME,
            "aud": "registry",
            "sub": "7",
            "exp": now + 300,
            "iat": now,
            "nonce": KEPT.nonce,
            "preferred_username": "alice",
            "email": "alice@example.org",
            "groups": ["devs"],
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = self.make_token(claims) if self.make_token else self.sign(claims)
        return {"access_token": "access", "refresh_token": "refresh", "id_token": token, **self.tokens}

    def sign(self, claims: dict[str, Any], key: Any = None, algorithm: str = "ES256", kid: str = "first") -> str:
        """Sign a token as the provider."""
        with quietly():
            return jwt.encode({"alg": algorithm, "kid": kid}, claims, key or self.key, algorithms=[algorithm])
