"""How long verdicts are kept: those of the latest runs of a policy, and so many of them. What runs came to is kept on.

Harbor keeps the latest fifty executions of a policy; here these stay in the list for as long as jobs do, with the
counts of each repository, and only the verdict on each single tag goes. The newest are kept, as people ask for those.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.lifecycle.retention.policies import KIND, subject_of
from entrepot.metadata.database import Database
from entrepot.metadata.lifecycle import retention_verdicts
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.metadata.lifecycle.retention_verdicts import PIECE

#: Runs of a policy whose verdicts are kept, and how many those are at most; some 50 bytes each.
RUNS: Final = 30
VERDICTS: Final = 1_000_000
_RUNS_AT_ONCE: Final = 40
_AT_ONCE: Final = 100
_NONE_BEFORE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Forgets verdicts of one policy."""

    metadata: Database
    policy_id: int
    step: Callable[[int], Awaitable[None]]  #: raises `Stopped` when somebody asked for an end

    async def run(self) -> None:
        """Go back from the latest run, until there is one whose verdicts were forgotten before.

        Raises:
            Stopped: Somebody asked for an end; the next run forgets the rest.
        """
        seen, room, before = 0, VERDICTS, _NONE_BEFORE
        while runs := await retention_verdicts.runs_before(
            self.metadata, KIND, subject_of(self.policy_id), before, limit=_RUNS_AT_ONCE
        ):
            totals = await retention_verdicts.totals_of(self.metadata, runs)
            beyond = forgotten = 0
            for run in runs:
                seen, before = seen + 1, run
                room = room if seen <= RUNS else 0
                total = totals.get(run, 0)
                if total > room:
                    beyond += 1
                    forgotten += await self._of_run(run, room)
                room = max(0, room - total)
            if beyond and not forgotten:
                return

    async def _of_run(self, run: int, room: int) -> int:
        """Forget the verdicts of a run but for the first repositories, as far as there is room; return how many."""
        last = count = 0
        while found := await retention_verdicts.stored(self.metadata, run, last, limit=_AT_ONCE):
            last = found[-1][0]
            going: list[tuple[int, int]] = []
            for task, total in found:
                room -= total
                if room < 0:
                    going.append((task, total))
            await self._forget(going)
            count += len(going)
            await self.step(0)
        return count

    async def _forget(self, tasks: Sequence[tuple[int, int]]) -> None:
        """Forget those of a piece each together, others for themselves."""
        await _forget(self.metadata, [task for task, total in tasks if total <= PIECE], 1)
        for task, total in tasks:
            if total > PIECE:
                await _forget(self.metadata, [task], -(-total // PIECE))


async def forget_task(metadata: Database, task: TaskRecord) -> None:
    """Forget all verdicts of a task, which are written anew; an attempt that was ended may have left any number."""
    await _forget(metadata, [task.id], await retention_verdicts.pieces(metadata, task.id))


async def _forget(metadata: Database, tasks: Sequence[int], pieces: int) -> None:
    """Forget pieces of tasks, the first ones first: where there is no first piece, verdicts were forgotten."""
    for upto in range(_AT_ONCE, pieces + _AT_ONCE, _AT_ONCE) if tasks else ():
        await metadata.write(partial(retention_verdicts.forget, tasks=tasks, upto=upto), name="forget verdicts")
