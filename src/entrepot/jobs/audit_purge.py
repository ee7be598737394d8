"""Removes old events from the audit log: as `audit.retention` says every hour, or as somebody asks for.

Parameters and names of types are Harbor's. The log is a chain and goes from its oldest event on, so an event of a type
that is not named stays, and all after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from entrepot.audit.retention import Cut, Retention
from entrepot.audit.seals import SEALER
from entrepot.audit.words import operation_of, resource_type_of
from entrepot.jobs.run import JobRun
from entrepot.metadata.audit_log import EventRecord
from entrepot.metadata.events import Source
from entrepot.system.jobs.traits import HOUR, JobTraits

_OLDER: Final = "audit_retention_hour"
_TYPES: Final = ("include_event_types", "include_operations")
#: Younger events are kept whatever is asked for; the longest time is Harbor's.
_FEWEST_HOURS: Final = 24
_MOST_HOURS: Final = 240_000


def check(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError when the parameters of a run cannot be."""
    hours = parameters[_OLDER]
    if hours and not _FEWEST_HOURS <= hours <= _MOST_HOURS:
        raise ValueError(f"{_OLDER} is between {_FEWEST_HOURS} and {_MOST_HOURS}, or 0 for what audit.retention says")


PURGE_AUDIT_LOG: Final = JobTraits(
    name="purge-audit-log",
    title="Remove old events from the audit log",
    parameters={_OLDER: 0, _TYPES[0]: "", _TYPES[1]: "", "dry_run": False},
    right="purge-audit:create",
    check=check,
)


class AuditPurging:
    """The job; `seconds` is the configuration's retention, 0 for none."""

    def __init__(self, retention: Retention, seconds: float) -> None:
        self._retention = retention
        self._seconds = seconds

    async def run(self, run: JobRun) -> dict[str, object]:
        """Do one run of the kind."""
        older = run.parameters[_OLDER] * HOUR or self._seconds
        if not older:
            await run.say(f"nothing is removed: audit.retention is not set, and no {_OLDER} is given")
            return {"removed": 0}
        if (reason := await self._retention.doubt()) is not None:
            await run.say(f"nothing is removed: {reason}")
            return {"removed": 0}
        types = _named(run.parameters)
        cut = Cut(
            seconds=older,
            may_go=(lambda event: bool(types & types_of(event))) if types else lambda _event: True,
            dry_run=run.parameters["dry_run"],
            by_month=not run.parameters[_OLDER] and not types,
        )
        by = Source(name=run.actor, credential="job") if run.actor else SEALER
        removed = await self._retention.shorten(cut, run, by)
        await run.say(f"{'would remove' if cut.dry_run else 'removed'} {removed} events older than {older / HOUR:g} h")
        if not cut.dry_run and (kept := await self._retention.first_kept(cut)) is not None:
            await run.say(f"event {kept.id} is of a type that stays ({kept.kind}); the log goes from its oldest on")
        return {"removed": removed, "dry_run": cut.dry_run}


def types_of(event: EventRecord) -> set[str]:
    """Return the names of types that an event goes by: `push`, `create_artifact`, `sign-in`, `other`, ..."""
    what = "artifact" if event.digest or event.tag else (event.subject or "").partition(":")[0]
    operation = operation_of(event)
    names = {event.kind, f"{event.kind}_{what}".replace("-", "_"), operation, f"{operation}_{resource_type_of(event)}"}
    return names if event.repository is not None else names | {"other"}


def _named(parameters: Mapping[str, Any]) -> set[str]:
    texts = ",".join(parameters[name] for name in _TYPES)
    return {name.strip().lower() for name in texts.split(",") if name.strip()}
