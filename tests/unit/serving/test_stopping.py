"""How the web server waits for its workers."""

from __future__ import annotations

import time

from entrepot.serving.web import stop_workers


class Worker:
    """Is known to have ended only when it was asked some times."""

    def __init__(self, asked: int) -> None:
        self.left = asked
        self.told = 0

    def terminate(self) -> None:
        """Note it."""
        self.told += 1

    def is_alive(self) -> bool:
        """Tell, and come closer to the end."""
        self.left -= 1
        return self.left >= 0


def test_a_worker_that_has_ended_is_not_taken_for_alive() -> None:
    """Its end is noted by another thread, a little later: nobody says of it that it refused to stop."""
    workers = [Worker(3), Worker(0)]
    assert stop_workers(workers, 30) > 0
    assert [worker.told for worker in workers] == [1, 1]
    assert not any(worker.is_alive() for worker in workers)


def test_a_worker_that_does_not_stop_is_waited_for_no_longer_than_that() -> None:
    """It is left to be killed."""
    worker, began = Worker(1_000_000), time.monotonic()
    assert 0 < stop_workers([worker], 0.05) < 0.05
    assert worker.is_alive()
    assert time.monotonic() - began < 5
