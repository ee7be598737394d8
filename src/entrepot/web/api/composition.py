"""Puts the use cases behind the API together, from what a deployment has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.policy import Policy
from entrepot.accounts.directory.administration import DirectoryDesk
from entrepot.accounts.directory.model import DirectorySource
from entrepot.accounts.explanations import Explaining
from entrepot.accounts.grants import Grants
from entrepot.accounts.groups import Groups
from entrepot.accounts.keys import Keys
from entrepot.accounts.members import Members
from entrepot.accounts.passwords import USUAL, PasswordRule
from entrepot.accounts.robot_model import RobotSettings
from entrepot.accounts.robots import Robots
from entrepot.accounts.roles import Roles
from entrepot.accounts.user_passwords import UserPasswords
from entrepot.accounts.users import Hash, Users
from entrepot.insight.freed_bytes import Freeing
from entrepot.insight.history import Past
from entrepot.insight.query_limits import Turns
from entrepot.insight.usage_report import Looking
from entrepot.lifecycle.collection.why import Why
from entrepot.lifecycle.immutability.rules import ImmutableRules
from entrepot.lifecycle.quotas import ProjectQuota, Quotas
from entrepot.lifecycle.retention.executions import Executions
from entrepot.lifecycle.retention.policies import Policies
from entrepot.lifecycle.tag_history import TagHistory
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.lifecycle.trash.purge import Purging
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.lifecycle.trash.service import Trash
from entrepot.metadata.database import Database
from entrepot.projects.contents.service import build_contents
from entrepot.projects.labels import Labels
from entrepot.projects.search import Search
from entrepot.projects.service import Projects
from entrepot.system.configuration import Configuration
from entrepot.system.jobs.kinds import Kinds
from entrepot.system.jobs.queues import Queues
from entrepot.system.jobs.schedules import Schedules, time_of_next
from entrepot.system.jobs.service import Jobs
from entrepot.system.jobs.traits import JobTraits
from entrepot.system.nodes import Nodes
from entrepot.system.statistics import Statistics
from entrepot.system.volumes import VolumeOf
from entrepot.web.api.services import (
    AccountServices,
    ApiServices,
    InsightServices,
    JobServices,
    LifecycleServices,
    TryIssuer,
)
from entrepot.web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a deployment gives: its databases, who decides, and what needs an adapter."""

    web: Services
    metadata: Database
    work: Database
    policy: Policy
    configuration: Configuration
    volume: VolumeOf  #: looks at the disk below the blobs
    hash_password: Hash
    job_kinds: Callable[[], Sequence[JobTraits]]  #: asked once, when somebody first wants to know
    directory: DirectorySource | None = None  #: says which directory is asked; None where there are no accounts
    try_issuer: TryIssuer
    local_passwords: PasswordVerifier | None  #: compares passwords and nothing else; None where none are kept here
    #: Told the name of an account before a change of its password is answered.
    password_changed: Callable[[str], None] = lambda _name: None
    password_rule: PasswordRule = USUAL


def build_services(parts: Parts) -> ApiServices:
    """Return the use cases behind the API."""
    projects = Projects(parts.metadata, parts.policy, parts.web.registry)
    contents = build_contents(parts.metadata, parts.web.registry, parts.web.store, parts.policy)
    return ApiServices(
        web=parts.web,
        metadata=parts.metadata,
        accounts=_accounts(parts),
        jobs=_jobs(parts),
        contents=contents,
        lifecycle=_lifecycle(parts),
        insight=_insight(parts),
        projects=projects,
        labels=Labels(parts.metadata),
        quotas=Quotas(parts.metadata),
        search=Search(parts.metadata, projects, contents.repositories),
        configuration=parts.configuration,
        try_issuer=parts.try_issuer,
        directory=None if parts.directory is None else DirectoryDesk(parts.metadata, parts.directory),
        nodes=Nodes(parts.metadata, parts.work),
        statistics=Statistics(parts.metadata, parts.policy),
        why=Why(parts.metadata),
        volume=parts.volume,
    )


def _jobs(parts: Parts) -> JobServices:
    kinds = Kinds(parts.job_kinds)
    return JobServices(
        kinds=kinds,
        runs=Jobs(parts.metadata, kinds),
        schedules=Schedules(parts.metadata, kinds),
        queues=Queues(parts.metadata, parts.work, kinds),
    )


def _lifecycle(parts: Parts) -> LifecycleServices:
    metadata, registry = parts.metadata, parts.web.registry
    settings, deletion = registry.settings, registry.project_deletion
    expiry = Expiry(metadata, settings, deletion)
    restoring = Restoring.over(metadata, registry.lookup, settings, ProjectQuota())
    return LifecycleServices(
        trash=Trash(
            metadata=metadata,
            policy=parts.policy,
            settings=settings,
            expiry=expiry,
            restoring=restoring,
            purging=Purging(metadata, settings, deletion, expiry),
        ),
        history=TagHistory(metadata, restoring),
        immutable=ImmutableRules(metadata),
        retention=Policies(metadata, time_of_next),
        retained=Executions(metadata),
    )


def _insight(parts: Parts) -> InsightServices:
    rules = parts.web.registry.settings.tag_rules
    past = Past(parts.metadata, parts.volume)
    looking, freeing = Looking(parts.metadata), Freeing(parts.metadata, rules)
    return InsightServices(looking=looking, freeing=freeing, past=past, turns=Turns())


def _accounts(parts: Parts) -> AccountServices:
    metadata, authorizer, hashes = parts.metadata, parts.web.authorizer, parts.hash_password
    grants = Grants(metadata, authorizer)
    passwords = None
    if parts.local_passwords is not None:
        passwords = UserPasswords(
            metadata,
            authorizer,
            hashes,
            parts.local_passwords,
            changed=parts.password_changed,
            rule=parts.password_rule,
        )
    return AccountServices(
        users=Users(metadata, authorizer, hashes, parts.password_rule),
        passwords=passwords,
        groups=Groups(metadata, authorizer),
        roles=Roles(metadata, authorizer),
        grants=grants,
        members=Members(metadata, grants),
        explaining=Explaining(metadata, authorizer),
        keys=Keys(metadata, authorizer),
        robots=Robots(metadata, authorizer, hashes, settings=partial(_robots, parts.configuration)),
    )


async def _robots(configuration: Configuration) -> RobotSettings:
    """Return what an administrator decided about robots."""
    values = await configuration.values()
    return RobotSettings(prefix=str(values["robot_name_prefix"]), duration=int(values["robot_token_duration"]))
