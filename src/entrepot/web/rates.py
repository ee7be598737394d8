"""Counts requests and bytes against the limits, and tells clients how they stand.

What a request counts for is known bit by bit: its address and path at once, its principal and project when it has been
admitted. Its bytes are counted every second while it moves them, and when it is over; whoever has used up the limit has
the next request refused. `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import asyncio
from typing import Final

from entrepot.access.limits.rates import OF_BYTES, Kind, Rates, Standing, address_of
from entrepot.access.model import ANONYMOUS, Principal
from entrepot.access.ttl_cache import Memory
from entrepot.oci.errors import NameInvalid, TooManyRequests
from entrepot.oci.reference import RepositoryName
from entrepot.web.http import Request
from entrepot.web.plain_paths import plain_path

POLICY: Final = b"ratelimit-policy"
STANDING: Final = b"ratelimit"
#: Whoever watches the process must get an answer.
_NEVER: Final = ("/healthz", "/readyz")
#: So long a push to a new repository may take before it counts once more, and so many at once are remembered.
_BEGUN_SECONDS: Final = 3600.0
_MOST_BEGUN: Final = 10_000
#: Seconds between two countings of the bytes of one request.
_CHARGE_EACH: Final = 1.0
_PATHS: Final = {"/c/login": Kind.SIGN_INS, "/token": Kind.TOKENS, "/service/token": Kind.TOKENS}
#: The same for what is a page, too: only its form counts.
_FORMS: Final = {"/c/account": Kind.SIGN_INS}
_OF_ADMITTED: Final = (Kind.PRINCIPAL, Kind.PROJECT, Kind.PRINCIPAL_BYTES, Kind.PROJECT_BYTES)
#: Completing an upload, and deleting.
_ENDING: Final = frozenset({"PUT", "DELETE"})
_NAMES: Final = {
    Kind.ADDRESS: "address",
    Kind.PRINCIPAL: "account",
    Kind.PROJECT: "project",
    Kind.SIGN_INS: "address that signs in",
    Kind.TOKENS: "address that asks for tokens",
    Kind.REPOSITORIES: "account that begins new repositories",
    Kind.ADDRESS_BYTES: "address",
    Kind.PRINCIPAL_BYTES: "account",
    Kind.PROJECT_BYTES: "project",
}


class RateLimits:
    """Counts each request for whatever is known of it; most registries limit no more than signing in."""

    def __init__(self, rates: Rates, prefix: str = "") -> None:
        """Count by `rates`; `prefix` is what stands before all of our paths (`http.prefix`)."""
        self._rates = rates
        self._every_address = rates.limits(Kind.ADDRESS) or rates.limits(Kind.ADDRESS_BYTES)
        self.counts_new = rates.limits(Kind.REPOSITORIES)
        self._begun: Memory[tuple[str, str], bool] = Memory(limit=_MOST_BEGUN, seconds=_BEGUN_SECONDS)
        self._beginning = asyncio.Lock()
        self.counts_admitted = any(map(rates.limits, _OF_ADMITTED))
        #: Whether a pull counts for anything: its address, its account or its project, or its bytes.
        self.counts_pulls = self._every_address or self.counts_admitted or any(map(rates.limits, OF_BYTES))
        self._moving: set[Request] = set()
        self.counts_bytes = any(map(rates.limits, OF_BYTES))
        head = prefix.rstrip("/")
        self._never = frozenset(f"{head}{path}".encode() for path in _NEVER)
        self._paths = {f"{head}{path}".encode(): kind for path, kind in _PATHS.items() if rates.limits(kind)}
        self._forms = {f"{head}{path}".encode(): kind for path, kind in _FORMS.items() if rates.limits(kind)}

    def concerns(self, request: Request) -> bool:
        """Tell whether a request counts for its address."""
        path = _as_routed(request.raw_path)
        return self._special(request) is not None or (self._every_address and path not in self._never)

    async def by_address(self, request: Request) -> None:
        """Count a request for its address, and for signing in where that is what it does.

        Raises:
            TooManyRequests: There were too many.
        """
        who = address_of(request.client)
        if who is None:
            return
        await self._count(request, Kind.ADDRESS, who)
        await self._pays(request, Kind.ADDRESS_BYTES, who)
        special = self._special(request)
        if special is not None:
            await self._count(request, special, who)

    def _special(self, request: Request) -> Kind | None:
        """Return as what a request counts beside everything else, if it does."""
        path = _as_routed(request.raw_path)
        return self._paths.get(path) or (self._forms.get(path) if request.method == "POST" else None)

    async def admitted(self, request: Request, principal: Principal, project: str | None) -> None:
        """Count a request that may be done, for who asks and for the project that it is about.

        Raises:
            TooManyRequests: There were too many.
        """
        if not principal.is_anonymous:
            await self._count(request, Kind.PRINCIPAL, principal.label)
            await self._pays(request, Kind.PRINCIPAL_BYTES, principal.label)
        if project is not None:
            await self._count(request, Kind.PROJECT, project)
            await self._pays(request, Kind.PROJECT_BYTES, project)

    async def begins(self, request: Request, principal: Principal, name: RepositoryName) -> None:
        """Count a push to a repository that is not there yet: once, however many requests it takes to make it.

        Raises:
            TooManyRequests: There were too many others before.
        """
        who = address_of(request.client) if principal.is_anonymous else principal.label
        if who is None:
            return
        async with self._beginning:  # requests of one push come at once
            if self._begun.find((who, name)):
                return
            await self._count(request, Kind.REPOSITORIES, who)
            self._begun.put((who, name), value=True)

    async def _count(self, request: Request, kind: Kind, who: str) -> None:
        standing = await self._rates.count(kind, who)
        if standing is None:
            return
        tell(request, standing)
        if standing.exceeded:
            raise TooManyRequests(
                standing.reset,
                f"more than {standing.limit} requests in {standing.seconds} s of one {_NAMES[kind]}; "
                f"try again in {standing.reset} s",
            )

    async def _pays(self, request: Request, kind: Kind, who: str) -> None:
        """Note against what the request's bytes count, unless those before have used it up."""
        standing = await self._rates.look(kind, who)
        if standing is None:
            return
        request.payers = (*request.payers, (kind, who))
        self._moving.add(request)
        tell(request, standing)
        if standing.exceeded and not _only_ends(request):
            raise TooManyRequests(
                standing.reset,
                f"{standing.limit:,} bytes or more in {standing.seconds} s of one {_NAMES[kind]}; "
                f"try again in {standing.reset} s",
            )

    def over(self, request: Request) -> None:
        """Count the bytes of a request that is over, as far as they were not."""
        self._moving.discard(request)
        self._charge(request)

    async def run(self) -> None:
        """Count the bytes of requests that go on, every second, until cancelled."""
        while True:
            await asyncio.sleep(_CHARGE_EACH)
            for request in self._moving:
                self._charge(request)

    def _charge(self, request: Request) -> None:
        size = request.bytes_in + request.bytes_out + request.bytes_elsewhere
        if size > request.paid:
            for kind, who in request.payers:
                self._rates.charge(kind, who, size - request.paid)
        request.paid = size


