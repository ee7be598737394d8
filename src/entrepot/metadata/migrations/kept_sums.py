"""Version 5's view, triggers and functions, which keep what lists and figures show as it changes.

In the database, so that programs of version 4 beside ours count too, and whatever way rows come and go.

`artifacts` has a row for each manifest that stands for itself. Whether one does depends on its tags, on indexes that
list it, and on whether what it is about is there; so after each change of one of these, those that it may concern are
looked at anew: looking once too often changes nothing. `repositories.artifact_count` counts the rows.

`sums` holds the bytes of all blobs whose id is at most `through`, and says through which manifest `artifacts` is
complete: what was there before is added by a job, in steps. On PostgreSQL others would wait for each other's commits at
one row, so the sum has several there, and is changed at the commit.

What this module gives must never change: a revision means the same for ever.
"""

# ruff: noqa: S608 - statements are put together of constants of this module

from __future__ import annotations

from typing import Final

#: Rows of one sum on PostgreSQL.
PARTS: Final = 16
BYTES: Final = "bytes"
ARTIFACTS: Final = "artifacts"
#: In `through`, where nothing is left to be added.
EVERYTHING: Final = 2**63 - 1
_SUFFIXES: Final = (".sig", ".att", ".sbom")

#: A tag that names, in the way of signers, something that its repository has.
_NAMES_ANOTHER: Final = f"""substr(t.name, 1, 7) = 'sha256-'
    AND substr(t.name, 72) IN ({", ".join(f"'{suffix}'" for suffix in _SUFFIXES)})
    AND EXISTS (SELECT 1 FROM manifests AS n WHERE n.repository_id = t.repository_id
      AND n.digest = 'sha256:' || substr(t.name, 8, 64) AND n.id <> m.id)"""
_VIEW: Final = f"""CREATE VIEW standing AS
SELECT m.id AS manifest_id, m.repository_id FROM manifests AS m
WHERE (m.subject IS NULL OR NOT EXISTS (
    SELECT 1 FROM manifests AS s WHERE s.repository_id = m.repository_id AND s.digest = m.subject))
  AND (
    EXISTS (SELECT 1 FROM tags AS t WHERE t.manifest_id = m.id AND NOT ({_NAMES_ANOTHER}))
    OR (NOT EXISTS (SELECT 1 FROM tags AS t WHERE t.manifest_id = m.id)
      AND NOT EXISTS (SELECT 1 FROM manifest_children AS c WHERE c.child_id = m.id))
  )"""


def statements(dialect: str) -> list[str]:
    """Return what builds them, where the tables are; where something is stored, nothing of that is counted yet."""
    parts = 1 if dialect == "sqlite" else PARTS
    return [
        *(_begin(BYTES, part, "blobs") for part in range(parts)),
        _begin(ARTIFACTS, 0, "manifests"),
        _VIEW,
        *(_of_sqlite() if dialect == "sqlite" else _of_postgresql()),
    ]


def _begin(name: str, part: int, table: str) -> str:
    return (
        f"INSERT INTO sums (name, part, value, through) SELECT '{name}', {part}, 0, "
        f"CASE WHEN EXISTS (SELECT 1 FROM {table}) THEN 0 ELSE {EVERYTHING} END"
    )


def _concerned(row: str) -> str:
    """Select the manifests that the coming or going of one may concern."""
    signed = ", ".join(f"'sha256-' || substr({row}.digest, 8) || '{suffix}'" for suffix in _SUFFIXES)
    return f"""SELECT {row}.id UNION ALL
    SELECT id FROM manifests WHERE repository_id = {row}.repository_id AND subject = {row}.digest UNION ALL
    SELECT manifest_id FROM tags WHERE repository_id = {row}.repository_id AND name IN ({signed})"""


def _look_at(ids: str) -> str:
    """Return the two statements that look at some manifests anew."""
    return f"""DELETE FROM artifacts WHERE manifest_id IN ({ids})
    AND NOT EXISTS (SELECT 1 FROM standing AS s WHERE s.manifest_id = artifacts.manifest_id);
  INSERT INTO artifacts (manifest_id, repository_id)
    SELECT s.manifest_id, s.repository_id FROM standing AS s WHERE s.manifest_id IN ({ids})
    AND NOT EXISTS (SELECT 1 FROM artifacts AS a WHERE a.manifest_id = s.manifest_id)"""


def _of_sqlite() -> list[str]:
    triggers = {
        "artifacts_manifest_added": ("INSERT ON manifests", _look_at(_concerned("NEW"))),
        "artifacts_manifest_removed": ("DELETE ON manifests", _look_at(_concerned("OLD"))),
        "artifacts_manifest_moved": (
            "UPDATE OF repository_id ON manifests",
            "; ".join(
                (
                    "DELETE FROM artifacts WHERE manifest_id = NEW.id",
                    _look_at(_concerned("OLD")),
                    _look_at(_concerned("NEW")),
                )
            ),
        ),
        "artifacts_tag_added": ("INSERT ON tags", _look_at("NEW.manifest_id")),
        "artifacts_tag_removed": ("DELETE ON tags", _look_at("OLD.manifest_id")),
        "artifacts_tag_moved": ("UPDATE OF manifest_id, name ON tags", _look_at("OLD.manifest_id, NEW.manifest_id")),
        "artifacts_child_added": (
            "INSERT ON manifest_children WHEN NEW.child_id IS NOT NULL",
            _look_at("NEW.child_id"),
        ),
        "artifacts_child_removed": (
            "DELETE ON manifest_children WHEN OLD.child_id IS NOT NULL",
            _look_at("OLD.child_id"),
        ),
        "artifacts_child_changed": (
            "UPDATE OF child_id ON manifest_children WHEN NEW.child_id IS NOT OLD.child_id",
            _look_at("OLD.child_id, NEW.child_id"),
        ),
        "artifacts_one_more": ("INSERT ON artifacts", _count("NEW", "+")),
        "artifacts_one_less": ("DELETE ON artifacts", _count("OLD", "-")),
        "blobs_added": ("INSERT ON blobs WHEN NEW.state <> 'missing'", _add("NEW", "+", "0")),
        "blobs_removed": ("DELETE ON blobs WHEN OLD.state <> 'missing'", _add("OLD", "-", "0")),
        "blobs_changed": (
            f"UPDATE OF state, size ON blobs WHEN {_CHANGED}",
            f"{_add('OLD', '-', '0', _THERE.format('OLD'))}; {_add('NEW', '+', '0', _THERE.format('NEW'))}",
        ),
    }
    return [f"CREATE TRIGGER {name} AFTER {event} BEGIN\n  {body};\nEND" for name, (event, body) in triggers.items()]


