"""Asks SQLite how it would run a statement, to find the ones that read whole tables."""

import re

from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import Query

#: A scan of what a statement built itself: a subquery, a list parameter, a constant row, the queue of a recursion.
_OWN = re.compile(r"SCAN (json_each|given VIRTUAL|heads$|below$|\d+|CONSTANT ROW|\(subquery-\d+\)|anon_\d+$)")


def query_plan(database: SqliteDatabase, query: Query) -> list[str]:
    """Return the steps of SQLite's plan for a statement."""
    compiled = query.compiled(SQLITE)
    nothing = {name: "[]" if name in compiled.lists else None for name in compiled.wanted}
    values = {**compiled.constants, **nothing}
    return [row[3] for row in database._reading.execute(f"EXPLAIN QUERY PLAN {compiled.text}", values)]


def full_scans(database: SqliteDatabase, query: Query) -> list[str]:
    """Return the steps that read a whole table or a whole index; [] for a statement that finds its rows by key."""
    return [step for step in query_plan(database, query) if step.startswith("SCAN ") and not _OWN.match(step)]
