"""R2b: the power is cut under a whole registry, its databases included, on a disk that forgets what was not synced.

The disk is `tests/support/lazy_fs.py`. What was acknowledged before the cut must be there after it, with the right
bytes: promises P1 to P3 of the design. (P4, about damaged ranges, needs a disk that lies about what was synced.)

The registry tells boots of the machine apart by the kernel's boot id, so each start gets another one: a file mounted
over it, seen by this registry alone. Mounting takes root's rights.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.support.acknowledged import Ledger
from tests.support.lazy_fs import LazyDisk
from tests.support.server import Server
from tests.support.writers import Writer, client_of

WRITERS = 4
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}}
NEW_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class Machine:
    """A registry on a lazy disk, whose power can be cut."""

    def __init__(self, folder: Path, disk: LazyDisk) -> None:
        self.disk = disk
        self._boot = folder / "boot_id"
        prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", NEW_BOOT, str(self._boot)]
        self.server = Server(CONFIG, data=disk.folder / "data", prefix=prefix, start=False)

    def start(self) -> None:
        """Switch it on."""
        self._boot.write_text(f"{uuid.uuid4()}\n")
        # Another boot's lease is watched for 25 s, which has tests of its own (tests/unit/metadata/test_host_lease.py).
        (self.server.data / "entrepot" / "host.lease").unlink(missing_ok=True)
        self.server.start()

    def power_cut(self) -> None:
        """Let nothing reach the disk any more, end every process, and show what is left."""
        self.disk.cut()
        family = self.server.family()
        for process in family:
            process.kill()
        self.server.wait(10)
        psutil.wait_procs(family, timeout=10)
        self.disk.reboot()


async def write_until_cut(machine: Machine, ledger: Ledger, random: Random) -> None:
    """Let writers push, and cut the power in the middle of it."""
    stop = asyncio.Event()
    async with client_of(machine.server.url) as session:
        names = [f"writer{number}" for number in range(WRITERS)]
        writers = [Writer(name, ledger, Random(random.random()), session) for name in names]
        running = asyncio.gather(*(writer.run(stop) for writer in writers))
        await asyncio.sleep(random.uniform(0.1, 1.2))
        await asyncio.to_thread(machine.power_cut)
        stop.set()
        await running


async def cut_again_and_again(folder: Path, times: int, seed: int) -> None:
    """Cut so many times, and look after each."""
    random, ledger = Random(seed), Ledger()
    with LazyDisk(folder / "disk", seed=seed) as disk:
        machine = Machine(folder, disk)
        with machine.server as server:
            for number in range(times + 1):
                await asyncio.to_thread(machine.start)
                async with client_of(server.url) as session:
                    assert await ledger.check(session, power_failed=True) == [], f"after cut {number} (seed {seed})"
                if number < times:
                    await write_until_cut(machine, ledger, random)
        assert ledger.interrupted + len(ledger.refused) >= times, "the cuts hit nobody"
        assert len(ledger.manifests) >= times
        print(
            f"{times} cuts, {len(ledger.blobs)} blobs, {len(ledger.manifests)} manifests, {len(ledger.refused)} refused"
        )


async def test_nothing_acknowledged_is_lost_by_power_cuts(tmp_path: Path) -> None:
    """Six power cuts under four writers lose nothing that was acknowledged, in files or databases."""
    await cut_again_and_again(tmp_path, 6, seed=1)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_nothing_acknowledged_is_lost_by_twenty_power_cuts(tmp_path: Path) -> None:
    """The same twenty times."""
    await cut_again_and_again(tmp_path, 20, seed=2)
