"""`notifications`: whom registry:2 tells about pushes, pulls and deletes."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from entrepot.config.section import Section
from entrepot.config.values import Count, Duration, Flag, Secret, Text, Url


class Events(Section):
    """What an event holds."""

    includereferences: Flag = False
    """Lists what a manifest refers to."""


class Ignore(Section):
    """Events that an endpoint does not get."""

    mediatypes: tuple[Text, ...] = ()
    """Media types whose events are left out."""
    actions: tuple[Text, ...] = ()
    """Actions whose events are left out."""


class Endpoint(Section):
    """A service that gets events."""

    name: Text = ""
    """Name of the service, for people."""
    disabled: Flag = False
    """Sends it nothing."""
    url: Url = ""
    """Where events are posted to."""
    headers: dict[Text, tuple[Secret, ...]] = Field(default_factory=dict)
    """Header fields of the requests, each with a list of values. Shown masked: they often hold credentials."""
    timeout: Duration = 1.0
    """Longest wait for an answer."""
    threshold: Count = 10
    """Failures in a row before a pause."""
    backoff: Duration = 1.0
    """Length of the pause."""
    ignoredmediatypes: tuple[Text, ...] = ()
    """Media types whose events are left out."""
    ignore: Ignore = Ignore()
    """Events that are left out."""


class Notifications(Section):
    """Whom registry:2 tells about pushes, pulls and deletes."""

    variables: ClassVar[Mapping[str, str]] = {"events": "EVENTCONFIG"}

    events: Events = Events()
    """What an event holds."""
    endpoints: tuple[Endpoint, ...] = ()
    """Services that get events. Still to come: an endpoint that is not disabled stops the start, or its events would
    be lost."""
