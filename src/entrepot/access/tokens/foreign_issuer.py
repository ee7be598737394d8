"""Another issuer of tokens, as its discovery document and its keys tell (OpenID Connect Discovery 1.0, RFC 8414).

Sign-in providers and CI systems are asked the same things: who are you, and which keys are yours. What they answered
is remembered: the keys for ten minutes, so that a key taken back does not count for long, and for an hour when the
issuer cannot be asked. A token with an unknown key has them read again, but not more often than once a minute, however
many such tokens come (CVE-2026-48524).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from entrepot.access.errors import TokenRefused
from entrepot.access.tokens.jwt import (
    ALGORITHMS,
    Claims,
    Key,
    algorithms_for,
    check_lifetime,
    has_audience,
    quietly,
    read_header,
    verified_claims,
)
from entrepot.metadata.clock import seconds as clock_seconds
from entrepot.oci import strict_json
from entrepot.outbound.client import Requester
from entrepot.outbound.errors import AnswerInvalid, OutboundError
from entrepot.outbound.response import Response

DISCOVERY_PATH = "/.well-known/openid-configuration"
#: Seconds.
LEEWAY = 60.0
METADATA_FRESH = 3600.0
KEYS_FRESH = 600.0
KEYS_STALE = 3600.0
REFRESH_PAUSE = 60.0
FAILURE_PAUSE = 10.0
_MAX_KEYS = 100
_LEAST_RSA_BITS = 2048
_OK = 200
_DOCUMENT_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    by_id: Mapping[str, Key]
    algorithms: Mapping[str, str]  #: the one algorithm that a key says it is for, where it does
    read_at: float


class Issuer:
    """One issuer; keep it, for it remembers."""

    def __init__(self, client: Requester, issuer: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = issuer
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._metadata: tuple[float, dict[str, object]] | None = None
        self._keys: _Keys | None = None
        self._tried_at: float | None = None
        self._failures: dict[str, tuple[float, OutboundError]] = {}

    async def metadata(self) -> Mapping[str, object]:
        """Return what the issuer's discovery document says.

        Raises:
            OutboundError: It cannot be asked, or gives no usable document.
        """
        if self._metadata is not None and self._clock() - self._metadata[0] < METADATA_FRESH:
            return self._metadata[1]
        document = await self._document(self.name.rstrip("/") + DISCOVERY_PATH)
        if document.get("issuer") != self.name:
            raise AnswerInvalid(
                f"the discovery document of {self.name} says that its issuer is {_shown(document.get('issuer'))}; "
                "write the issuer exactly like that, down to the last slash"
            )
        self._metadata = (self._clock(), document)
        return document

    async def endpoint(self, name: str) -> str:
        """Return the address of one of the issuer's endpoints.

        Raises:
            OutboundError: The issuer cannot be asked, or names none.
        """
        address = await self.find_endpoint(name)
        if address is None:
            raise AnswerInvalid(f"the discovery document of {self.name} names no {name}")
        return address

    async def find_endpoint(self, name: str) -> str | None:
        """Return the address of one of the issuer's endpoints, if it has one; raises like `metadata`."""
        address = (await self.metadata()).get(name)
        return address if isinstance(address, str) and address else None

    async def claims(
        self, token: str, *, audience: str, now: float | None = None, fetched: bool = False
    ) -> dict[str, object]:
        """Return the claims of a token that this issuer signed for `audience` and that may be used now.

        Args:
            token: The token.
            audience: Who it must be for.
            now: Seconds since the epoch; None: the time it is.
            fetched: Whether we have it from the issuer itself and not from somebody who may have made it up: a key that
                we do not know is then asked for at once.

        Raises:
            TokenRefused: It is not that.
            OutboundError: The issuer's keys are not known and cannot be asked for.
        """
        header = read_header(token)
        key, algorithms = await self._key_for(header, 0.0 if fetched else REFRESH_PAUSE)
        claims = verified_claims(token, key, algorithms)
        if claims.get("iss") != self.name:
            raise TokenRefused("the token comes from another issuer")
        if not has_audience(claims, audience):
            raise TokenRefused("the token is meant for another service")
        check_lifetime(claims, now=clock_seconds() if now is None else now, leeway=LEEWAY)
        return claims

    async def _key_for(self, header: Claims, pause: float) -> tuple[Key, frozenset[str]]:
        algorithm, kid = str(header.get("alg", "")), header.get("kid")
        keys = await self._known_keys()
        found = _fitting(keys, algorithm, kid)
        if found is None and await self._read_again(keys, pause):
            found = _fitting(await self._known_keys(), algorithm, kid)
        if found is None:
            raise TokenRefused("the token was signed with a key that its issuer does not show, or by a weak algorithm")
        return found, frozenset({algorithm})

    async def _known_keys(self) -> _Keys:
        keys = self._keys
        if keys is not None and self._clock() - keys.read_at < KEYS_FRESH:
            return keys
        async with self._lock:
            if self._keys is not keys and self._keys is not None:
                return self._keys
            return await self._read_or_keep(keys)

    async def _read_or_keep(self, keys: _Keys | None) -> _Keys:
        """Read the keys; when that fails, go on with those at hand for a while."""
        if keys is not None and not self._may_try() and self._clock() - keys.read_at < KEYS_STALE:
            return keys
        try:
            return await self._read_keys()
        except OutboundError:
            if keys is None or self._clock() - keys.read_at >= KEYS_STALE:
                raise
            return keys

    async def _read_again(self, seen: _Keys, pause: float) -> bool:
        """Read the keys because one is missing; False when that was done less than `pause` seconds ago."""
        async with self._lock:
            if self._keys is not seen:
                return True
            if not self._may_try(pause):
                return False
            await self._read_keys()
            return True

    def _may_try(self, pause: float = REFRESH_PAUSE) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= pause

    async def _read_keys(self) -> _Keys:
        self._tried_at = self._clock()
        document = await self._document(await self.endpoint("jwks_uri"))
        entries = document.get("keys")
        if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
            raise AnswerInvalid(f"the key set of {self.name} is none, or has more than {_MAX_KEYS} keys")
        self._keys = _read_set(entries, self._clock())
        return self._keys

    async def _document(self, url: str) -> dict[str, object]:
        """Ask for a document; a failure counts for ten seconds, however many wait for it."""
        failed = self._failures.get(url)
        if failed is not None and self._clock() - failed[0] < FAILURE_PAUSE:
            raise type(failed[1])(*failed[1].args)
        try:
            answer = await self._client.request(
                "GET", url, headers={"Accept": "application/json"}, limit=_DOCUMENT_LIMIT
            )
            document = self._read(answer)
        except OutboundError as error:
            self._failures[url] = (self._clock(), error)
            raise
        self._failures.pop(url, None)
        return document

    def _read(self, answer: Response) -> dict[str, object]:
        if answer.status != _OK:
            raise AnswerInvalid(f"{self.name} answered {answer.status} where its discovery document or keys should be")
        try:
            document = strict_json.loads(answer.body, max_depth=16)
        except strict_json.JsonInvalid:
            document = None
        if not isinstance(document, dict):
            raise AnswerInvalid(f"{self.name} sent no JSON object where its discovery document or keys should be")
        return document


