"""Version 5's triggers that count changes of rights on PostgreSQL, so that nodes notice each other's.

Each process reads one row a second in place of all that it remembers. Whatever takes or gives a right counts once for
its transaction, whichever program writes it; uses of keys, sign-ins and the like count nothing. The row is written at
the end of the transaction's own writes, so that others wait for the commit alone.

SQLite has no such triggers: what is remembered there is short-lived, and all processes are on one machine.

What this module gives must never change: a revision means the same for ever.
"""

# ruff: noqa: S608 - statements are put together of constants of this module

from __future__ import annotations

from typing import Final

RIGHTS: Final = "rights"

#: What gives or takes rights, by table. Who is new has none yet, and a project that nobody knew is asked for again.
_EVENTS: Final = {
    "principals": "DELETE OR UPDATE OF name, epoch, disabled, expires_at",
    "users": "UPDATE OF must_change",
    "memberships": "INSERT OR DELETE OR UPDATE",
    "grants": "INSERT OR DELETE OR UPDATE",
    "roles": "DELETE OR UPDATE OF permissions",
    "api_keys": "DELETE OR UPDATE OF limits, expires_at",
    "projects": "DELETE OR UPDATE OF name, public, internal",
}
_FUNCTION: Final = f"""CREATE FUNCTION rights_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF coalesce(current_setting('entrepot.rights_changed', true), '') = '' THEN
    PERFORM set_config('entrepot.rights_changed', 'yes', true);
    UPDATE changes SET number = number + 1 WHERE name = '{RIGHTS}';
  END IF;
  RETURN NULL;
END $$"""


def statements(dialect: str) -> list[str]:
    """Return what begins to count, where the table is."""
    begin = f"INSERT INTO changes (name, number) VALUES ('{RIGHTS}', 0)"
    if dialect == "sqlite":
        return [begin]
    triggers = [
        f"CREATE CONSTRAINT TRIGGER rights_changed_by_{table} AFTER {events} ON {table} "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rights_changed()"
        for table, events in _EVENTS.items()
    ]
    return [begin, _FUNCTION, *triggers]
