"""What a registry of version 3 holds beyond one of version 2: a row in each of its tables, and in its new columns."""

from __future__ import annotations

_CHARGED = """
INSERT INTO project_usage (project_id, blob_bytes, full_bytes, manifest_bytes, manifests, reserved_bytes, charge,
  hard_bytes, soft_manifests, updated_at)
SELECT p.id,
  COALESCE((SELECT SUM(b.size) FROM project_blobs AS u JOIN blobs AS b ON b.id = u.blob_id
    WHERE u.project_id = p.id), 0),
  COALESCE((SELECT SUM(b.size * u."references") FROM project_blobs AS u JOIN blobs AS b ON b.id = u.blob_id
    WHERE u.project_id = p.id), 0),
  COALESCE((SELECT SUM(m.size) FROM repositories AS r JOIN manifests AS m ON m.repository_id = r.id
    WHERE r.project_id = p.id), 0),
  (SELECT COUNT(*) FROM repositories AS r JOIN manifests AS m ON m.repository_id = r.id WHERE r.project_id = p.id),
  0, NULL, 1000000, 90, 100
FROM projects AS p"""


def statements(dialect: str) -> list[str]:
    """Return what adds it."""
    content = "X'0102'" if dialect == "sqlite" else "'\\x0102'"
    return [
        (
            "UPDATE manifest_blobs SET repository_id = "
            "(SELECT m.repository_id FROM manifests AS m WHERE m.id = manifest_blobs.manifest_id)"
        ),
        _CHARGED,
        "UPDATE project_usage SET reserved_bytes = 5 WHERE project_id = 1",
        "INSERT INTO project_reservations (project_id, blob_id, size, expires_at) VALUES (1, 4, 5, 9000000000000000)",
        (
            "INSERT INTO job_runs (kind, subject, version, parameters, cause, actor, state, attempt, due_at, done, "
            "total, result, created_at, started_at, updated_at, ended_at) VALUES ('retention', 'project:1', 1, '{}', "
            "'asked', 'admin', 'Success', 1, 101, 3, 3, '{}', 102, 103, 104, 105)"
        ),
        "INSERT INTO job_steps (run_id, name, started_at, ended_at, result) VALUES (1, 'a', 106, 107, '{}')",
        "INSERT INTO job_lines (run_id, number, at, text) VALUES (1, 1, 108, 'done')",
        (
            "INSERT INTO schedules (kind, subject, cron, time_zone, parameters, origin, next_at, created_at, "
            "updated_at) VALUES ('garbage-collection', '', '@daily', 'UTC', '{}', 'default', 109, 110, 111)"
        ),
        "INSERT INTO job_pauses (kind, actor, at) VALUES ('retention', 'admin', 112)",
        (
            "INSERT INTO findings (kind, subject, detail, found_by, found_at, ended_at, ended_by) "
            "VALUES ('damaged', 'blob:1', '{}', 'scrub', 113, 114, 'push')"
        ),
        (
            "INSERT INTO trash (kind, project_id, project, repository_id, repository, place_id, digest, tags, "
            "deletion, actor, deleted_at, expires_at) VALUES ('tag', 1, 'team', 1, 'team/app', NULL, NULL, "
            "'[\"old\"]', 'd1', 'admin', 115, 9000000000000000)"
        ),
        (
            "INSERT INTO immutable_rules (project_id, priority, disabled, tag_selectors, repository_selectors) "
            "VALUES (1, 0, 1, '[]', '[]')"
        ),
        "INSERT INTO analyses (started_at, finished_at, cursor, totals) VALUES (116, 117, '', '{}')",
        "INSERT INTO analysis_parts (analysis_id, kind, subject_id, project_id) VALUES (1, 'project', 1, 1)",
        "INSERT INTO analysis_tops (analysis_id, kind, scope, subject_id, bytes) VALUES (1, 'project', 0, 1, 7)",
        (
            "INSERT INTO usage_days (project_id, day, blob_bytes, full_bytes, manifest_bytes, manifests) "
            "VALUES (1, 118, 1, 2, 3, 4)"
        ),
        "INSERT INTO disk_days (day, total_bytes, free_bytes, stored_bytes) VALUES (118, 9, 8, 1)",
        (
            "INSERT INTO layer_sketches (blob_id, version, outcome, expanded_bytes, chunks, sketch, looked_at) "
            f"VALUES (2, 1, 'read', 10, 1, {content}, 119)"
        ),
        (
            'INSERT INTO retention_policies (project_id, rules, "trigger", created_at, updated_at) '
            "VALUES (1, '[]', '{}', 120, 121)"
        ),
        (
            "INSERT INTO retention_tasks (run_id, repository_id, repository, state, started_at, evaluated_at, "
            "ended_at, total, retained, removed) VALUES (1, 1, 'app', 'Success', 122, 123, 124, 4, 4, 0)"
        ),
        f"INSERT INTO retention_verdicts (task_id, piece, content) VALUES (1, 0, {content})",
        "INSERT INTO manifest_expiry (manifest_id, seconds, due_at) VALUES (1, 60, 9000000000000000)",
    ]
