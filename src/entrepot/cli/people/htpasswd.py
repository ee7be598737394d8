"""`entrepot user import-htpasswd`: people from the file that registry:2 had them in."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.access.faults import Fault
from entrepot.cli.folder import AsJson
from entrepot.cli.management.output import printable
from entrepot.cli.place import with_registry

if TYPE_CHECKING:
    from entrepot.accounts.htpasswd_import import Imported

_SHOWN = 20

File = Annotated[Path, typer.Argument(metavar="FILE", help="The htpasswd file; its passwords must be bcrypt's.")]
Rights = Annotated[
    bool,
    typer.Option(
        "--registry2-rights", help="Let the new accounts pull, push and delete everywhere, as registry:2 did."
    ),
]


def import_command(file: File, *, rights: Rights = False, as_json: AsJson = False) -> None:
    """Make an account for each line of an htpasswd file. Accounts that exist stay as they are; run it again at will."""
    from entrepot.accounts.htpasswd_import import import_htpasswd
    from entrepot.metadata.events import Source

    by = Source(name="operator", credential="command line")
    try:
        report = with_registry(lambda stores: import_htpasswd(stores.metadata, file, rights=rights, by=by))
    except Fault as fault:
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(asdict(report), ensure_ascii=False))
    else:
        _tell(report, rights=rights)
    if report.refused:
        raise typer.Exit(1)


def _tell(report: Imported, *, rights: bool) -> None:
    what = "may pull, push and delete everywhere" if rights else "may do nothing until somebody grants it"
    count = len(report.added)
    made = "account was made; it" if count == 1 else "accounts were made; they"
    typer.echo(f"{count:,} {made} {what}.")
    if report.present:
        typer.echo(f"{len(report.present)} were there already: {', '.join(map(printable, report.present[:_SHOWN]))}")
    for name, reason in list(report.refused.items())[:_SHOWN]:
        typer.echo(f"error: {printable(name)}: {reason}", err=True)
    if len(report.refused) > _SHOWN:
        typer.echo(f"error: and {len(report.refused) - _SHOWN} more", err=True)
