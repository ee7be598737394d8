"""Trying the cases one after the other, and telling what came of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import typer

from entrepot.cli.management.output import printable, table
from entrepot.cli.protocol.cases import CASES, Case
from entrepot.cli.protocol.client import Failed, NotTried, Probe
from entrepot.outbound.errors import OutboundError


class Outcome(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A case and what came of it."""

    endpoint: str
    title: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All of them."""

    url: str
    results: list[Result]
    stays: list[str]  #: what could not be taken away again

    def count(self, outcome: Outcome) -> int:
        """Count the cases that came out so."""
        return Counter(result.outcome for result in self.results)[outcome]


_NO_SCRATCH: Final = "it writes; name a scratch repository with --scratch"


async def try_out(probe: Probe) -> Trial:
    """Try every case, and clean up after them.

    Raises:
        OutboundError: The registry cannot be reached at all.
    """
    await probe.ask("GET", "/v2/")
    results = []
    try:
        for case in CASES:
            outcome, detail = await _outcome(case, probe)
            results.append(Result(endpoint=case.endpoint, title=case.title, outcome=outcome, detail=detail))
    finally:
        stays = await probe.clean_up()
    return Trial(url=probe.url, results=results, stays=stays)


async def _outcome(case: Case, probe: Probe) -> tuple[Outcome, str]:
    if case.writes and not probe.scratch:
        return Outcome.NOT_TRIED, _NO_SCRATCH
    try:
        await case.run(probe)
    except NotTried as reason:
        return Outcome.NOT_TRIED, str(reason)
    except (Failed, OutboundError) as reason:
        return Outcome.FAILED, str(reason)
    return Outcome.PASSED, ""


def as_json(trial: Trial) -> str:
    """Write it for programs."""
    return json.dumps(asdict(trial))


def show(trial: Trial) -> None:
    """Write it for people: a summary first, then what did not pass."""
    counts = ", ".join(f"{trial.count(outcome)} {outcome}" for outcome in Outcome)
    typer.echo(f"{len(trial.results)} requests of the distribution specification tried against {trial.url}: {counts}.")
    reasons: dict[str, int] = Counter(one.detail for one in trial.results if one.detail == _NO_SCRATCH)
    told = [one for one in trial.results if one.outcome is not Outcome.PASSED and one.detail not in reasons]
    if told:
        rows = [[one.endpoint, one.title, str(one.outcome), printable(one.detail)] for one in told]
        for line in table(["endpoint", "what", "outcome", "why"], rows):
            typer.echo(line)
    for reason, count in reasons.items():
        typer.echo(f"{count} were not tried: {reason}.")
    if trial.stays:
        typer.echo(f"The registry does not delete, so these stay there: {', '.join(trial.stays)}.")
