"""Puts a deployment together: the one place that knows which adapters are used.

`databases` opens the databases and `storage` the place of the blobs, for the server and for every command; `deployment`
is a registry made of both. `web` and `job_worker` are what the two kinds of worker processes run on top of it, which
the supervisor knows by name; `commands` is what the command line uses.
"""
