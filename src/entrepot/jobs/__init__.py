"""Work that nobody waits for: the worker that does it, and the jobs.

`model` says what a job is, `worker` runs jobs under leases so that of several replicas one does each, `outbox` hands on
what transactions left to be done, `upload_purging` removes uploads that nobody finished. Which jobs run is listed in
`bootstrap`.
"""
