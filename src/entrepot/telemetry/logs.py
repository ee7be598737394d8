"""Log records in registry:2's three forms: text (logfmt), json and logstash.

Modules use the standard library: `logging.getLogger(__name__).warning("…", extra={"digest": …})`; what is in `extra`
becomes fields. structlog does the same for 160 ms of start in every process, so it is not used.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, Any, Final

from entrepot.telemetry.access_format import timestamp

#: The id of the request at hand; the middleware sets it, and every record made meanwhile carries it.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_LEVELS: Final = MappingProxyType(
    {
        "panic": logging.CRITICAL,
        "fatal": logging.CRITICAL,
        "error": logging.ERROR,
        "warn": logging.WARNING,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
        "trace": logging.DEBUG,
    }
)
_NAMES: Final = MappingProxyType({"WARNING": "warning", "CRITICAL": "fatal"})
#: What a record has of its own; everything else came by `extra`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BARE: Final = re.compile(r"[A-Za-z0-9\-._/@^+]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The section `log` of the configuration."""

    level: str = "info"
    formatter: str = "text"
    fields: Mapping[str, Any] = field(default_factory=dict)
    access_log: bool = True
    report_caller: bool = False


def configure(settings: LogSettings, stream: IO[str] | None = None) -> None:
    """Send this process's log to standard error in the form of the settings."""
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = EntryFormatter(settings.formatter, settings.fields, report_caller=settings.report_caller)
    handler.setFormatter(formatter)
    level = _LEVELS.get(settings.level, logging.INFO)
    # What libraries say below a warning is about themselves; the server, above all, speaks of each worker.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("entrepot").setLevel(level)
    logging.captureWarnings(capture=True)


class EntryFormatter(logging.Formatter):
    """Renders records as registry:2's logger does, with the fields of the settings on each."""

    def __init__(self, formatter: str, fields: Mapping[str, Any], *, report_caller: bool = False) -> None:
        super().__init__()
        self._fields = dict(fields)
        self._report_caller = report_caller
        self._render = _RENDERERS.get(formatter, render_text)

    def format(self, record: logging.LogRecord) -> str:
        """Render one record on one line."""
        entry = {**self._fields, **{name: value for name, value in vars(record).items() if name not in _OWN}}
        if current := request_id.get():
            entry["http.request.id"] = current
        if record.exc_info and record.exc_info[0]:
            entry["error"] = self.formatException(record.exc_info)
        if self._report_caller:
            entry.update(file=f"{record.pathname}:{record.lineno}", func=f"{record.name}.{record.funcName}")
        level = _NAMES.get(record.levelname, record.levelname.lower())
        return self._render(timestamp(record.created), level, record.getMessage(), entry)


def render_text(at: str, level: str, message: str, fields: Mapping[str, Any]) -> str:
    """Render as `time="…" level=info msg="…" key=value`."""
    pairs = [f"time={_quoted(at)}", f"level={level}", f"msg={_quoted(message)}"]
    pairs += [f"{name}={_quoted(fields[name])}" for name in sorted(fields)]
    return " ".join(pairs)


def render_json(at: str, level: str, message: str, fields: Mapping[str, Any]) -> str:
    """Render as one JSON object with `time`, `level` and `msg`."""
    return _json({**fields, "time": at, "level": level, "msg": message})


def render_logstash(at: str, level: str, message: str, fields: Mapping[str, Any]) -> str:
    """Render as one JSON object of logstash's event form."""
    return _json({**fields, "@timestamp": at, "@version": "1", "level": level, "message": message})


_RENDERERS: Final[Mapping[str, Callable[[str, str, str, Mapping[str, Any]], str]]] = MappingProxyType(
    {"text": render_text, "json": render_json, "logstash": render_logstash}
)


def _json(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"), sort_keys=True, default=str)


def _quoted(value: object) -> str:
    text = str(value)
    if _BARE.match(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(map(_visible, quoted))


def _visible(character: str) -> str:
    """Write out what a terminal would act upon, or read backwards: control characters and marks of direction."""
    return character if character.isprintable() else json.dumps(character)[1:-1]
