"""Nodes: each `serve` that shares a registry, as people see and drain them, and the signs of life of this one."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import entrepot
from entrepot.access.faults import NotFound
from entrepot.metadata import clock, events, nodes
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.events import Source
from entrepot.metadata.nodes import Node, NodeState
from entrepot.system.shared_folder import SharedFolder
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.metrics import IN_FLIGHT, REQUEST_SECONDS
from entrepot.telemetry.snapshots import collect

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0


class Nodes:
    """The use cases about nodes; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, work: Database) -> None:
        self._metadata = metadata
        self._work = work

    async def list(self) -> Sequence[Node]:
        """Return all nodes, also those that have been silent for less than a day."""
        return await nodes.every(self._work)

    async def get(self, name: str) -> Node:
        """Return one node.

        Raises:
            NotFound: There is none of that name.
        """
        found = await nodes.find(self._work, name)
        if found is None:
            raise NotFound(f"there is no node {name[:128]!a}; GET /nodes lists all")
        return found

    async def drain(self, name: str, *, drained: bool, by: Source) -> None:
        """Take a node out of service, or put it back.

        Raises:
            NotFound: There is none of that name.
        """
        if (await self.get(name)).drained is drained:
            return
        detail = {"action": "drain" if drained else "undrain"}

        async def note(tx: Transaction) -> None:
            await events.add(tx, events.UPDATE, by=by, subject=f"node:{name}", detail=detail)

        await self._metadata.write(note, name="note a drained node")
        await self._work.write(partial(nodes.drain, name=name, drained=drained), name="drain a node")


class Presence:
    """This node among the others: one of its processes says that it is alive, and all hear whether it is drained."""

    def __init__(
        self,
        work: Database,
        metrics: Metrics,
        *,
        name: str,
        role: str,
        address: str,
        folder: Path,
        is_stopping: Callable[[], bool],
        shared: SharedFolder | None = None,
    ) -> None:
        """Say nothing yet.

        Args:
            work: Where the nodes are.
            metrics: Get the number of nodes by their state.
            name: What this node is called.
            role: What it does.
            address: Where it listens; empty where it does not.
            folder: What its processes share, and no other start of it.
            is_stopping: Tells whether it was told to end.
            shared: The folder of the blobs, where nodes of other hosts may have it too.
        """
        self.drained = False  #: whether people have taken it out of service, as far as is known
        self.trouble = ""  #: what else keeps it from serving
        self._shared = shared
        self._number = 0
        self._work = work
        self._folder = folder
        self._is_stopping = is_stopping
        self._gauge = metrics.gauge("entrepot_nodes", "Nodes of this registry, by what they do.", ("state",))
        self._load = _Load(folder / "metrics")
        self._lock = -1
        self._node = Node(
            name=name,
            instance=folder.name,
            role=role,
            version=entrepot.__version__,
            address=address,
            started_at=clock.after(_begun(folder) - time.time()),
        )
        self._beaten: float | None = None
        self._fails = False
        self._said = ""

    async def run(self) -> None:
        """Give signs of life until cancelled; who ends in order then goes from the list."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await self.close()

    async def look(self) -> None:
        """Give a sign of life, if it is time, and hear whether this node is drained."""
        try:
            if self._is_due() and self._speaks():
                await self._beat()
            self.drained, self.trouble = await nodes.out_of_service(self._work, self._node.name)
            self._fails = False
        except DatabaseError as error:
            if not self._fails:  # requests say more of it
                _log.warning("no sign of life can be given", extra={"node": self._node.name, "reason": str(error)})
            self._fails = True

    def _is_due(self) -> bool:
        return self._beaten is None or time.monotonic() - self._beaten >= nodes.BEAT_SECONDS

    def _speaks(self) -> bool:
        """Tell whether this process is the one that speaks for the node: the first that comes, until it ends."""
        try:
            if self._lock < 0:
                self._lock = os.open(self._folder / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or somebody emptied the place of the folder
            return False
        return True

    async def _beat(self) -> None:
        known = await nodes.every(self._work)
        own = next((node for node in known if node.name == self._node.name), None)
        if self._beaten is not None and own is not None and own.instance != self._node.instance:
            _log.error("another node has the same name: give each its own (node.name)", extra={"node": own.name})
        trouble = await self._look_at_folder(known)
        with with_reserve(Reserve.USED):
            await self._work.write(partial(nodes.beat, node=self._now(trouble)), name="show a node")
        self._beaten = time.monotonic()
        now = clock.now()
        states = Counter(node.state(now) for node in known)
        for state in NodeState:
            self._gauge.set(states[state], state.value)

    async def require_folder(self) -> None:
        """Make sure that this node has the folder which the others have.

        Raises:
            FolderNotShared: It has another one; the text says what to do.
            OSError: The folder takes no files; TimeoutError when it says nothing.
        """
        if self._shared is not None:
            await self._shared.require(self._others(await nodes.every(self._work)))

    def _others(self, known: Sequence[Node]) -> list[Node]:
        now = clock.now()
        gone = (NodeState.LOST, NodeState.STOPPING)
        return [node for node in known if node.name != self._node.name and node.state(now) not in gone]

    async def _look_at_folder(self, known: Sequence[Node]) -> str:
        """Show this node in the folder, and look for the others; say what is wrong."""
        if self._shared is None:
            return ""
        try:
            self._number += 1
            await self._shared.show(self._number)
            unseen = await self._shared.unseen(self._others(known))
        except OSError as error:
            trouble = f"the folder of the blobs does not work: {error.strerror or 'it says nothing'}"
        else:
            trouble = self._shared.complaint(unseen) if unseen else ""
        if trouble != self._said:
            _log.log(logging.ERROR if trouble else logging.INFO, "%s", trouble or "the folder of the blobs works again")
            self._said = trouble
        return trouble

    def _now(self, trouble: str) -> Node:
        return Node(
            name=self._node.name,
            instance=self._node.instance,
            role=self._node.role,
            version=self._node.version,
            address=self._node.address,
            started_at=self._node.started_at,
            figures={**self._load.figures(), **({"probe": self._number} if self._shared is not None else {})},
            stopping=self._is_stopping(),
            trouble=trouble,
        )

    async def close(self) -> None:
        """Say nothing any more; a node that was told to end goes from the list."""
        if self._is_stopping() and self._speaks():
            try:
                with with_reserve(Reserve.USED):
                    await self._work.write(partial(nodes.leave, node=self._node), name="show a node")
            except DatabaseError:
                pass  # it will be found silent
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _begun(folder: Path) -> float:
    """Return when the folder was made: at the start of the node."""
    try:
        return (folder / "lock").stat().st_mtime
    except FileNotFoundError:
        return time.time()


class _Load:
    """How busy a node is, from what its processes count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._requests: tuple[float, float] | None = None

    def figures(self) -> Mapping[str, float]:
        """Return the figures of now; requests per second are those since the last look."""
        found = {family.name: family for family in collect(self._folder)}
        answered = found.get(REQUEST_SECONDS)
        total = sum(sum(numbers[:-1]) for numbers in answered.series.values()) if answered else 0.0
        running = found.get(IN_FLIGHT)
        now = time.monotonic()
        before, at = self._requests or (total, now)
        self._requests = (total, now)
        return {
            "in_flight": sum(numbers[0] for numbers in running.series.values()) if running else 0,
            "requests_per_second": round(max(0.0, total - before) / (now - at), 1) if now > at else 0.0,
            "load": round(os.getloadavg()[0], 2),
            "processors": len(os.sched_getaffinity(0)),
        }
