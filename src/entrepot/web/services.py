"""What handlers work with, put together by `bootstrap`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from entrepot.access.authenticator import Authenticator
from entrepot.access.authorizer import Authorizer
from entrepot.access.challenge import Challenge
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.security_keys import SecurityKeys
from entrepot.audit.pulls import PullLog
from entrepot.registry.object_looks import ObjectLooks
from entrepot.registry.ports import BlobCache, BlobStore, BlobUrls, LocalFiles
from entrepot.registry.service import Registry
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.metrics import RequestMetrics
from entrepot.web.proxies import Proxies
from entrepot.web.pull_cache import Admissions
from entrepot.web.rates import RateLimits
from entrepot.web.session.gate import SessionGate
from entrepot.web.settings import WebSettings
from entrepot.web.upload_limits import UploadLimits

#: Says what keeps the registry from serving, by the kind of check and fit for everybody; nothing when it is ready.
Readiness = Callable[[], Awaitable[Mapping[str, str]]]


def no_count(_manifest_id: int) -> None:
    """Count nothing."""


async def always_ready() -> Mapping[str, str]:
    """Say that nothing keeps the registry from serving."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that answers requests; one per worker."""

    registry: Registry
    store: BlobStore
    files: LocalFiles | None  #: set when blobs are whole local files, which the server may send by itself
    urls: BlobUrls | None = None  #: set when clients may be sent elsewhere for blobs
    cache: BlobCache | None = None  #: set where blobs of a store are kept on a disk of this node
    looks: ObjectLooks | None = None  #: set when blobs are objects in a store that others can write to
    authenticator: Authenticator
    authorizer: Authorizer
    challenge: Challenge
    settings: WebSettings
    proxies: Proxies
    admissions: Admissions = field(default_factory=Admissions)
    metrics: RequestMetrics
    access_log: AccessLog
    readiness: Readiness = always_ready
    warnings: Readiness = always_ready  #: what people should know of a registry that serves all the same
    count_pull: Callable[[int], None] = no_count  #: told of each manifest that is pulled, by its row id
    pull_log: PullLog | None = None  #: set where pulls are events
    sessions: SessionGate | None = None  #: set where people sign in with a browser
    second_factors: SecondFactors | None = None  #: as `sessions`
    security_keys: SecurityKeys | None = None  #: as `sessions`
    rates: RateLimits | None = None  #: how often somebody may ask
    upload_limits: UploadLimits = field(default_factory=UploadLimits)
