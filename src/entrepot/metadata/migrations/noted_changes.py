"""Version 5's triggers that count changes on PostgreSQL, so that nodes notice each other's.

Each process reads a few rows once a second in place of all that it remembers or waits for. Whatever takes or gives a
right counts once for its transaction, whichever program writes it, as does what lets a job begin; uses of keys,
sign-ins and the like count nothing. The row is written at the end of the transaction's own writes, so that others wait
for the commit alone.

SQLite has no such triggers: what is remembered there is short-lived, and all processes are on one machine.

What this module gives must never change: a revision means the same for ever.
"""

# ruff: noqa: S608 - statements are put together of constants of this module

from __future__ import annotations

from typing import Final

RIGHTS: Final = "rights"
#: Whether the registry is read-only, which is a setting.
READ_ONLY: Final = "readonly"

#: Runs of jobs that wait, may be taken up or have ended, their schedules and pauses.
JOBS: Final = "jobs"

#: What counts, by table. Who is new has no rights yet, and a project that nobody knew is asked for again.
_EVENTS: Final = {
    "principals": (RIGHTS, "DELETE OR UPDATE OF name, epoch, disabled, expires_at"),
    "users": (RIGHTS, "UPDATE OF must_change"),
    "memberships": (RIGHTS, "INSERT OR DELETE OR UPDATE"),
    "grants": (RIGHTS, "INSERT OR DELETE OR UPDATE"),
    "roles": (RIGHTS, "DELETE OR UPDATE OF permissions"),
    "api_keys": (RIGHTS, "DELETE OR UPDATE OF limits, expires_at"),
    "projects": (RIGHTS, "DELETE OR UPDATE OF name, public, internal"),
    "job_runs": (JOBS, "INSERT OR UPDATE OF state, due_at"),
    "job_pauses": (JOBS, "INSERT OR DELETE"),
    "schedules": (JOBS, "INSERT OR DELETE OR UPDATE"),
    "settings": (READ_ONLY, "INSERT OR UPDATE"),
}
#: Rows that do not count.
_ONLY: Final = {"settings": f"WHEN (NEW.key = '{READ_ONLY}') "}
_FUNCTION: Final = """CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF coalesce(current_setting('entrepot.changed_' || TG_ARGV[0], true), '') = '' THEN
    PERFORM set_config('entrepot.changed_' || TG_ARGV[0], 'yes', true);
    UPDATE changes SET number = number + 1 WHERE name = TG_ARGV[0];
  END IF;
  RETURN NULL;
END $$"""


def statements(dialect: str) -> list[str]:
    """Return what begins to count, where the table is."""
    rows = ", ".join(f"('{name}', 0)" for name in (RIGHTS, READ_ONLY, JOBS))
    begin = f"INSERT INTO changes (name, number) VALUES {rows}"
    if dialect == "sqlite":
        return [begin]
    triggers = [
        f"CREATE CONSTRAINT TRIGGER changes_of_{table} AFTER {events} ON {table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW {_ONLY.get(table, '')}EXECUTE FUNCTION note_change('{name}')"
        for table, (name, events) in _EVENTS.items()
    ]
    return [begin, _FUNCTION, *triggers]
