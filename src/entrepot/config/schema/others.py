"""`proxy`, `middleware`, and what only registry:2 knew: `reporting` and `compatibility`."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Duration, Flag, Opaque, Secret, Text, Url


class ProxyExec(Section):
    """A command that prints credentials."""

    command: Text = ""
    """The command."""
    lifetime: Duration | None = None
    """How long its answer counts; without it, for ever."""


class Proxy(Section):
    """A pull-through cache of another registry. Still to come: `remoteurl` stops the start."""

    remoteurl: Url = ""
    """URL of the other registry."""
    username: Text = ""
    """Name to sign in with there."""
    password: Secret = NO_SECRET
    """Password to sign in with there."""
    exec: ProxyExec = ProxyExec()
    """A command that prints credentials."""
    ttl: Duration = 7 * 24 * 3600.0
    """Life of cached content; 0s for ever."""
    cachewritetimeout: Duration = 300.0
    """Longest time for writing to the cache."""


class MiddlewareEntry(Section):
    """One middleware."""

    name: Text = ""
    """Name of the middleware."""
    disabled: Flag = False
    """Leaves it out."""
    options: Opaque = Field(default_factory=dict)
    """Its parameters."""


class Middleware(Section):
    """Parts that registry:2 wraps around itself. Still to come: an entry that is not disabled stops the start."""

    is_map: ClassVar[bool] = True

    registry: tuple[MiddlewareEntry, ...] = ()
    """Middleware around the registry."""
    repository: tuple[MiddlewareEntry, ...] = ()
    """Middleware around each repository."""
    storage: tuple[MiddlewareEntry, ...] = ()
    """Middleware around the storage: `cloudfront`, `redirect`, `rewrite`."""


class Bugsnag(Section):
    """Error reports to Bugsnag."""

    apikey: Secret = NO_SECRET
    """Key."""
    releasestage: Text = ""
    """Stage, such as `production`."""
    endpoint: Url = ""
    """Endpoint of an own installation."""


class NewRelic(Section):
    """Reports to New Relic."""

    licensekey: Secret = NO_SECRET
    """Key."""
    name: Text = ""
    """Name of the application."""
    verbose: Flag = False
    """Logs what the reporter does."""


class Reporting(Section):
    """Error reports of registry:2. Ignored: a warning says so."""

    bugsnag: Bugsnag = Bugsnag()
    """Error reports to Bugsnag."""
    newrelic: NewRelic = NewRelic()
    """Reports to New Relic."""

    @property
    def given(self) -> bool:
        """Whether some service is set up."""
        return bool(self.bugsnag.apikey.get_secret_value() or self.newrelic.licensekey.get_secret_value())


class Schema1(Section):
    """Docker's first manifest format."""

    variables: ClassVar[Mapping[str, str]] = {"signingkeyfile": "TRUSTKEY"}

    signingkeyfile: Text = ""
    """Key to sign manifests with."""
    enabled: Flag = False
    """Accepts such manifests. Ignored: they are refused, with a message that says what to do."""


class Compatibility(Section):
    """Old features of registry:2. Ignored: a warning says so."""

    schema1: Schema1 = Schema1()
    """Docker's first manifest format."""