#: Of two transactions that each take away one of two reasons, the second to look sees what the first has done.
_IN_TURN: Final = "PERFORM 1 FROM manifests WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE"
#: Nor does it matter which of two that find the same manifest standing notes it.
_ONCE: Final = "ON CONFLICT DO NOTHING"
_THERE: Final = "{}.state <> 'missing'"
_CHANGED: Final = "(NEW.state = 'missing') <> (OLD.state = 'missing') OR NEW.size <> OLD.size"


def _count(row: str, sign: str) -> str:
    return f"UPDATE repositories SET artifact_count = artifact_count {sign} 1 WHERE id = {row}.repository_id"


def _add(row: str, sign: str, part: str, condition: str = "") -> str:
    wanted = f"name = '{BYTES}' AND part = {part} AND through >= {row}.id" + (f" AND {condition}" if condition else "")
    return f"UPDATE sums SET value = value {sign} {row}.size WHERE {wanted}"


def _of_postgresql() -> list[str]:
    functions = {
        "artifacts_look_at(ids BIGINT[]) RETURNS void": f"{_IN_TURN};\n  {_look_at('SELECT unnest(ids)')} {_ONCE}",
        "artifacts_by_manifest() RETURNS trigger": f"""IF TG_OP <> 'INSERT' THEN
    DELETE FROM artifacts WHERE manifest_id = OLD.id;
    PERFORM artifacts_look_at(ARRAY({_concerned("OLD")}));
  END IF;
  IF TG_OP <> 'DELETE' THEN
    PERFORM artifacts_look_at(ARRAY({_concerned("NEW")}));
  END IF;
  RETURN NULL""",
        "artifacts_by_tag() RETURNS trigger": _by("manifest_id"),
        "artifacts_by_child() RETURNS trigger": _by("child_id"),
        "artifacts_counted() RETURNS trigger": f"""IF TG_OP = 'INSERT' THEN {_count("NEW", "+")};
  ELSE {_count("OLD", "-")};
  END IF;
  RETURN NULL""",
        "blobs_summed() RETURNS trigger": f"""IF TG_OP <> 'INSERT' THEN
    {_add("OLD", "-", _PART, _THERE.format("OLD"))};
  END IF;
  IF TG_OP <> 'DELETE' THEN
    {_add("NEW", "+", _PART, _THERE.format("NEW"))};
  END IF;
  RETURN NULL""",
    }
    triggers = [
        _trigger(
            "artifacts_manifest", "INSERT OR DELETE OR UPDATE OF repository_id ON manifests", "artifacts_by_manifest"
        ),
        _trigger("artifacts_tag", "INSERT OR DELETE OR UPDATE OF manifest_id, name ON tags", "artifacts_by_tag"),
        _trigger(
            "artifacts_child", "INSERT OR DELETE OR UPDATE OF child_id ON manifest_children", "artifacts_by_child"
        ),
        _at_commit("artifacts_counting", "INSERT OR DELETE ON artifacts", "artifacts_counted"),
        _at_commit("blobs_come_and_go", "INSERT OR DELETE ON blobs", "blobs_summed"),
        _at_commit("blobs_change", "UPDATE ON blobs", "blobs_summed", f"WHEN ({_CHANGED}) "),
    ]
    built = [
        f"CREATE FUNCTION {head} LANGUAGE plpgsql AS $$ BEGIN\n  {body};\nEND $$" for head, body in functions.items()
    ]
    return [*built, *triggers]


def _trigger(name: str, event: str, function: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {event} FOR EACH ROW EXECUTE FUNCTION {function}()"


def _at_commit(name: str, event: str, function: str, condition: str = "") -> str:
    timing = f"AFTER {event} DEFERRABLE INITIALLY DEFERRED"
    return f"CREATE CONSTRAINT TRIGGER {name} {timing} FOR EACH ROW {condition}EXECUTE FUNCTION {function}()"


_PART: Final = f"mod(pg_backend_pid(), {PARTS})"


def _by(column: str) -> str:
    return f"""IF TG_OP = 'INSERT' THEN PERFORM artifacts_look_at(ARRAY[NEW.{column}]);
  ELSIF TG_OP = 'DELETE' THEN PERFORM artifacts_look_at(ARRAY[OLD.{column}]);
  ELSE PERFORM artifacts_look_at(ARRAY[OLD.{column}, NEW.{column}]);
  END IF;
  RETURN NULL"""