def _read_set(entries: list[object], now: float) -> _Keys:
    keys: dict[str, Key] = {}
    algorithms: dict[str, str] = {}
    for number, entry in enumerate(entries):
        key = _read_key(entry)
        if key is not None and isinstance(entry, dict):
            name = str(entry.get("kid") or f"#{number}")
            keys[name] = key
            if isinstance(entry.get("alg"), str):
                algorithms[name] = str(entry["alg"])
    return _Keys(by_id=keys, algorithms=algorithms, read_at=now)


def _read_key(entry: object) -> Key | None:
    """Read a public key that signs; others of the set are not for us."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        with quietly():
            key = import_key(entry)
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        return None
    weak = isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS
    return None if weak or key.is_private else key


def _fitting(keys: _Keys, algorithm: str, kid: object) -> Key | None:
    """Return the key that must have signed: the one named, or the only one that can have."""
    fitting = {
        name: key
        for name, key in keys.by_id.items()
        if algorithm in ALGORITHMS
        and algorithm in algorithms_for(key)
        and keys.algorithms.get(name, algorithm) == algorithm
    }
    if kid is not None:
        return fitting.get(str(kid))
    return next(iter(fitting.values())) if len(fitting) == 1 else None


def _shown(value: object) -> str:
    return repr(value)[:200]
