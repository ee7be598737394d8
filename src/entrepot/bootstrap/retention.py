"""Retention put together: what runs policies, by a job, when the disk is low, and by the command line alone."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from entrepot.bootstrap.collection import collection_of, expiry_of, removal_gate
from entrepot.bootstrap.deployment import Deployment, deployment
from entrepot.config import Config
from entrepot.jobs.dispatcher import Dispatcher
from entrepot.jobs.model import Job, JobKind
from entrepot.jobs.retention import IMAGE_EXPIRY, RETENTION, ExpiringImages, RetentionRuns, SettlePulls
from entrepot.jobs.watermark import INTERVAL, CleanUpSteps, DiskWatch, collect_now
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.untagged import Untagged
from entrepot.lifecycle.disks import Bounds, Disk, Space
from entrepot.lifecycle.retention.expiry import ImageExpiry
from entrepot.lifecycle.retention.policy_run import Retention
from entrepot.lifecycle.retention.repository_visits import Settle
from entrepot.lifecycle.watermark import Watermark
from entrepot.metadata import clock_check
from entrepot.metadata.database import Database
from entrepot.metadata.engine.ballast import Ballast, Reserve
from entrepot.metadata.jobs import job_runs
from entrepot.registry import layout
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.small_blobs import SmallBlobs
from entrepot.system.jobs.timetable import every
from entrepot.system.volumes import standing
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress

_POLL_SECONDS = 0.1
_REMEMBERED = 1024 * 1024


def retention_of(parts: Deployment, settle: Settle | None = None) -> Retention:
    """Give what runs retention policies."""
    metadata = parts.stores.metadata
    return Retention(
        metadata=metadata,
        settings=parts.registry.settings,
        gate=removal_gate(parts),
        settle=settle or SettlePulls(metadata),
    )


def retention_kind(parts: Deployment, metrics: Metrics, settle: Settle | None = None) -> JobKind:
    """Give the kind of job."""
    runs = RetentionRuns(retention=retention_of(parts, settle), metrics=metrics)
    return JobKind(traits=RETENTION, run=runs.run, reserve=Reserve.RELEASED)


def expiry_kind(parts: Deployment) -> JobKind:
    """Give the kind of job that heeds what images say of themselves; it can be tried where that is off."""
    section = parts.config.lifecycle.expiry
    small = SmallBlobs(parts.store, ContentCache(_REMEMBERED), parts.registry.verifying.quarantine)
    expiry = ImageExpiry(
        metadata=parts.stores.metadata,
        settings=parts.registry.settings,
        content=small.content,
        gate=removal_gate(parts) if section.enabled else _is_off,
    )
    traits = replace(IMAGE_EXPIRY, schedule=every(section.interval) if section.enabled else "")
    return JobKind(traits=traits, run=ExpiringImages(expiry).run, reserve=Reserve.RELEASED)


async def _is_off() -> str:
    return "lifecycle.expiry.enabled is false"


def disk_jobs(parts: Deployment, metrics: Metrics) -> list[Job]:
    """List what is done about a disk that runs low."""
    section = parts.config.lifecycle.watermark
    if not section.low or not parts.config.has_folder:
        return []
    work, metadata = collection_of(parts), parts.stores.metadata
    blobs, *others = disks_of(parts.config)
    watermark = Watermark(
        metadata=metadata,
        disk=blobs,
        bounds=Bounds(low=section.low, high=section.high),
        expiry=expiry_of(parts),
        steps=CleanUpSteps(metadata=metadata, untagged=Untagged(work) if section.untagged else None),
        collect=partial(collect_now, Collector(work)),
    )
    watch = DiskWatch(watermark=watermark, others=others, metrics=metrics)
    return [Job(name="disk", run=watch.run, interval=INTERVAL, reserve=Reserve.USED)]


def disks_of(config: Config) -> list[Disk]:
    """List the disks that the folder lies on, that of the blobs first; those of the others only where they differ.

    SQLite's files lie in our own folder; what a database server writes is not ours to look at.
    """
    folders = {
        "blobs": config.data / layout.BLOBS,
        **({} if config.on_server else {"metadata": config.state}),
        "uploads": config.data / layout.UPLOADS,
    }
    found: dict[int, Disk] = {}
    for name, folder in folders.items():
        look = partial(asyncio.to_thread, _space, folder, config.state)
        found.setdefault(standing(folder).stat().st_dev, Disk(name=name, space=look))
    return list(found.values())


def _space(folder: Path, state: Path) -> Space:
    """Look at a disk; where ballast was released there, that is no free space."""
    folder = standing(folder)
    usage = shutil.disk_usage(folder)
    beside = folder.stat().st_dev == state.stat().st_dev
    return Space(usage.total, usage.free - (Ballast(state).lacking(usage.total) if beside else 0))


async def retain(config: Config, run: int) -> None:
    """Do a run that was asked for on a data folder; a server that comes up meanwhile may do it as well."""
    async with deployment(config, Metrics()) as parts:
        stores, metrics, stop = parts.stores, Metrics(), asyncio.Event()
        await clock_check.look_once(stores.metadata)
        kind = retention_kind(parts, metrics, _nobody_pulls)
        work = asyncio.create_task(Dispatcher(stores.metadata, stores.work, [kind], metrics).run(stop))
        try:
            await _ended(stores.metadata, run)
        finally:
            stop.set()
            await work


async def _ended(metadata: Database, run: int) -> None:
    """Wait until a run has ended, whoever does it."""
    while True:
        found = await job_runs.find(metadata, run)
        if found is None or found.ended_at is not None:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _nobody_pulls(_progress: Progress) -> None:
    """Go on at once: without a server nobody counts pulls."""
