"""Retention of a repository of 100,000 tags: reading them, deciding about each, and writing the verdicts down."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from benchmarks import peers, seed
from benchmarks.rounds import ROUNDS, Outcome, Sample
from entrepot.lifecycle.retention import rules
from entrepot.lifecycle.retention.policy_run import Retention
from entrepot.lifecycle.retention.repository_visits import Request
from entrepot.lifecycle.retention.rules import RuleText
from entrepot.lifecycle.selectors import Selector
from entrepot.metadata.jobs import job_runs
from entrepot.metadata.jobs.job_runs import Wanted
from entrepot.metadata.opening import METADATA_NAME, Stores, open_embedded
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Progress, Unwatched

_TAGS = 100_000


def retention(folder: Path) -> list[Outcome]:
    """Dry runs of five rules, two of which keep a number of tags and so have to see all of them first."""
    data = folder / "retention"
    seed.insert_tags(data, _TAGS)
    _add_policy(data / "entrepot" / METADATA_NAME)
    outcome = Outcome(
        scenario=f"retention of {_TAGS:,} tags, five rules", unit="s", more_is_better=False, target="<= 2 s"
    )
    outcome.samples[peers.OURS] = asyncio.run(_measure(data))
    return [outcome]


def _rule(template: str, value: int, pattern: str) -> RuleText:
    return RuleText(
        template=template,
        params={template: value},
        tags=[Selector(decoration="matches", pattern=pattern)],
        repositories=[Selector(decoration="repoMatches", pattern="**")],
    )


def _add_policy(path: Path) -> None:
    texts = [
        _rule("latestPushedK", 50, "tag-00*"),
        _rule("latestPulledN", 1_000, "{tag,release}-*"),
        _rule("nDaysSinceLastPush", 30, "**"),
        _rule("nDaysSinceLastPull", 7, "tag-*7"),
        _rule("always", 0, "latest"),
    ]
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO retention_policies(id, project_id, rules, trigger, created_at, updated_at) "
            "VALUES (1, 1, ?, 'Schedule', 1, 1)",
            (rules.written(rules.checked(texts)),),
        )


async def _measure(data: Path) -> list[Sample]:
    stores = await open_embedded(data / "entrepot")
    try:
        return [await _one(stores) for _ in range(ROUNDS + 1)][1:]
    finally:
        await stores.close()


async def _one(stores: Stores) -> Sample:
    wanted = Wanted(kind="retention", subject="policy:1")
    run = await stores.metadata.write(lambda tx: job_runs.ask(tx, wanted))
    work = Retention(metadata=stores.metadata, settings=RegistrySettings(), gate=_open, settle=_settled)
    request = Request(run=run, policy_id=1, dry_run=True, actor=Actor(name="bench"))
    began, cpu = time.perf_counter(), time.process_time()
    result = await work.run(request, Unwatched())
    sample = Sample(value=time.perf_counter() - began, cpu=time.process_time() - cpu)
    if result["total"] != _TAGS:
        raise RuntimeError(f"looked at {result}")
    return sample


async def _open() -> None:
    return None


async def _settled(_progress: Progress) -> None:
    return None
