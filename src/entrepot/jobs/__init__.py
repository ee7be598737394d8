"""Work that nobody waits for: the worker that does it, and the jobs.

`model` says what a job is. Work that lasts as long as the worker, or comes every few seconds, is done by `worker` under
leases, so that of several replicas one does it: `outbox` hands on what transactions left to be done, for example. Runs
that people ask for and look at are begun by `dispatcher` (and, on time, `scheduler`), done by `execution` and written
down by `run_record`; `run` is what their code works with. Which jobs there are is listed in `bootstrap.job_worker`.
"""
