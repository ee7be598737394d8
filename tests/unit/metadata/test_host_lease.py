"""One host at a time, and any number of processes of it."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from entrepot.metadata.engine.host_lease import LEASE_NAME, Host, HostLease, LeaseTimes
from entrepot.metadata.errors import AnotherHost

#: The usual times, shortened as far as a busy machine allows.
TIMES = LeaseTimes(renew=0.05, watch=0.5, stale=3600, look=0.05)
HERE = Host(boot="boot-1", machine="machine-1", name="here")
THERE = Host(boot="boot-2", machine="machine-2", name="there")


def test_two_processes_of_one_host_share_the_folder(tmp_path: Path) -> None:
    """A second lease of the same host is taken at once, and the first's end leaves the second one valid."""
    first = HostLease.take(tmp_path, HERE, TIMES)
    second = HostLease.take(tmp_path, HERE, TIMES)
    first.release()
    assert (tmp_path / LEASE_NAME).exists()
    second.require()
    second.release()
    assert not (tmp_path / LEASE_NAME).exists()


def test_a_second_host_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """The message names the other host and the ways out that this version has."""
    lease = HostLease.take(tmp_path, HERE, TIMES)
    with pytest.raises(AnotherHost, match=r"'here'.*stop Entrepot there.*replicas on one host") as refusal:
        HostLease.take(tmp_path, THERE, TIMES)
    assert not {"PostgreSQL", "object store"} & set(re.findall("PostgreSQL|object store", str(refusal.value)))
    lease.require()
    lease.release()


def test_a_dead_host_is_succeeded_after_a_while(tmp_path: Path) -> None:
    """A lease that nobody renews is taken over, not before it was watched."""
    leave_behind(tmp_path, HERE, time.time())
    started = time.monotonic()
    lease = HostLease.take(tmp_path, THERE, TIMES)
    assert time.monotonic() - started >= TIMES.watch
    assert json.loads((tmp_path / LEASE_NAME).read_text())["name"] == "there"
    lease.release()


def test_a_very_old_lease_is_not_watched(tmp_path: Path) -> None:
    """What was left behind hours ago costs no waiting."""
    leave_behind(tmp_path, HERE, time.time() - 2 * TIMES.stale)
    started = time.monotonic()
    HostLease.take(tmp_path, THERE, TIMES).release()
    assert time.monotonic() - started < TIMES.watch


def test_the_same_host_after_a_crash_starts_at_once(tmp_path: Path) -> None:
    """A killed process's lease does not hold up the next one of its host."""
    leave_behind(tmp_path, HERE, time.time())
    started = time.monotonic()
    HostLease.take(tmp_path, HERE, TIMES).release()
    assert time.monotonic() - started < TIMES.watch


def test_a_lease_of_an_earlier_boot_tells_of_an_unclean_stop(tmp_path: Path) -> None:
    """Every process that comes is told, until one has taken note; an orderly end is none, nor is a killed process."""
    first = HostLease.take(tmp_path, HERE, TIMES)
    assert not first.after_unclean_stop
    first.release()
    leave_behind(tmp_path, HERE, time.time())
    killed = HostLease.take(tmp_path, HERE, TIMES)
    assert not killed.after_unclean_stop, "the kernel lives, and with it what was written"
    killed.release()
    leave_behind(tmp_path, replace(HERE, boot="boot-0"), time.time())
    rebooted, beside = (HostLease.take(tmp_path, HERE, TIMES) for _ in range(2))
    assert rebooted.after_unclean_stop
    assert beside.after_unclean_stop
    rebooted.settle()
    later = HostLease.take(tmp_path, HERE, TIMES)
    for lease in (rebooted, beside, later):
        lease.release()
    assert not later.after_unclean_stop


def test_a_released_folder_is_free_at_once(tmp_path: Path) -> None:
    """After a clean end another host starts without waiting."""
    HostLease.take(tmp_path, HERE, TIMES).release()
    started = time.monotonic()
    HostLease.take(tmp_path, THERE, TIMES).release()
    assert time.monotonic() - started < TIMES.watch


def test_a_host_that_was_succeeded_stops(tmp_path: Path) -> None:
    """A host that slept through its lease refuses to go on, and leaves the new lease alone."""
    lease = HostLease.take(tmp_path, HERE, TIMES)
    leave_behind(tmp_path, THERE, time.time())
    deadline = time.monotonic() + 5
    while lease._renewer.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(AnotherHost, match="'there'"):
        lease.require()
    lease.release()
    assert (tmp_path / LEASE_NAME).exists()


def test_two_hosts_that_wait_for_the_same_end_do_not_both_start(tmp_path: Path) -> None:
    """Of two successors at most one gets the folder."""
    leave_behind(tmp_path, replace(HERE, boot="boot-0"), time.time())
    # On two hosts the lock file would not be shared, so each gets its own view of the same folder's lease.
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(HostLease.take, tmp_path, host, TIMES) for host in (HERE, THERE)]
        errors = [future.exception() for future in futures]
    leases = [future.result() for future, error in zip(futures, errors, strict=True) if error is None]
    assert len(leases) <= 1
    assert all(isinstance(error, AnotherHost) for error in errors if error is not None)
    for lease in leases:
        lease.release()


def test_a_torn_lease_is_no_lease(tmp_path: Path) -> None:
    """A record that was never finished holds nobody up."""
    (tmp_path / LEASE_NAME).write_text('{"boot": "boo')
    HostLease.take(tmp_path, HERE, TIMES).release()


def test_this_host_is_known_by_the_kernel_s_boot(tmp_path: Path) -> None:
    """The identity is the kernel's boot id, which every container of a host sees alike."""
    assert Host.this().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_another_pid_namespace_is_the_same_host(tmp_path: Path) -> None:
    """A process in its own PID namespace shares the folder with us."""
    lease = HostLease.take(tmp_path)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from entrepot.metadata.engine.host_lease import HostLease\n"
        "lease = HostLease.take(Path(sys.argv[1])); lease.require(); print(os.getpid()); lease.release()\n"
    )
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, "--pid", "--fork", sys.executable, "-c", program, str(tmp_path)]
    other = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert other.returncode == 0, other.stderr
    assert other.stdout.strip() == "1"
    lease.require()
    lease.release()
    assert not (tmp_path / LEASE_NAME).exists()


def leave_behind(folder: Path, host: Host, at: float) -> None:
    """Write the lease of a host that ended without releasing it."""
    record = {"boot": host.boot, "machine": host.machine, "name": host.name, "renewed_at": int(at * 1_000_000)}
    (folder / LEASE_NAME).write_text(json.dumps(record).ljust(511) + "\n")
