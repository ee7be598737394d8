"""The retention policies of projects, by the projects' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from entrepot.cli.management.api import Api, ApiRefused, part
from entrepot.lifecycle.retention.rules import TEMPLATES

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.")]


async def project_of(api: Api, name: str) -> dict[str, Any]:
    """Return the project of this name.

    Raises:
        ApiRefused: There is none.
    """
    found: dict[str, Any] = await api.get(f"/projects/{part(name)}")
    return found


async def find_policy(api: Api, project: str) -> dict[str, Any]:
    """Return the retention policy of a project.

    Raises:
        ApiRefused: There is none, or no such project.
    """
    number = (await project_of(api, project))["metadata"].get("retention_id")
    if not number:
        raise ApiRefused(f"project {project} has no retention rules; add one: entrepot retention add {project} --help")
    policy: dict[str, Any] = await api.get(f"/retentions/{number}")
    return policy


def text_of(rule: Mapping[str, Any]) -> str:
    """Say what a rule keeps."""
    template = TEMPLATES.get(rule["template"])
    if template is None:
        return str(rule["template"])
    return template.says(int(rule["params"].get(template.name, 0)))
