"""`entrepot doctor`: look at everything that is stored, and repair what can be repaired."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.management.output import printable, table
from entrepot.cli.place import located
from entrepot.cli.program.command_line import hinted
from entrepot.integrity.model import Report
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.progress import Unwatched
from entrepot.telemetry.words import counted, spelt

_SHOWN = 50
_PERCENT = 100.0

Repair = Annotated[
    bool, typer.Option("--repair", help="Put right what can be, and take damaged bytes out of sight of clients.")
]
Sample = Annotated[
    str,
    typer.Option(
        "--sample",
        metavar="N%",
        help="Read the bytes of so many of the blobs only, and so many of the database's rows; 0% of none.",
    ),
]


Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="URL",
        help="Try the distribution specification's requests against this registry instead, whosever it is.",
    ),
]
Scratch = Annotated[
    str | None,
    typer.Option(
        "--scratch", metavar="NAME", help="With --protocol: a repository to write to; it is emptied afterwards."
    ),
]
User = Annotated[str | None, typer.Option("--username", "-u", help="With --protocol: who asks; else a stranger.")]
Stdin = Annotated[
    bool, typer.Option("--password-stdin", help="With --username: read the password from standard input.")
]


def doctor_command(
    *,
    repair: Repair = False,
    sample: Sample = "100%",
    protocol: Protocol = None,
    scratch: Scratch = None,
    user: User = None,
    stdin: Stdin = False,
    as_json: AsJson = False,
) -> None:
    """Check rows, files, digests and references, both ways. Exits with 1 if anything is wrong and not repaired.

    With --protocol: say what a registry fails of the specification. Nothing is written without --scratch.
    """
    if protocol is not None:
        _try_protocol(protocol, scratch or "", user or "", stdin=stdin, as_json=as_json)
    from entrepot.bootstrap.check_up import check_up
    from entrepot.cli.progress import watched

    share = _share(sample)
    place = located(on_server="entrepot job start scrub --watch")
    # What it notes for an operator of a server is told here in the report.
    logging.getLogger("entrepot.registry.quarantine").setLevel(logging.CRITICAL)
    if as_json:
        report = run(lambda: check_up(place, Unwatched(), repair=repair, sample=share))
        typer.echo(json.dumps(asdict(report)))
    else:
        with watched() as bar:
            report = run(lambda: check_up(place, bar, repair=repair, sample=share))
        _show(report, repair=repair)
    raise typer.Exit(1 if report.open else 0)


def _try_protocol(url: str, scratch: str, user: str, *, stdin: bool, as_json: bool) -> NoReturn:
    from entrepot.cli.protocol import report
    from entrepot.cli.protocol.client import Probe

    password = ""
    if user:
        password = sys.stdin.readline().rstrip("\n") if stdin else typer.prompt("Password", hide_input=True, err=True)
    if scratch:
        RepositoryName.parse(scratch)
    if "://" not in url:
        raise typer.BadParameter("--protocol takes a whole address: https://registry.example.org")
    probe = Probe(url=url, user=user, password=password, scratch=scratch)
    trial = run(lambda: report.try_out(probe))
    if as_json:
        typer.echo(report.as_json(trial))
    else:
        report.show(trial)
    raise typer.Exit(1 if trial.count(report.Outcome.FAILED) else 0)


def _share(text: str) -> float:
    try:
        share = float(text.strip().removesuffix("%")) / _PERCENT
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise typer.BadParameter("--sample takes a share from 0% to 100%")
    return share


def _show(report: Report, *, repair: bool) -> None:
    rate = report.bytes_read / report.seconds if report.seconds else 0.0
    typer.echo(
        f"Looked at {counted(report.manifests, 'manifest')}, {counted(report.blobs, 'blob')} and "
        f"{counted(report.files, 'file')} in {report.seconds:.1f} s; read {counted(report.blobs_read, 'blob')}, "
        f"{spelt(report.bytes_read)} ({spelt(round(rate))}/s)."
    )
    if report.queued:
        typer.echo(f"{counted(report.queued, 'file')} left by deletions; collections take them in their time.")
    if report.stray:
        typer.echo(
            f"{counted(report.stray, 'object')} of pushes that nothing speaks of; the purging of uploads removes them "
            "after a day. Where the database was brought back from a backup, they are what was pushed since:"
        )
        for key in report.strays[:_SHOWN]:
            typer.echo(f"  {key}")
    if not report.found:
        typer.echo("Nothing is wrong.")
        return
    typer.echo("What was found:")
    for line in table(["what", "number"], [[what, f"{count:,}"] for what, count in sorted(report.found.items())]):
        typer.echo(line)
    typer.echo("")
    _show_problems(report)
    if report.open:
        typer.echo(hinted(_advice(report, repair=repair)))


def _show_problems(report: Report) -> None:
    rows = [
        [problem.what, printable(problem.subject), problem.outcome, printable(problem.detail)]
        for problem in report.problems[:_SHOWN]
    ]
    for line in table(["what", "which", "now", "detail"], rows):
        typer.echo(line)
    if sum(report.found.values()) > _SHOWN:
        typer.echo(f"Those are the first {_SHOWN}; --json lists more.")


def _advice(report: Report, *, repair: bool) -> str:
    problems = counted(report.open, "problem")
    if not repair:
        return f"{problems} open. To repair what can be repaired: entrepot doctor --repair"
    return f"{problems} open. Damaged and missing blobs are whole again once somebody pushes an image that has them."
