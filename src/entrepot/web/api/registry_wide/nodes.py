"""`/nodes`: the `serve` processes that share this registry. Harbor has nothing of the kind."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

from entrepot.access.permissions import Permission
from entrepot.metadata import clock
from entrepot.metadata.nodes import Node as NodeRecord
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.refusals import refusals
from entrepot.web.api.values import moment

_LIST, _READ, _UPDATE = Permission("node:list"), Permission("node:read"), Permission("node:update")
_TIME: Final = "2026-01-02T03:04:05Z"
_EXAMPLE: Final[JsonDict] = {
    "name": "registry-1",
    "state": "up",
    "drained": False,
    "trouble": "",
    "role": "all",
    "version": "0.1.0",
    "address": "http://10.0.0.11:5000",
    "in_flight": 3,
    "requests_per_second": 41.5,
    "load": 0.7,
    "processors": 4,
    "started_at": _TIME,
    "seen_at": _TIME,
}
Name = Annotated[str, Path(max_length=128, description="What the node is called.", examples=["registry-1"])]


class Node(BaseModel):
    """A node, and how it was when it last gave a sign of life."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: str
    state: Literal["up", "drained", "stopping", "lost"]
    drained: bool = Field(description="Whether people have taken it out of service, whatever its state.")
    trouble: str = Field(description="What keeps it from serving, as it found itself; empty when all is well.")
    role: str = Field(description="`web` answers requests, `jobs` works in the background, `all` does both.")
    version: str
    address: str = Field(description="Where it listens; empty where it does not.")
    in_flight: int = Field(description="Requests that it is answering.")
    requests_per_second: float
    load: float = Field(description="Its machine's load of the last minute.")
    processors: int
    started_at: datetime
    seen_at: datetime

    @classmethod
    def of(cls, node: NodeRecord) -> Node:
        """Show a node."""
        return cls(
            name=node.name,
            state=node.state(clock.now()).value,
            drained=node.drained,
            trouble=node.trouble,
            role=node.role,
            version=node.version,
            address=node.address,
            in_flight=int(node.figures.get("in_flight", 0)),
            requests_per_second=node.figures.get("requests_per_second", 0.0),
            load=node.figures.get("load", 0.0),
            processors=int(node.figures.get("processors", 0)),
            started_at=moment(node.started_at),
            seen_at=moment(node.seen_at),
        )


class DrainRequest(BaseModel):
    """Whether a node is to be out of service."""

    model_config = ConfigDict(json_schema_extra={"example": {"drained": True}})

    drained: StrictBool


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["nodes"])
    add = routes.add_api_route
    add("/nodes", list_nodes, methods=["GET"], operation_id="listNodes")
    add("/nodes/{node_name}", get_node, methods=["GET"], responses=refusals(404), operation_id="getNode")
    add(
        "/nodes/{node_name}/drained",
        drain_node,
        methods=["PUT"],
        responses=refusals(404),
        operation_id="drainNode",
    )
    return routes


async def list_nodes(caller: CallerOf, services: ServicesOf) -> list[Node]:
    """List the nodes, also those that were lost in the last day."""
    await caller.require(_LIST)
    return [Node.of(node) for node in await services.nodes.list()]


async def get_node(node_name: Name, caller: CallerOf, services: ServicesOf) -> Node:
    """Show a node."""
    await caller.require(_READ)
    return Node.of(await services.nodes.get(node_name))


async def drain_node(node_name: Name, body: DrainRequest, caller: CallerOf, services: ServicesOf) -> None:
    """Take a node out of service, or put it back; it knows within a second."""
    await caller.require(_UPDATE)
    await services.nodes.drain(node_name, drained=body.drained, by=caller.source)
