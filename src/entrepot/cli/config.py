"""`entrepot config`: look at a configuration without starting anything."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.program.classes import Noun
from entrepot.cli.program.registry_choice import here_meant

if TYPE_CHECKING:
    from entrepot.config import Config, Report

app = Noun()

File = Annotated[
    Path | None,
    typer.Argument(help="The configuration file; else the one that --config, a variable or the context names."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Listen = Annotated[str | None, typer.Option("--listen", help="Address to listen on, as given to serve.")]


@app.command("check")
def check_command(
    file: File = None,
    *,
    listen: Listen = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask the OpenID providers that it names, too, as the registry would.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong or odd about a configuration.

    Exits with 1 if serve would not start, or a provider that is asked gives no answer.
    """
    from entrepot.config import check

    here = here_meant()
    report = check(file or here.config, os.environ, data=here.data, listen=listen)
    if report.loaded is not None:
        report = asyncio.run(_with_providers(report, report.loaded.config, ask=ask))
    typer.echo(_as_json(report) if as_json else _as_text(report))
    raise typer.Exit(0 if report.ok else 1)


@app.command("show")
def show_command(
    file: File = None,
    *,
    listen: Listen = None,
    everything: Annotated[bool, typer.Option("--all", help="Show keys that have their default, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the configuration in force: file, variables and command line together, secrets masked."""
    import yaml

    from entrepot.config import ConfigInvalid, load

    here = here_meant()
    try:
        loaded = load(file or here.config, os.environ, data=here.data, listen=listen)
    except ConfigInvalid as error:
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(1) from None
    shown = visible(loaded.config, everything=everything)
    typer.echo(json.dumps(shown, indent=2) if as_json else yaml.safe_dump(shown, sort_keys=False), nl=as_json)


@app.command("reference")
def reference_command() -> None:
    """Write the reference page of all keys, in Markdown."""
    from entrepot.config.reference import render_reference

    typer.echo(render_reference(), nl=False)


async def _with_providers(report: Report, config: Config, *, ask: bool) -> Report:
    """Add what can be said of sign-in providers; names are looked up, and with `ask` the providers are asked."""
    if not (config.access.oidc or config.access.oauth):
        return report
    from entrepot.bootstrap import sign_in_services

    warnings = [*report.warnings, *await sign_in_services.look_at_ways(config)]
    if not ask:
        return replace(report, warnings=warnings)
    found = await sign_in_services.ask_providers(config)
    return replace(report, warnings=[*warnings, *found.warnings], problems=[*report.problems, *found.problems])


def visible(config: Config, *, everything: bool) -> dict[str, object]:
    """A configuration as it may be shown, in the form of the file it could come from."""
    return config.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=not everything)


def _as_json(report: Report) -> str:
    verdict = {
        "ok": report.ok,
        "problems": report.problems,
        "warnings": report.warnings,
        "variables": report.loaded.applied if report.loaded else [],
    }
    return json.dumps(verdict, indent=2)


def _as_text(report: Report) -> str:
    lines = [f"error: {problem}" for problem in report.problems]
    lines += [f"warning: {warning}" for warning in report.warnings]
    if report.loaded and report.loaded.applied:
        lines.append(f"variables used: {', '.join(report.loaded.applied)}")
    return "\n".join([*lines, _verdict(report)])


def _verdict(report: Report) -> str:
    if report.loaded is None:
        return "the configuration cannot be read"
    path = report.loaded.config.path or "the built-in configuration"
    return f"{path} is {'ready to serve' if report.ok else 'not ready to serve'}"
