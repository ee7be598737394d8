"""`log`: what is written about the registry's work."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Anything, Flag, Secret, Text, as_plain_text, lowered

Level = Annotated[Literal["error", "warn", "info", "debug"], BeforeValidator(lowered)]
Formatter = Annotated[Literal["text", "json", "logstash"], BeforeValidator(as_plain_text)]


class AccessLog(Section):
    """The log of requests."""

    disabled: Flag = False
    """Switches the access log off."""


class Smtp(Section):
    """The mail server of a log hook."""

    addr: Text = ""
    """Host and port of the mail server."""
    username: Text = ""
    """Name to sign in with."""
    password: Secret = NO_SECRET
    """Password to sign in with."""
    insecure: Flag = False
    """Leaves the mail server's certificate unchecked."""


class MailOptions(Section):
    """Whom a log hook writes to."""

    smtp: Smtp = Smtp()
    """The mail server."""
    sender: Text = Field(default="", alias="from")
    """Address that the mail comes from."""
    to: tuple[Text, ...] = ()
    """Addresses that the mail goes to."""


class Hook(Section):
    """Something to do when a message of some level is logged."""

    variables: ClassVar[Mapping[str, str]] = {"options": "MAILOPTIONS"}

    disabled: Flag = False
    """Switches this hook off."""
    type: Text = ""
    """Kind of the hook; registry:2 knows `mail`."""
    levels: tuple[Text, ...] = ()
    """Levels that set the hook off."""
    options: MailOptions = MailOptions()
    """Parameters of a mail hook."""


class Log(Section):
    """What is logged, and in which form."""

    accesslog: AccessLog = AccessLog()
    """The log of requests."""
    level: Level | None = None
    """Least serious level that is logged. Without it `loglevel` counts, then `info`."""
    formatter: Formatter = "text"
    """Form of a log line: `logstash` is JSON with Logstash's field names."""
    fields: dict[Text, Anything] = Field(default_factory=dict)
    """Names and values added to every line."""
    hooks: tuple[Hook, ...] = ()
    """Mails to send for messages of some level. Not supported: a warning says so."""
    reportcaller: Flag = False
    """Adds the place in the source to every line but those of the access log: `file` and `func`."""
