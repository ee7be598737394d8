"""What the nodes of a registry share in Redis or Valkey, and may lose at any moment.

    redis_client    the connection, by registry:2's and registry:3's keys: one server, a cluster, sentinels
    redis_counts    counts for limits of rates: the port `access.limits.counts.SharedCounts`

Nothing here is asked within a request. It is imported only where `redis` names a server and something is shared.
"""
