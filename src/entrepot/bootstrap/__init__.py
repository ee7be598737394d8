"""Puts a deployment together: the one place that knows which adapters are used.

`embedded` opens one folder: SQLite for the metadata, files for the blobs. `web` and `job_worker` are what the two kinds
of worker processes run on top of it, which the supervisor knows by name; `commands` is what the command line uses.
"""
