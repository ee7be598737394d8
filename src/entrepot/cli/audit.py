"""`entrepot audit`: read, verify and export the audit log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api
from entrepot.cli.management.output import Column, show, when
from entrepot.cli.management.place import ask, is_folder
from entrepot.cli.place import with_registry
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import counted

if TYPE_CHECKING:
    from entrepot.audit.chain_check import Verification
    from entrepot.metadata.audit_log import Filter
    from entrepot.metadata.opening import Stores

app = Noun()

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
    as_json: AsJson = False,
) -> None:
    """Show the newest events that fit."""
    query = _query(user, project, kind, subject, since, until, failed=failed)
    columns: dict[str, Column] = {
        "when": when("op_time"),
        "who": "username",
        "from": "address",
        "what": lambda event: event["kind"] + (f" ({event['count']} times)" if event["count"] > 1 else ""),
        "to": lambda event: f"{event['resource_type']} {event['resource']}".strip(),
        "result": _result,
    }

    async def work(api: Api) -> list[Any]:
        found = api.entries("/auditlog-exts", q=query)
        return [event async for event in _first(found, limit)]

    show(ask(work), columns, as_json=as_json, of="event")


def _result(event: Any) -> str:
    said = "success" if event["operation_result"] else "failure"
    return f"{said}: {event['reason']}" if event["reason"] else said


@app.command("verify")
def verify_command(*, as_json: AsJson = False) -> None:
    """Check that no event was changed, removed or moved since it was written; exit status 1 if one was."""
    result = with_registry(_verified)
    if as_json:
        typer.echo(json.dumps({**asdict(result), "holds": result.holds}))
    else:
        _report(result)
    if not result.holds:
        raise typer.Exit(1)


@app.command("export")
def export_command(
    *,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="How events are written.")] = "jsonl",
    user: User = None,
    project: Project = None,
    kind: Kind = None,
    subject: Subject = None,
    failed: Failed = False,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write all events that fit to standard output, newest first."""
    if not is_folder():
        query = _query(user, project, kind, subject, since, until, failed=failed)
        ask(lambda api: api.download("/auditlog-exts/export", _write, format=form, q=query))
        return
    from entrepot.audit.export import Format, export

    wanted = _filter(user, project, kind, subject, since, until, failed=failed)

    async def work(stores: Stores) -> None:
        async for piece in export(stores.metadata, wanted, Format(form)):
            typer.echo(piece, nl=False)

    with_registry(work)


def _write(piece: bytes) -> None:
    typer.echo(piece, nl=False)


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
    from entrepot.metadata.audit_log import Filter

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


def _query(
    user: str | None,
    project: str | None,
    kind: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    failed: bool,
) -> str | None:
    """Write a filter as the API reads it."""
    named = {"username": user, "project": project, "operation": kind, "subject": subject}
    parts = [f'{name}="{value}"' for name, value in named.items() if value is not None]
    parts += ["result=failure"] if failed else []
    if since or until:
        low, high = (f'"{at:%Y-%m-%d %H:%M:%S}"' if at else "" for at in (since, until))
        parts.append(f"op_time=[{low}~{high}]")
    return ",".join(parts) or None


async def _first(entries: AsyncIterator[Any], limit: int) -> AsyncIterator[Any]:
    count = 0
    async for entry in entries:
        yield entry
        count += 1
        if count == limit:
            return


async def _verified(stores: Stores) -> Verification:
    from rich.console import Console
    from rich.progress import Progress

    from entrepot.audit.chain_check import verify
    from entrepot.cli.progress import passing_bar

    with passing_bar(Console(stderr=True), *Progress.get_default_columns()) as progress:
        task = progress.add_task("verifying", total=None)
        return await verify(stores.metadata, lambda count: progress.update(task, completed=count))


def _report(result: Verification) -> None:
    for found in result.breaks:
        event = "" if found.event is None else f" (event {found.event})"
        typer.echo(f"broken at {found.sequence}{event}: {found.reason}", err=True)
    verdict = "the chain holds" if result.holds else "the chain is broken"
    typer.echo(f"{verdict}: {counted(result.checked, 'event')} checked, head {result.head.sequence} {result.head.seal}")
