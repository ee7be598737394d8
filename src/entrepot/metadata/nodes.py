"""Nodes: which `serve` share this registry, in which role, how busy, and which of them people have drained.

A node writes its row again and again. One that ended in order takes it along, unless it is drained: it stays so over
restarts, until people say otherwise. A row that nobody has written for a day goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import nodes

#: Seconds between two signs of life.
BEAT_SECONDS: Final = 5.0
#: Seconds of silence after which a node counts as lost.
SILENCE_SECONDS: Final = 20.0
#: Seconds after which the row of a silent one goes.
_KEPT_SECONDS: Final = 24 * 3600.0


class NodeState(StrEnum):
    """What a node is doing."""

    UP = "up"
    DRAINED = "drained"  #: taken out of service by people: not ready, and without jobs; it answers all the same
    STOPPING = "stopping"  #: told to end
    LOST = "lost"  #: silent: killed, cut off, or ended while it was drained


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One `serve`; times in microseconds since the epoch."""

    name: str
    instance: str  #: which start of it
    role: str  #: `all`, `web` or `jobs`
    version: str
    address: str  #: where it listens; empty where it does not
    #: How busy it is: `in_flight`, `requests_per_second`, `load`, `processors`, `memory` (bytes), `workers`.
    figures: Mapping[str, float] = field(default_factory=dict)
    started_at: int
    seen_at: int = 0
    stopping: bool = False
    drained: bool = False
    trouble: str = ""  #: what keeps it from serving, as it found itself

    def state(self, now: int) -> NodeState:
        """Say what it is doing at a time."""
        if now - self.seen_at > SILENCE_SECONDS * clock.MICROSECONDS:
            return NodeState.LOST
        if self.stopping:
            return NodeState.STOPPING
        return NodeState.DRAINED if self.drained else NodeState.UP


_N = nodes.c
_BEAT = Query(
    lambda d: (
        d.insert(nodes)
        .values(
            name=bindparam("name"),
            instance=bindparam("instance"),
            role=bindparam("role"),
            version=bindparam("version"),
            address=bindparam("address"),
            figures=bindparam("figures"),
            started_at=bindparam("started_at"),
            seen_at=bindparam("now"),
            stopping=bindparam("stopping"),
            trouble=bindparam("trouble"),
        )
        .on_conflict_do_update(
            index_elements=[_N.name],
            set_={
                "instance": bindparam("instance"),
                "role": bindparam("role"),
                "version": bindparam("version"),
                "address": bindparam("address"),
                "figures": bindparam("figures"),
                "started_at": bindparam("started_at"),
                "seen_at": bindparam("now"),
                "stopping": bindparam("stopping"),
                "trouble": bindparam("trouble"),
            },
        )
    ),
    "nodes.beat",
)
_FORGET = Query(delete(nodes).where(_N.seen_at < bindparam("before")), "nodes.forget")
_LEAVE = Query(
    delete(nodes).where(_N.name == bindparam("its_name"), _N.instance == bindparam("its_start"), _N.drained == 0),
    "nodes.leave",
)
_COLUMNS = (
    _N.name,
    _N.instance,
    _N.role,
    _N.version,
    _N.address,
    _N.figures,
    _N.started_at,
    _N.seen_at,
    _N.stopping,
    _N.drained,
    _N.trouble,
)
_LIST = Query(select(*_COLUMNS).order_by(_N.name), "nodes.list")
_FIND = Query(select(*_COLUMNS).where(_N.name == bindparam("name")), "nodes.find")
_OUT_OF_SERVICE = Query(select(_N.drained, _N.trouble).where(_N.name == bindparam("name")), "nodes.out_of_service")
_DRAIN = Query(
    update(nodes)
    .where(_N.name == bindparam("its_name"), _N.drained != bindparam("wanted"))
    .values(drained=bindparam("wanted")),
    "nodes.drain",
)


async def beat(tx: Transaction, node: Node) -> None:
    """Say that a node is alive and how it is, and forget those that have been silent for long."""
    now = clock.now()
    await tx.execute(_FORGET, before=now - int(_KEPT_SECONDS * clock.MICROSECONDS))
    await tx.execute(
        _BEAT,
        name=node.name,
        instance=node.instance,
        role=node.role,
        version=node.version,
        address=node.address,
        figures=json.dumps(dict(node.figures)),
        started_at=node.started_at,
        stopping=int(node.stopping),
        trouble=node.trouble,
        now=now,
    )


async def leave(tx: Transaction, node: Node) -> None:
    """Say that a node has ended in order; what people said of it stays."""
    await tx.execute(_LEAVE, its_name=node.name, its_start=node.instance)


async def every(reader: Reader) -> list[Node]:
    """Return all nodes by their names, lost ones too."""
    return [_node(*row) for row in await reader.all(_LIST)]


async def find(reader: Reader, name: str) -> Node | None:
    """Return the node of a name."""
    row = await reader.one(_FIND, name=name)
    return None if row is None else _node(*row)


async def out_of_service(reader: Reader, name: str) -> tuple[bool, str]:
    """Tell whether people have drained a node, and what else keeps it from serving."""
    row = await reader.one(_OUT_OF_SERVICE, name=name)
    return (False, "") if row is None else (bool(row[0]), row[1] or "")


async def drain(tx: Transaction, name: str, *, drained: bool) -> bool:
    """Take a node out of service, or put it back; False where nothing changed."""
    return await tx.execute(_DRAIN, its_name=name, wanted=int(drained)) == 1


def _node(
    name: str,
    instance: str,
    role: str,
    version: str,
    address: str,
    figures: str,
    started_at: int,
    seen_at: int,
    stopping: int,
    drained: int,
    trouble: str | None,
) -> Node:
    return Node(
        name=name,
        instance=instance,
        role=role,
        version=version,
        address=address,
        figures=json.loads(figures),
        started_at=started_at,
        seen_at=seen_at,
        stopping=bool(stopping),
        drained=bool(drained),
        trouble=trouble or "",
    )
