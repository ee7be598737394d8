"""`entrepot directory`: try the directory's settings, and synchronise with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.access.errors import SetupError
from entrepot.accounts.directory.model import Answer, DirectoryError, NoDirectory
from entrepot.cli.folder import AsJson, run
from entrepot.cli.management.output import printable, table
from entrepot.cli.place import configured, has_metadata, located, no_registry
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import counted

if TYPE_CHECKING:
    from entrepot.accounts.directory.synchronization import Report

app = Noun()

_SHOWN = 50

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Close accounts even if very many people left at once.")]
Create = Annotated[bool, typer.Option("--create", help="Make accounts for people who never signed in, too.")]


@app.command("sync")
def sync_command(
    *,
    dry_run: DryRun = False,
    force: Force = False,
    create: Create = False,
    as_json: AsJson = False,
) -> None:
    """Bring the accounts of the directory's people in line with it; exits with 1 if it did not answer to the end."""
    from entrepot.bootstrap import commands

    place = located()

    async def work() -> Report:
        async with commands.directory(place) as parts:
            return await parts.synchronise(dry_run=dry_run, force=force, create=create)

    try:
        report = run(work)
    except (DirectoryError, SetupError) as error:
        raise _failed(error) from None
    _show(report, as_json=as_json)
    raise typer.Exit(1 if report.error else 0)


@app.command("test")
def try_command(*, as_json: AsJson = False) -> None:
    """Connect, search as the settings say, and tell what is found. Changes nothing.

    With a configuration file that names the directory, no registry has to have been started.
    """
    from entrepot.bootstrap import commands

    place = configured()
    if not (place.access.ldap.enabled or has_metadata(place)):
        raise no_registry(place)

    async def work() -> Answer:
        if place.access.ldap.enabled:
            async with commands.directory_of_file(place) as directory:
                return await directory.test()
        async with commands.directory(place) as parts:
            return await parts.directory.test()

    try:
        answer = run(work)
    except (DirectoryError, SetupError) as error:
        raise _failed(error) from None
    if as_json:
        typer.echo(json.dumps(asdict(answer)))
        return
    found = f"{counted(answer.people, 'person', 'people')}, {counted(answer.groups, 'group')}"
    typer.echo(f"{answer.server} answered in {answer.milliseconds} ms: {found}.")
    for warning in answer.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"error: {error}", err=True)
    if isinstance(error, NoDirectory):
        typer.echo("Name the configuration file that serve was given with --config FILE.", err=True)
    return typer.Exit(1)


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"dry_run": report.dry_run, **report.document()}, ensure_ascii=False))
        return
    would = "would be " if report.dry_run else ""
    people = counted(report.people, "person", "people")
    typer.echo(f"{people} may enter; {counted(sum(report.counts.values()), 'change')} {would}made.")
    if report.counts:
        rows = [[printable(change), str(count)] for change, count in sorted(report.counts.items())]
        for line in table(["change", "accounts"], rows):
            typer.echo(line)
    for line in [*report.changes[:_SHOWN], *(f"problem: {problem}" for problem in report.problems[:_SHOWN])]:
        typer.echo(printable(line))
    if report.error:
        typer.echo(f"error: {report.error}", err=True)
