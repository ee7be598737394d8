"""What the registry tells about itself: log records, the access log and metrics.

`logs` sets up the log in registry:2's three formats, `access_log` writes one line per request, `metrics` counts
requests, `instruments` holds the counters of one process, `snapshots` shares them with the supervisor and
`exposition` renders them for Prometheus. Nothing here imports another package of ours.
"""
