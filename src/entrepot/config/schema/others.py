"""`proxy`, and what only registry:2 knew: `reporting` and `compatibility`."""

from collections.abc import Mapping
from typing import ClassVar

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Duration, Flag, Secret, Text, Url


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
