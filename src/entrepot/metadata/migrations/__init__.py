"""The history of the metadata schema, as Alembic revisions, run without Alembic's own bookkeeping.

Every version N has two revisions:

- `NNNN_pre` only adds: programs of version N-1 go on working beside it. A program of version N runs it at its start.
- `NNNN_post` takes away what only programs older than N need, and raises `schema.min_reader` and `min_writer` to N.
  It runs together with the next version's `pre`, so two releases may always share one database while a cluster is
  upgraded process by process.

Rules:

- Revisions give SQL and nothing else: they are rendered to text for each dialect and run in one transaction, so they
  cannot ask the database questions while they run.
- No copies of tables that grow (blobs, manifests, tags, tag_history, events): columns are added with a default.
- Rows are changed in statements whose cost does not grow with what is stored; the rest is a job after the start.
- They spell the tables out and never import `entrepot.metadata.tables`, which moves on while history stands.
"""
