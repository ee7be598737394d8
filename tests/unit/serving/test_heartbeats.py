"""Which of several workers is replaced when some are silent; by a clock and a disk of the test's own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.serving.heartbeats import SILENT_SECONDS, DiskProbe, Heartbeats
from entrepot.serving.notices import Notice


class Disk(DiskProbe):
    """Answers what the test says."""

    def __init__(self) -> None:
        super().__init__(None)
        self.answer: bool | None = True

    def ask(self) -> bool | None:
        return self.answer


class Case:
    """Workers as real processes that do nothing, and what is said of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.disk = Disk()
        self.told: list[bool] = []
        self.beats = Heartbeats(self.disk, self.told.append, clock=lambda: self.now)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, role: str = "web", generation: int = 1) -> subprocess.Popen[bytes]:
        """Start one that says it serves."""
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.processes.append(process)
        self.beats.ready(Notice(kind="ready", role=role, generation=generation, pid=process.pid))
        return process

    def pass_seconds(self, seconds: float, *beating: subprocess.Popen[bytes]) -> list[str]:
        """Let time pass, second by second, while some say that they live; return the roles that were killed."""
        killed = []
        for _ in range(int(seconds)):
            self.now += 1
            for process in beating:
                self.beats.heard(process.pid)
            killed += self.beats.look(lambda role, generation: generation == 1)
        return killed


@pytest.fixture
def case() -> Iterator[Case]:
    """No worker yet."""
    made = Case()
    yield made
    made.beats.close()
    for process in made.processes:
        process.kill()
        process.wait()


def test_one_that_is_silent_is_killed_and_the_others_are_not(case: Case) -> None:
    """It may be silent for a while; and what has ended is not waited for."""
    silent, well, jobs = case.start(), case.start(), case.start("job")
    assert case.pass_seconds(SILENT_SECONDS - 1, well, jobs) == []
    assert case.pass_seconds(1, well, jobs) == ["web"]
    assert silent.wait(10) == -signal.SIGKILL
    assert case.pass_seconds(60, well, jobs) == []


def test_of_several_the_next_goes_when_the_first_has_a_successor(case: Case) -> None:
    """Else a registry that is slow would have no worker at all."""
    for _ in range(3):
        case.start()
    assert case.pass_seconds(SILENT_SECONDS) == ["web"]
    assert case.pass_seconds(10) == []
    successor = case.start()
    assert case.pass_seconds(2, successor) == ["web"]


def test_nobody_is_killed_while_the_disk_does_not_answer(case: Case) -> None:
    """It is told once, and once when it answers; then all have as much time again."""
    case.start()
    case.start()
    case.disk.answer = None
    assert case.pass_seconds(SILENT_SECONDS) == []
    case.disk.answer = False
    assert case.pass_seconds(60) == []
    assert case.told == [False]
    case.disk.answer = True
    assert case.pass_seconds(SILENT_SECONDS) == []
    assert case.told == [False, True]
    assert case.pass_seconds(2) == ["web"]


def test_a_machine_that_was_suspended_has_no_silent_workers(case: Case) -> None:
    """Who counts stood still as well."""
    case.start()
    case.now += 3600
    assert case.pass_seconds(SILENT_SECONDS / 2) == []


def test_when_one_comes_back_the_others_may_as_well(case: Case) -> None:
    """They waited for the same, and what they say is read one after the other."""
    first, _ = case.start(), case.start()
    case.disk.answer = None
    assert case.pass_seconds(60) == []
    case.disk.answer = True
    case.beats.heard(first.pid)
    assert case.pass_seconds(SILENT_SECONDS - 1, first) == []
    assert case.pass_seconds(1, first) == ["web"]


def test_those_of_a_server_that_is_to_end_may_be_silent(case: Case) -> None:
    """They finish what they began."""
    case.start(generation=2)
    assert case.pass_seconds(60) == []


def test_the_disk_is_asked_in_a_thread(tmp_path: Path) -> None:
    """One that works answers at once, and is asked anew each time."""
    probe = DiskProbe(tmp_path)
    assert [probe.ask(), probe.ask()] == [True, True]
