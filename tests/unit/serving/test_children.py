"""Starting processes, watching them, and not letting them outlive their parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.serving import process
from entrepot.serving.children import Backoff, Child, Role, bury_orphans
from entrepot.serving.fork_server import ForkServer

HERE = "tests.unit.serving.test_children"


def write_arguments(path: str, *arguments: object) -> None:
    """Write what came, who we are, and the command line that others see."""
    Path(f"{path}.command").write_bytes(Path("/proc/self/cmdline").read_bytes())
    Path(path).write_text(f"{arguments} {os.getpid()} {os.getpgid(0)} {sys.stdin.read()!r}")


def sleep_long(path: str) -> None:
    """Say that we run, then sleep."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def write_surroundings(path: str) -> None:
    """Write how the C library was told to keep memory."""
    names = ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "ENTREPOT_TEST")
    Path(path).write_text(" ".join(os.environ.get(name, "-") for name in names))


def start(function: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a function of this file in a process of its own."""
    child = process.spawn("test")
    process.run(child, f"{HERE}:{function}", *arguments)
    return child


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes find this file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def wait_for(path: Path) -> str:
    """Wait until a file has something in it."""
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()


def wait_until_stopped(pid: int) -> None:
    """Wait until a process that was sent SIGSTOP runs no more: it may run on for a moment."""
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("given", "arenas"), [(None, "2"), ("7", "7")])
def test_processes_keep_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, arenas: str
) -> None:
    """They get bounds for what the C library keeps, unless somebody has set others, and all else as it is."""
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setenv("ENTREPOT_TEST", "x")
    if given is not None:
        monkeypatch.setenv("MALLOC_ARENA_MAX", given)
    assert start("write_surroundings", str(tmp_path / "out")).wait(20) == 0
    assert (tmp_path / "out").read_text() == f"{arenas} 2097152 x"


def test_arguments_reach_the_process_and_not_its_command_line(tmp_path: Path) -> None:
    """They come by standard input, which is empty afterwards; the process has a group of its own."""
    started = start("write_arguments", str(tmp_path / "out"), {"secret": 1})
    assert started.wait(20) == 0
    command = (tmp_path / "out.command").read_bytes()
    assert (tmp_path / "out").read_text() == f"({{'secret': 1}},) {started.pid} {started.pid} ''"
    assert b"secret" not in command
    assert command.endswith(b"test\0")


def test_a_process_dies_with_its_parent(tmp_path: Path) -> None:
    """When the parent is killed with -9, the kernel kills the child."""
    script = (
        "from entrepot.serving import process; import time;"
        f"child = process.spawn('test');"
        f"process.run(child, 'tests.unit.serving.test_children:sleep_long', {str(tmp_path / 'pid')!r});"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    child = os.pidfd_open(int(wait_for(tmp_path / "pid")))
    parent.kill()
    parent.wait()
    poller = select.poll()
    poller.register(child, 1)
    assert poller.poll(10_000)
    os.close(child)


def test_a_process_that_dies_at_once_is_no_error_of_the_parent(tmp_path: Path) -> None:
    """The arguments may not reach it any more; its exit code tells."""
    started = start("nothing_of_this_name", b"x" * 1_000_000)
    assert started.wait(20) == 1


def write_whether_loaded(path: str, module: str) -> None:
    """Say whether a module was imported before this function ran."""
    Path(path).write_text(str(module in sys.modules))


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    """Make processes by copying."""
    made = ForkServer()
    yield made
    made.close()


def test_a_copy_is_a_child_of_ours_with_a_role_of_its_own(forks: ForkServer, tmp_path: Path) -> None:
    """It has a group of its own and no standard input; others see its role and nothing of its arguments."""
    copy = forks.start("web", f"{HERE}:write_arguments", str(tmp_path / "out"), {"secret": 1})
    assert copy.wait() == 0
    command = (tmp_path / "out.command").read_bytes()
    assert (tmp_path / "out").read_text() == f"({{'secret': 1}},) {copy.pid} {copy.pid} ''"
    assert b"secret" not in command
    assert command.split(b"\0")[3:5] == [b"entrepot.serving.process", b"web"]


def test_the_exit_code_of_a_copy_is_told(forks: ForkServer, tmp_path: Path) -> None:
    """Whether it failed, or was killed; and a child is asked and killed as any other."""
    assert forks.start("job", "nothing_of_this_name:main").wait() == 1
    copy = forks.start("job", f"{HERE}:sleep_long", str(tmp_path / "pid"))
    child = Child(role="job", generation=1, process=copy)
    wait_for(tmp_path / "pid")
    child.stop(within=30)
    assert child.reap() == -signal.SIGTERM


def test_a_fork_server_that_died_is_started_again(forks: ForkServer, tmp_path: Path) -> None:
    """When the next process is needed; copies made before go on."""
    before = forks.start("job", f"{HERE}:sleep_long", str(tmp_path / "pid"))
    wait_for(tmp_path / "pid")
    os.kill(forks.pid, signal.SIGKILL)
    assert forks.start("web", f"{HERE}:write_arguments", str(tmp_path / "out")).wait() == 0
    assert os.waitpid(before.pid, os.WNOHANG) == (0, 0)
    os.kill(before.pid, signal.SIGKILL)
    assert before.wait() == -signal.SIGKILL


def test_what_is_loaded_later_is_in_each_copy(forks: ForkServer, tmp_path: Path) -> None:
    """Also after the fork server died; a module that cannot be imported stops nothing."""
    forks.load("no_such_module_at_all", "colorsys")
    for attempt in ("first", "second"):
        out = tmp_path / attempt
        assert forks.start("web", f"{HERE}:write_whether_loaded", str(out), "colorsys").wait() == 0
        assert out.read_text() == "True"
        os.kill(forks.pid, signal.SIGKILL)


def test_a_copy_dies_with_the_supervisor(tmp_path: Path) -> None:
    """When that is killed with -9, the kernel kills what the fork server made for it."""
    script = (
        "from entrepot.serving.fork_server import ForkServer; import time;"
        f"ForkServer().start('web', '{HERE}:sleep_long', {str(tmp_path / 'pid')!r});"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    child = os.pidfd_open(int(wait_for(tmp_path / "pid")))
    parent.kill()
    parent.wait()
    poller = select.poll()
    poller.register(child, 1)
    assert poller.poll(10_000)
    os.close(child)


def test_a_waiting_process_that_is_not_needed_goes_quietly() -> None:
    """It ends with 0 when it is dismissed, without having run anything."""
    waiting = process.spawn("web")
    process.dismiss(waiting)
    assert waiting.returncode == 0


def test_a_child_is_asked_and_then_killed(tmp_path: Path) -> None:
    """SIGTERM first; SIGKILL when its time is over."""
    child = Child(role="web", generation=1, process=start("sleep_long", str(tmp_path / "pid")))
    wait_for(tmp_path / "pid")
    assert not child.kill_if_late()
    child.stop(within=30)
    assert child.reap() == -signal.SIGTERM
    stubborn = Child(role="web", generation=1, process=start("sleep_long", str(tmp_path / "pid2")))
    wait_for(tmp_path / "pid2")
    os.kill(stubborn.process.pid, signal.SIGSTOP)
    wait_until_stopped(stubborn.process.pid)
    stubborn.stop(within=0)
    assert stubborn.kill_if_late()
    assert stubborn.reap() == -signal.SIGKILL


def test_a_later_wish_to_stop_only_shortens_the_time(tmp_path: Path) -> None:
    """A drain of a day (a changed certificate) becomes one of seconds when all is stopped, never the other way."""
    child = Child(role="web", generation=1, process=start("sleep_long", str(tmp_path / "pid")))
    child.stop(within=1000)
    child.stop(within=10)
    child.stop(within=500)
    assert child.deadline is not None
    assert child.deadline - time.monotonic() <= 10
    child.signal(signal.SIGKILL)
    child.reap()


def test_the_pause_grows_with_deaths_that_follow_soon() -> None:
    """At once the first time, then longer up to half a minute; after a minute of life it begins anew."""
    backoff = Backoff()
    assert [backoff.pause(1) for _ in range(10)] == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.pause(61) == 0


def test_a_role_counts_its_generations(tmp_path: Path) -> None:
    """Each start is another generation, and a death plans the next start."""
    role = Role("web", lambda number: start("write_arguments", str(tmp_path / f"out{number}")))
    first = role.start()
    first.reap()
    assert role.ended(first) == 0
    assert role.due is not None
    second = role.start()
    second.reap()
    assert (first.generation, second.generation, role.due) == (1, 2, None)
    assert (tmp_path / "out2").exists()


def test_our_own_children_are_left_to_who_waits_for_them() -> None:
    """Only the exit codes of others' children, which fell to us, are taken."""
    child = subprocess.Popen(["true"])
    time.sleep(0.2)
    bury_orphans({child.pid})
    assert child.wait(5) == 0
