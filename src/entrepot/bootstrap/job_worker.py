"""What the job worker does: work that lasts as long as it, and runs of the kinds of jobs that people see."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.adapters.identity.ldap.source import directory_source
from entrepot.adapters.identity.setup import head_signer
from entrepot.adoption.leftovers import Leftovers
from entrepot.audit.retention import Retention
from entrepot.audit.seals import Sealer, Sign
from entrepot.audit.syslog import Forwarder, Receiver
from entrepot.backup.prune import Keep
from entrepot.bootstrap.collection import collection_of, emptying_of, whole_collection_of
from entrepot.bootstrap.deployment import (
    Adoption,
    Deployment,
    configuration_of,
    deployment,
    in_background,
    space_of,
    watching,
)
from entrepot.bootstrap.node import presence_of, while_in_service
from entrepot.bootstrap.retention import disk_jobs, expiry_kind, retention_kind
from entrepot.config import Config
from entrepot.insight.analysis import Analyser
from entrepot.insight.history import Past, Recorder
from entrepot.integrity.scrub import Scrub
from entrepot.jobs.adoption import FolderAdoption
from entrepot.jobs.analysis import ANALYSIS, Analysing
from entrepot.jobs.analysis import INTERVAL as ANALYSIS_INTERVAL
from entrepot.jobs.audit_log import Auditing
from entrepot.jobs.audit_purge import PURGE_AUDIT_LOG, AuditPurging
from entrepot.jobs.backup import BACKUP, BackingUp
from entrepot.jobs.collection import GARBAGE_COLLECTION, CollectionMetrics, GarbageCollection, SteadyCollection
from entrepot.jobs.dispatcher import Dispatcher
from entrepot.jobs.duplicates import DUPLICATES, FindingDuplicates
from entrepot.jobs.execution import RunTimes
from entrepot.jobs.model import Job, JobKind
from entrepot.jobs.outbox import OutboxConsumer
from entrepot.jobs.provider_check import ProviderCheck
from entrepot.jobs.robot_trust import INTERVAL as ROBOT_TRUST_INTERVAL
from entrepot.jobs.robot_trust import RobotTrustCheck
from entrepot.jobs.scrub import SCRUB, DamageWatch, Scrubbing
from entrepot.jobs.sums import INTERVAL as SUMS_INTERVAL
from entrepot.jobs.sums import SumCompletion
from entrepot.jobs.upload_purge import UPLOAD_PURGING, Strays, UploadPurging
from entrepot.jobs.usage_history import USAGE_HISTORY, NotingUsage
from entrepot.jobs.worker import JobWorker
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.orphans import Orphans
from entrepot.metadata import clock, clock_check
from entrepot.metadata.clock_check import ClockWatch, Verdict
from entrepot.metadata.engine.ballast import Reserve
from entrepot.metadata.jobs.outbox_rounds import Handler
from entrepot.projection.projector import Projector
from entrepot.registry.locks import ANALYSIS as ANALYSIS_TURN
from entrepot.serving.worker_runtime import WorkerRuntime
from entrepot.system.jobs.timetable import every
from entrepot.telemetry.instruments import Metrics

if TYPE_CHECKING:
    from entrepot.accounts.providers.account_checks import ProviderChecks

_MINUTE = 60.0
#: Seconds between two looks for runs that are due, where a change of any is told of.
_POLL_WHERE_TOLD = 5.0


@contextlib.asynccontextmanager
async def jobs(config: Config, runtime: WorkerRuntime) -> AsyncIterator[Callable[[asyncio.Event], Awaitable[None]]]:
    """Give the loop of the job worker."""
    async with deployment(config, runtime.metrics, began_ns=_began_ns()) as parts:
        metrics = runtime.metrics
        signer = await head_signer(config, parts.stores.metadata, parts.vault)
        lasting = JobWorker(parts.stores.work, job_list(parts, metrics, signer), metrics)
        times = RunTimes(poll=_POLL_WHERE_TOLD) if config.on_server else RunTimes()
        dispatcher = Dispatcher(
            parts.stores.metadata, parts.stores.work, job_kinds(parts, metrics), metrics, times=times
        )

        async def pull_back() -> None:
            await dispatcher.pull_back()
            if parts.adoption is not None:
                await parts.adoption.foreign.pull_back()

        watch = ClockWatch(parts.stores.metadata, set_back=pull_back, show=_clock_gauge(metrics))
        await watch.look_quietly()  # before anything is removed

        presence = await presence_of(config, parts.stores.work, runtime)

        async def work(stop: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(lasting.run(stop))
                group.create_task(dispatcher.run(stop))

        async def run(stop: asyncio.Event) -> None:
            following = watching(parts, jobs=dispatcher.look)
            async with in_background(watch.run()), in_background(presence.run()), in_background(following):
                await while_in_service(stop, presence, work)

        yield run


def _began_ns() -> int:
    """Say when the server began of which this is the worker, in nanoseconds since the epoch."""
    status = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8")
    ticks = int(status.rpartition(")")[2].split()[19])  # proc_pid_stat(5): starttime is the 22nd field
    ago = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time_ns() - int(ago * 10**9)


def _clock_gauge(metrics: Metrics) -> Callable[[Verdict], None]:
    text = "Seconds by which the clock is ahead of what it should say (below 0: behind) while it is in doubt; else 0."
    gauge = metrics.gauge("entrepot_clock_doubt_seconds", text)
    return lambda verdict: gauge.set(verdict.ahead / clock.MICROSECONDS)


def job_kinds(parts: Deployment, metrics: Metrics) -> list[JobKind]:
    """List the kinds of jobs whose runs are asked for and shown; built anew at each call."""
    return [
        *_purging_kinds(parts),
        *_audit_kinds(parts),
        *_directory_kinds(parts),
        _garbage_collection(parts, metrics),
        retention_kind(parts, metrics),
        expiry_kind(parts),
        *_insight_kinds(parts, metrics),
        *_scrub_kinds(parts, metrics),
        *_backup_kinds(parts, metrics),
    ]


def _garbage_collection(parts: Deployment, metrics: Metrics) -> JobKind:
    may_delete = parts.config.storage.delete.enabled
    work = GarbageCollection(whole_collection_of(parts), CollectionMetrics(metrics), may_delete=may_delete)
    return JobKind(traits=GARBAGE_COLLECTION, run=work.run, reserve=Reserve.USED)


def _insight_kinds(parts: Deployment, metrics: Metrics) -> list[JobKind]:
    metadata, space = parts.stores.metadata, functools.partial(space_of, parts)
    noting = NotingUsage(recorder=Recorder(metadata, space), past=Past(metadata, space), metrics=metrics)
    return [
        JobKind(traits=ANALYSIS, run=_analysing(parts).run),
        JobKind(traits=USAGE_HISTORY, run=noting.run),
        JobKind(traits=DUPLICATES, run=FindingDuplicates(metadata, parts.store).run),
    ]


def _analysing(parts: Deployment) -> Analysing:
    one = functools.partial(parts.locks.turn, ANALYSIS_TURN, patience=_MINUTE)
    return Analysing(Analyser(metadata=parts.stores.metadata, turn=one))


def _backup_kinds(parts: Deployment, metrics: Metrics) -> list[JobKind]:
    section = parts.config.backup
    if not section.target:
        return []
    from entrepot.bootstrap.backups import (  # noqa: PLC0415 - many back up by other means
        backed_up,
        opened_pieces,
        reached_by,
    )

    key = Path(section.key) if section.key else None
    work = BackingUp(
        doubt=functools.partial(clock_check.reason, parts.stores.metadata),
        registry=backed_up(parts),
        pieces=functools.partial(opened_pieces, section.target, key, create=True, clouds=reached_by(parts.config)),
        keep=Keep(**section.keep.model_dump()),
        metrics=metrics,
    )
    return [JobKind(traits=replace(BACKUP, schedule=section.schedule), run=work.run)]


def _scrub_kinds(parts: Deployment, metrics: Metrics) -> list[JobKind]:
    section = parts.config.integrity.scrub
    if not section.enabled:
        return []
    read = metrics.counter("entrepot_scrub_bytes", "Bytes that the scrub has read.")
    scrub = Scrub(
        metadata=parts.stores.metadata,
        store=parts.store,
        quarantine=parts.registry.verifying.quarantine,
        rate=section.rate,
        age=section.age,
        on_read=lambda size: read.inc(by=size),
    )
    traits = replace(SCRUB, schedule=every(section.interval))
    return [JobKind(traits=traits, run=Scrubbing(scrub=scrub, metrics=metrics).run)]


def _purging_kinds(parts: Deployment) -> list[JobKind]:
    purging = parts.config.storage.maintenance.uploadpurging
    if not purging.enabled:
        return []
    purge = UploadPurging(
        metadata=parts.stores.metadata,
        work=parts.stores.work,
        store=parts.store,
        read_only=parts.read_only,
        age=purging.age,
        doubt=functools.partial(clock_check.reason, parts.stores.metadata),
        leftovers=None if parts.folder is None else Leftovers(parts.folder.tree),
        strays=None
        if parts.objects.leftovers is None
        else Strays(metadata=parts.stores.metadata, work=parts.stores.work, store=parts.objects.leftovers),
        dry_run=purging.dryrun,
    )
    return [
        JobKind(
            traits=replace(UPLOAD_PURGING, schedule=every(purging.interval)), run=purge.run, reserve=Reserve.RELEASED
        )
    ]


def _audit_kinds(parts: Deployment) -> list[JobKind]:
    seconds = parts.config.audit.retention
    traits = replace(PURGE_AUDIT_LOG, schedule="@hourly" if seconds else "")
    return [
        JobKind(
            traits=traits, run=AuditPurging(Retention(parts.stores.metadata), seconds).run, reserve=Reserve.RELEASED
        )
    ]


def _directory_kinds(parts: Deployment) -> list[JobKind]:
    """List what is done about people of a directory, which may be set up while the registry runs."""
    section = parts.config.access.ldap
    if not parts.config.has_accounts or not section.sync.enabled:
        return []
    from entrepot.adapters.identity.ldap.administration import rules_of  # noqa: PLC0415 - no web process needs it
    from entrepot.jobs.directory_sync import DIRECTORY_SYNC, DirectorySync  # noqa: PLC0415 - as above

    source = directory_source(section, configuration_of(parts))
    sync = DirectorySync(parts.stores.metadata, source, rules_of(section.sync))
    traits = replace(DIRECTORY_SYNC, schedule=every(section.sync.interval))
    return [JobKind(traits=traits, run=sync.run, applies=sync.applies)]


def job_list(parts: Deployment, metrics: Metrics, sign_head: Sign) -> list[Job]:
    """List what the worker does beside them, under leases; `sign_head` signs the head of the audit log."""
    return [
        Job(
            name="outbox",
            run=OutboxConsumer(parts.stores.metadata, outbox_handlers(parts), metrics).run,
            reserve=Reserve.USED,
        ),
        *_adoption_jobs(parts.adoption, metrics),
        Job(name="collection", run=_steady_collection(parts, metrics).run, reserve=Reserve.USED),
        Job(name="damage", run=DamageWatch(parts.stores.metadata, metrics).run, interval=_MINUTE),
        Job(name="analysis", run=_analysing(parts).go_on, interval=ANALYSIS_INTERVAL),
        Job(name="sums", run=SumCompletion(parts.stores.metadata).run, interval=SUMS_INTERVAL),
        *disk_jobs(parts, metrics),
        *audit_jobs(parts, sign_head),
        *provider_jobs(parts),
        Job(name="robot-trust", run=RobotTrustCheck(parts.stores.metadata).run, interval=ROBOT_TRUST_INTERVAL),
    ]


def _adoption_jobs(adoption: Adoption | None, metrics: Metrics) -> list[Job]:
    if adoption is None:
        return []
    work = FolderAdoption(adoption.intake, adoption.report, adoption.foreign, metrics)
    return [Job(name="adoption", run=work.run)]


def _steady_collection(parts: Deployment, metrics: Metrics) -> SteadyCollection:
    work = collection_of(parts)
    orphans = Orphans(work, parts.registry.verifying.quarantine)
    return SteadyCollection(Collector(work), emptying_of(parts), CollectionMetrics(metrics), orphans)


def provider_jobs(parts: Deployment) -> list[Job]:
    """List what is done about people of sign-in providers, one of which may be set up while the registry runs."""
    if not parts.config.has_accounts:
        return []
    check = ProviderCheck(functools.partial(_provider_checks, parts), parts.config.access.shortest_check)
    return [Job(name="provider-check", run=check.run, interval=check.interval)]


def _provider_checks(parts: Deployment) -> ProviderChecks:
    from entrepot.adapters.identity.oidc.setup import build_checks  # noqa: PLC0415 - many have no provider
    from entrepot.adapters.identity.oidc.source import provider_source  # noqa: PLC0415 - as above

    source = provider_source(parts.config, configuration_of(parts))
    return build_checks(source, parts.stores.metadata, parts.vault)


def audit_jobs(parts: Deployment, sign_head: Sign) -> list[Job]:
    """List what is done for the audit log beside the requests that write it."""
    audit, metadata = parts.config.audit, parts.stores.metadata
    sealer = Sealer(metadata, sign_head)
    forwarder = Forwarder(metadata, Receiver(audit.syslog)) if audit.syslog else None
    return [Job(name="audit", run=Auditing(sealer, forwarder).run)]


def outbox_handlers(parts: Deployment) -> list[Handler]:
    """List who is told what transactions left to be done."""
    return [] if parts.folder is None else [Projector(parts.stores.metadata, parts.folder.files).project]
