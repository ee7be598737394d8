"""`entrepot retention`: which tags a project keeps, by rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.images import retention_runs
from entrepot.cli.management.api import Api
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.management.retention import Project, find_policy, project_of, text_of
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
app.command("run")(retention_runs.run_command)
app.command("history")(retention_runs.history_command)
app.command("log")(retention_runs.log_command)

_NONE: Final = "none"
_MOST: Final = 32_766
_DAYS: Final = 100_000
_COLUMNS: Final[Mapping[str, Column]] = {
    "rule": "id",
    "keeps": text_of,
    "tags": lambda rule: patterns(rule["tag_selectors"]),
    "without a tag": lambda rule: _untagged(rule["tag_selectors"]),
    "repositories": lambda rule: patterns(rule["scope_selectors"]["repository"]),
    "off": lambda rule: rule["disabled"] or "",
}


@app.command("show")
def show_command(project: Project, *, as_json: AsJson = False) -> None:
    """Show the rules of a project, and when they are applied."""
    policy = ask(lambda api: find_policy(api, project))
    if as_json:
        typer.echo(json.dumps(policy))
        return
    show(policy["rules"], _COLUMNS, as_json=False)
    cron = policy["trigger"]["settings"]["cron"]
    typer.echo(
        hinted(f"Applied by the schedule {cron}." if cron else f"Applied only by: entrepot retention run {project}")
    )


@app.command("add")
def add_command(
    project: Project,
    *,
    latest_pushed: Annotated[
        int | None, typer.Option(min=0, max=_MOST, help="So many tags, those that were pushed last.")
    ] = None,
    latest_pulled: Annotated[
        int | None, typer.Option(min=0, max=_MOST, help="So many tags, those that were pulled last.")
    ] = None,
    latest_active: Annotated[
        int | None, typer.Option(min=0, max=_MOST, help="So many tags, those that were pushed or pulled last.")
    ] = None,
    pushed_days: Annotated[
        int | None, typer.Option(min=0, max=_DAYS, help="What was pushed in the last so many days.")
    ] = None,
    pulled_days: Annotated[
        int | None, typer.Option(min=0, max=_DAYS, help="What was pulled in the last so many days.")
    ] = None,
    ever_pulled: Annotated[
        int | None, typer.Option(min=0, max=_DAYS, help="Pulled at least once, or pushed in the last so many days.")
    ] = None,
    always: Annotated[bool, typer.Option("--always", help="Everything that the rule is about.")] = False,
    tags: Tags = "**",
    but_tags: ButTags = "",
    untagged: Annotated[
        Literal["too", "only", "not"], typer.Option("--untagged", help="Whether it is about what has no tag.")
    ] = "too",
    repositories: Repositories = "**",
    but_repositories: ButRepositories = "",
    as_json: AsJson = False,
) -> None:
    """Add a rule to those of a project: name what it keeps, and which tags and repositories it is about.

    What no rule keeps goes to the trash, in repositories that a rule is about. Nothing goes before the rules are
    applied: look with `entrepot retention run PROJECT --dry-run` first.
    """
    wanted = {
        "latestPushedK": latest_pushed,
        "latestPulledN": latest_pulled,
        "latestActiveK": latest_active,
        "nDaysSinceLastPush": pushed_days,
        "nDaysSinceLastPull": pulled_days,
        "everPulled": ever_pulled,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    if len(given) + always != 1:
        raise typer.BadParameter(
            "name one thing that the rule keeps: --latest-pushed, --latest-pulled, --latest-active, --pushed-days, "
            "--pulled-days, --ever-pulled or --always"
        )
    rule = {
        "template": next(iter(given), "always"),
        "params": given,
        "tag_selectors": _tag_selectors(tags, but_tags, untagged),
        "scope_selectors": {"repository": repository_selectors(repositories, but_repositories)},
    }

    async def work(api: Api) -> dict[str, Any]:
        await _change(api, project, lambda policy: policy["rules"].append(rule))
        return dict((await find_policy(api, project))["rules"][-1]) if as_json else {}

    words = hinted(f"The rule is added. See what would go: entrepot retention run {project} --dry-run")
    show_made(ask(work), words, as_json=as_json)


@app.command("remove")
@destructive()
def remove_command(
    project: Project,
    rule: Annotated[int | None, typer.Argument(metavar="RULE", help="Number of the rule; without it, all.")] = None,
) -> None:
    """Take a rule away, or all of them with their schedule: the project keeps everything then."""

    async def work(api: Api) -> None:
        policy = await find_policy(api, project)
        rest = [one for one in policy["rules"] if one["id"] != rule]
        if rule is None or not rest:
            await api.delete(f"/retentions/{policy['id']}")
        elif len(rest) == len(policy["rules"]):
            raise typer.BadParameter(f"project {project} has no rule {rule}")
        else:
            await api.put(f"/retentions/{policy['id']}", {**policy, "rules": rest})

    ask(work)
    typer.echo("All rules are gone." if rule is None else f"Rule {rule} is gone.")


@app.command("schedule")
def schedule_command(
    project: Project,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="A cron line, @daily, @every 12h, or none.")],
) -> None:
    """Say when the rules of a project are applied by themselves."""
    line = "" if cron == _NONE else cron

    def change(policy: dict[str, Any]) -> None:
        policy["trigger"] = {"kind": "Schedule", "settings": {"cron": line}}

    ask(lambda api: _change(api, project, change))
    typer.echo(f"The rules of {project} are applied {'only when asked' if not line else f'by {line}'}.")


async def _change(api: Api, project: str, change: Any) -> None:
    """Change the policy of a project, made where there is none."""
    found = await project_of(api, project)
    number = found["metadata"].get("retention_id")
    policy: dict[str, Any] = (
        await api.get(f"/retentions/{number}")
        if number
        else {
            "rules": [],
            "trigger": {"kind": "Schedule", "settings": {"cron": ""}},
            "scope": {"level": "project", "ref": found["project_id"]},
        }
    )
    change(policy)
    if number:
        await api.put(f"/retentions/{number}", policy)
    else:
        await api.post("/retentions", policy)


def _tag_selectors(pattern: str, excluded: str, untagged: str) -> list[dict[str, str]]:
    """Return selectors that mean what is wanted of manifests without a tag: all of them must agree."""
    if untagged == "only":
        return [{"decoration": "excludes", "pattern": "**", "extras": _extras(meant=False)}]
    found = selectors(pattern, excluded)
    for selector in found:
        taken = untagged == "too"
        selector["extras"] = _extras(meant=taken is (selector["decoration"] == "matches"))
    return found


def _extras(*, meant: bool) -> str:
    return json.dumps({"untagged": meant}, separators=(",", ":"))


def _untagged(selectors: list[dict[str, str]]) -> str:
    if any((one["decoration"], one["pattern"]) == ("excludes", "**") for one in selectors):
        return "only"
    taken = True
    for one in selectors:
        meant = json.loads(one["extras"] or "{}").get("untagged")
        taken = taken and (meant is None or meant is (one["decoration"] == "matches"))
    return "too" if taken else "not"
