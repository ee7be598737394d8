"""Moving a registry's database to another, from SQLite to PostgreSQL or back, while it serves.

    begin      the source notes which rows change from now on (`move_changes`); the target is empty
    copy       a snapshot, table by table, each batch with how far it is: what was broken off goes on
    rounds     the rows that changed meanwhile, again and again, until few are left
    verify     every row of both, side by side, against one more snapshot
    hold       writers wait for some moments: the last round, counts of all tables, and the source is marked
    open       the target may be used

A copy of one moment, for backups and for what is brought back from them, is `steps.copy_at_once`: no rounds, and the
source learns nothing of it.

`steps` is that order, `sqlite_side` and `postgres_side` are what each database does in it, as source and as target, and
`metadata.move_mark` is what keeps programs off a database that was left or is still being filled.
"""
