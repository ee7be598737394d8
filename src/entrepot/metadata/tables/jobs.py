"""Jobs: what was asked for and what came of it, when which kind runs, and which kinds are held back."""

from typing import Final

from sqlalchemy import Index, text

from entrepot.metadata.columns import key, keyed, number, numbered, owned, words
from entrepot.metadata.tables.base import metadata

_ACTIVE: Final = text("ended_at IS NULL")
_RUNNING: Final = text("state = 'Running'")

#: Runs of jobs. A row is written in the transaction that wants the run, and is all that a worker needs to do it. While
#: it runs, `holder` is the worker that does it, and nobody else may before `lease_until`; of one kind and subject only
#: one runs at a time, as the unique index says. `parameters` and `result` are JSON, `version` is the kind's when the
#: run was asked for, `due_at` the earliest time to begin, `stop_at` when somebody asked it to end.
job_runs: Final = numbered(
    "job_runs",
    metadata,
    words("kind"),
    words("subject"),
    number("version"),
    words("parameters"),
    words("cause"),
    words("actor"),
    words("state"),
    number("attempt", default=0),
    number("due_at"),
    words("holder", null=True),
    number("lease_until", null=True),
    number("stop_at", null=True),
    number("done", default=0),
    number("total", null=True),
    words("result", null=True),
    words("error", null=True),
    number("created_at"),
    number("started_at", null=True),
    number("updated_at"),
    number("ended_at", null=True),
    Index(None, "kind", "id"),
    Index("ix_job_runs_active", "kind", "due_at", sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    Index(
        "ix_job_runs_running",
        "kind",
        "subject",
        unique=True,
        sqlite_where=_RUNNING,
        postgresql_where=_RUNNING,
    ),
)

#: Parts of a run that are done once, however often the run is taken up again; `result` is JSON.
job_steps: Final = keyed(
    "job_steps",
    metadata,
    owned("run_id", "job_runs.id", primary_key=True),
    key("name"),
    number("started_at"),
    number("ended_at", null=True),
    words("result", null=True),
)

#: What a run had to say, in order; old lines go when there are too many.
job_lines: Final = keyed(
    "job_lines",
    metadata,
    owned("run_id", "job_runs.id", primary_key=True),
    key("number", number("number").type),
    number("at"),
    words("text"),
)

#: When a kind of job runs by itself. `cron` is a cron line or `@every 1h`, in the time zone beside it. `origin` says
#: whether a person set it or the configuration, which may then set it anew.
schedules: Final = numbered(
    "schedules",
    metadata,
    words("kind"),
    words("subject"),
    words("cron"),
    words("time_zone"),
    words("parameters"),
    words("origin"),
    number("next_at", null=True),
    number("created_at"),
    number("updated_at"),
    Index(None, "kind", "subject", unique=True),
    Index(None, "next_at"),
)

#: Kinds whose runs wait until somebody lets them go on.
job_pauses: Final = keyed("job_pauses", metadata, key("kind"), words("actor"), number("at"))
