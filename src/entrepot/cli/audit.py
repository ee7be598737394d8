"""`entrepot audit`: read, verify and export the audit log of a data folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from entrepot.audit.export import Format, export, readable
from entrepot.audit.verifying import Verification, verify
from entrepot.cli.folder import AsJson
from entrepot.cli.place import ConfigFile, Data, with_registry
from entrepot.metadata import audit_log
from entrepot.metadata.audit_log import EventRecord, Filter
from entrepot.metadata.opening import Stores

app = typer.Typer(no_args_is_help=True, help="Read, verify and export the audit log.")

_MICROSECONDS = 1_000_000
_MOST = 10_000

User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only what this account did.")]
Project = Annotated[str | None, typer.Option("--project", metavar="NAME", help="Only what was done in this project.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Only this kind: push, delete, sign-in, grant, create, ...")]
Subject = Annotated[
    str | None, typer.Option("--subject", help="Only what was done to this: user:alice, robot:ci, or a beginning.")
]
Failed = Annotated[bool, typer.Option("--failed", help="Only what failed.")]
Since = Annotated[datetime | None, typer.Option("--since", help="Only events from this time (UTC) on.")]
Until = Annotated[datetime | None, typer.Option("--until", help="Only events before this time (UTC).")]


@app.command("list")
def list_command(
    *,
    user: User = None,
    project: Project = None,
    kind: Kind = None,
    subject: Subject = None,
    failed: Failed = False,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=_MOST, help="How many at most.")] = 50,
    config: ConfigFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest events that fit."""
    wanted = _filter(user, project, kind, subject, since, until, failed=failed)
    found = with_registry(config, data, lambda stores: _newest(stores, wanted, limit))
    if as_json:
        typer.echo(json.dumps([readable(event) for event in found], ensure_ascii=False))
        return
    Console().print(_table(found))


@app.command("verify")
def verify_command(*, config: ConfigFile = None, data: Data = None, as_json: AsJson = False) -> None:
    """Check that no event was changed, removed or moved since it was written; exit status 1 if one was."""
    result = with_registry(config, data, _verified)
    if as_json:
        typer.echo(json.dumps({**asdict(result), "holds": result.holds}))
    else:
        _report(result)
    if not result.holds:
        raise typer.Exit(1)


@app.command("export")
def export_command(
    *,
    form: Annotated[Format, typer.Option("--format", help="How events are written.")] = Format.JSONL,
    user: User = None,
    project: Project = None,
    kind: Kind = None,
    subject: Subject = None,
    failed: Failed = False,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    data: Data = None,
) -> None:
    """Write all events that fit to standard output, newest first."""
    wanted = _filter(user, project, kind, subject, since, until, failed=failed)

    async def work(stores: Stores) -> None:
        async for piece in export(stores.metadata, wanted, form):
            typer.echo(piece, nl=False)

    with_registry(config, data, work)


def _filter(
    user: str | None,
    project: str | None,
    kind: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    failed: bool,
) -> Filter:
    return Filter(
        actor=user,
        project=project,
        kind=kind,
        subject=subject,
        result="failure" if failed else None,
        since=_micros(since),
        until=_micros(until),
    )


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * _MICROSECONDS)


async def _newest(stores: Stores, wanted: Filter, limit: int) -> list[EventRecord]:
    found: list[EventRecord] = []
    before: int | None = audit_log.NEWEST
    while before is not None and len(found) < limit:
        page = await audit_log.page(stores.metadata, wanted, limit=limit - len(found), before=before)
        found += page.events
        before = page.before
    return found


async def _verified(stores: Stores) -> Verification:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("verifying", total=None)
        return await verify(stores.metadata, lambda count: progress.update(task, completed=count))


def _report(result: Verification) -> None:
    for found in result.breaks:
        event = "" if found.event is None else f" (event {found.event})"
        typer.echo(f"broken at {found.sequence}{event}: {found.reason}", err=True)
    verdict = "the chain holds" if result.holds else "the chain is broken"
    typer.echo(f"{verdict}: {result.checked} events checked, head {result.head.sequence} {result.head.seal}")


def _table(events: list[EventRecord]) -> Table:
    table = Table("time (UTC)", "who", "from", "what", "to", "result")
    for event in events:
        at = datetime.fromtimestamp(event.at / _MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")
        what = event.kind if event.count == 1 else f"{event.kind} ({event.count} times)"
        table.add_row(at, event.actor, event.address or "", what, _object(event), event.result or "")
    return table


def _object(event: EventRecord) -> str:
    if event.repository is None:
        return event.subject or event.project or ""
    reference = f":{event.tag}" if event.tag else f"@{event.digest}" if event.digest else ""
    return f"{event.repository}{reference}"