def _only_ends(request: Request) -> bool:
    """Tell whether a request moves no bytes and ends what moved them: to refuse it would throw those away."""
    return request.method in _ENDING and request.body.empty


def _as_routed(raw_path: bytes) -> bytes:
    """Return a path as the router reads it: what is encoded without need is another spelling of the same route."""
    if b"%" not in raw_path:
        return raw_path
    try:
        return plain_path(raw_path).encode()
    except NameInvalid:
        return raw_path


class Counted:
    """Counts one request that several questions about rights are asked for: once for each project."""

    def __init__(self, rates: RateLimits | None, request: Request) -> None:
        self._rates = rates if rates is not None and rates.counts_admitted else None
        self._request = request
        self._projects: set[str] = set()

    async def principal(self, principal: Principal) -> None:
        """Count it for who asks; raises what `RateLimits.admitted` does."""
        if self._rates is not None:
            await self._rates.admitted(self._request, principal, None)

    async def project(self, name: str | None) -> None:
        """Count it for a project; raises what `RateLimits.admitted` does."""
        if self._rates is not None and name is not None and name not in self._projects:
            self._projects.add(name)
            await self._rates.admitted(self._request, ANONYMOUS, name)


def tell(request: Request, standing: Standing) -> None:
    """Add one limit to the headers of the answer, beside those that are there."""
    unit = f';qu="{standing.unit}"' if standing.unit else ""
    window, reset = (f";w={standing.seconds}", f";t={standing.reset}") if standing.seconds else ("", "")
    _append(request, POLICY, f'"{standing.kind}";q={standing.limit}{unit}{window}')
    _append(request, STANDING, f'"{standing.kind}";r={standing.remaining}{reset}')


def _append(request: Request, name: bytes, value: str) -> None:
    others = tuple(header for header in request.extra_headers if header[0] != name)
    before = b"".join(text + b", " for header, text in request.extra_headers if header == name)
    request.extra_headers = (*others, (name, before + value.encode()))
