"""`entrepot immutable`: tags that can be neither moved nor deleted, by rules of their project."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused, part
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.management.selectors import (
    ButRepositories,
    ButTags,
    Repositories,
    Tags,
    patterns,
    repository_selectors,
    selectors,
)
from entrepot.cli.program.classes import Noun, destructive
from entrepot.cli.program.command_line import hinted

app = Noun()

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.")]
Rule = Annotated[int, typer.Argument(metavar="RULE", min=1, help="Number of the rule, as `list` shows it.")]
_COLUMNS: Final[dict[str, Column]] = {
    "rule": "id",
    "tags": lambda rule: patterns(rule["tag_selectors"]),
    "repositories": lambda rule: patterns(rule["scope_selectors"]["repository"]),
    "off": lambda rule: rule["disabled"] or "",
}


@app.command("list")
def list_command(project: Project, *, as_json: AsJson = False) -> None:
    """List the rules of a project."""
    show(ask(lambda api: api.every(_place(project))), _COLUMNS, as_json=as_json)


@app.command("add")
def add_command(
    project: Project,
    *,
    tags: Tags = "**",
    but_tags: ButTags = "",
    repositories: Repositories = "**",
    but_repositories: ButRepositories = "",
    as_json: AsJson = False,
) -> None:
    """Keep tags where they are, also those that there are already."""
    rule = {
        "tag_selectors": selectors(tags, but_tags),
        "scope_selectors": {"repository": repository_selectors(repositories, but_repositories)},
    }

    async def work(api: Api) -> dict[str, Any]:
        place = await api.create(_place(project), rule)
        return {"id": int(place.rpartition("/")[2]), **rule} if as_json else {}

    show_made(ask(work), hinted(f"The rule is in force; see entrepot immutable list {project}"), as_json=as_json)


@app.command("disable")
@destructive()
def disable_command(project: Project, rule: Rule) -> None:
    """Switch a rule off, to move or delete a tag that it keeps."""
    ask(lambda api: _switch(api, project, rule, disabled=True))
    typer.echo(f"Rule {rule} is off.")


@app.command("enable")
def enable_command(project: Project, rule: Rule) -> None:
    """Switch a rule on again."""
    ask(lambda api: _switch(api, project, rule, disabled=False))
    typer.echo(f"Rule {rule} is in force.")


@app.command("remove")
@destructive()
def remove_command(project: Project, rule: Rule) -> None:
    """Take a rule away."""
    ask(lambda api: api.delete(f"{_place(project)}/{rule}"))
    typer.echo(f"Rule {rule} is gone.")


async def _switch(api: Api, project: str, number: int, *, disabled: bool) -> None:
    found: list[Any] = [rule for rule in await api.every(_place(project)) if rule["id"] == number]
    if not found:
        raise ApiRefused(f"project {project} has no immutable tag rule {number}")
    await api.put(f"{_place(project)}/{number}", {**found[0], "disabled": disabled})


def _place(project: str) -> str:
    return f"/projects/{part(project)}/immutabletagrules"
