"""`entrepot node`: the nodes of a registry, and taking one out of service."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.output import Column, show, when
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import hinted

app = Noun()

Name = Annotated[str, typer.Argument(metavar="NODE", help="What the node is called: `entrepot node list`.")]


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the nodes, also those that were lost in the last day."""
    show(ask(lambda api: api.get("/nodes")), _COLUMNS, as_json=as_json, of="node")


@app.command("show")
def show_command(name: Name, *, as_json: AsJson = False) -> None:
    """Show one node."""
    show([ask(lambda api: api.get(_path(name)))], _COLUMNS, as_json=as_json)


@app.command("drain")
def drain_command(name: Name) -> None:
    """Take a node out of service: it is not ready and begins no job, until `undrain`, also over restarts."""
    ask(lambda api: api.put(f"{_path(name)}/drained", {"drained": True}))
    typer.echo(hinted(f"{name} is drained: balancers turn away from it. `entrepot node undrain {name}` ends it."))


@app.command("undrain")
def undrain_command(name: Name) -> None:
    """Put a node back into service."""
    ask(lambda api: api.put(f"{_path(name)}/drained", {"drained": False}))
    typer.echo(f"{name} is back in service.")


def _path(name: str) -> str:
    return f"/nodes/{quote(name, safe='')}"


_COLUMNS: Final[dict[str, Column]] = {
    "node": "name",
    "state": "state",
    "role": "role",
    "version": "version",
    "address": "address",
    "in flight": lambda node: str(node["in_flight"]),
    "requests/s": lambda node: f"{node['requests_per_second']:.1f}",
    "load": lambda node: f"{node['load']:.2f} of {node['processors']}",
    "started": when("started_at"),
    "seen": when("seen_at"),
    "trouble": "trouble",
}
