"""What programs of version 2 wrote beside those of version 3 is completed.

They know of no usage, nor whose a reference is. Where none of them wrote, nothing is changed.
"""

from alembic import op

revision = "0003_post"
down_revision = "0003_pre"

_REPOSITORY_OF_MANIFEST = (
    "UPDATE manifest_blobs SET repository_id = "
    "(SELECT m.repository_id FROM manifests AS m WHERE m.id = manifest_blobs.manifest_id) WHERE repository_id = 0"
)
_UNCOUNTED = (
    "INSERT INTO project_usage (project_id) SELECT p.id FROM projects AS p "
    "WHERE NOT EXISTS (SELECT 1 FROM project_usage AS u WHERE u.project_id = p.id)"
)
_RECOUNTED = """
UPDATE project_usage SET
  blob_bytes = COALESCE((SELECT SUM(b.size) FROM project_blobs AS u JOIN blobs AS b ON b.id = u.blob_id
    WHERE u.project_id = project_usage.project_id), 0),
  full_bytes = COALESCE((SELECT SUM(b.size * u."references") FROM project_blobs AS u JOIN blobs AS b ON b.id = u.blob_id
    WHERE u.project_id = project_usage.project_id), 0),
  manifest_bytes = COALESCE((SELECT SUM(m.size) FROM repositories AS r JOIN manifests AS m ON m.repository_id = r.id
    WHERE r.project_id = project_usage.project_id), 0),
  manifests = (SELECT COUNT(*) FROM repositories AS r JOIN manifests AS m ON m.repository_id = r.id
    WHERE r.project_id = project_usage.project_id)"""


def upgrade() -> None:
    """Say of each reference whose it is, and add up from nothing what each project uses."""
    for statement in (_REPOSITORY_OF_MANIFEST, _UNCOUNTED, _RECOUNTED):
        op.execute(statement)
