"""What the PostgreSQL executor counts."""

from entrepot.telemetry.instruments import Metrics, count


class PostgresMetrics:
    """The instruments of one process's database."""

    def __init__(self, metrics: Metrics) -> None:
        self._wait = metrics.histogram(
            "entrepot_db_pool_wait_seconds", "Time that transactions waited for a connection."
        )
        self._wait_numbers = self._wait.series()
        self._connections = metrics.gauge("entrepot_db_connections", "Connections to the database server.")
        self._retries = metrics.counter(
            "entrepot_db_retries", "Transactions and questions that were begun again, by SQLSTATE.", ("state",)
        )
        self._unknown = metrics.counter(
            "entrepot_db_unknown_commits", "Commits whose connection was lost, by what became of them.", ("outcome",)
        )
        self._shared = 0
        self._dedicated = 0

    def waited(self, seconds: float) -> None:
        """Count how long a connection was waited for."""
        count(self._wait_numbers, self._wait.bounds, seconds)

    def connections(self, shared: int) -> None:
        """Say how many connections the pool has."""
        self._shared = shared
        self._connections.set(shared + self._dedicated)

    def dedicated(self, change: int) -> None:
        """Count connections beside the pool."""
        self._dedicated += change
        self._connections.set(self._shared + self._dedicated)

    def retried(self, state: str) -> None:
        """Count a retry."""
        self._retries.inc(state)

    def unknown_commit(self, outcome: str) -> None:
        """Count a commit that was looked up: committed, aborted or unknown."""
        self._unknown.inc(outcome)
