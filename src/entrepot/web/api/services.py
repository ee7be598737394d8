"""What the handlers of the API work with, put together by `bootstrap`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.accounts.directory.administration import DirectoryDesk
from entrepot.accounts.explanations import Explaining
from entrepot.accounts.grants import Grants
from entrepot.accounts.groups import Groups
from entrepot.accounts.keys import Keys
from entrepot.accounts.members import Members
from entrepot.accounts.robots import Robots
from entrepot.accounts.roles import Roles
from entrepot.accounts.user_passwords import UserPasswords
from entrepot.accounts.users import Users
from entrepot.insight.freed_bytes import Freeing
from entrepot.insight.history import Past
from entrepot.insight.query_limits import Turns
from entrepot.insight.usage_report import Looking
from entrepot.lifecycle.collection.why import Why
from entrepot.lifecycle.immutability.rules import ImmutableRules
from entrepot.lifecycle.quotas import Quotas
from entrepot.lifecycle.retention.executions import Executions
from entrepot.lifecycle.retention.policies import Policies
from entrepot.lifecycle.tag_history import TagHistory
from entrepot.lifecycle.trash.service import Trash
from entrepot.metadata.database import Database
from entrepot.projects.contents.service import Contents
from entrepot.projects.labels import Labels
from entrepot.projects.search import Search
from entrepot.projects.service import Projects
from entrepot.system.configuration import Configuration
from entrepot.system.jobs.kinds import Kinds
from entrepot.system.jobs.queues import Queues
from entrepot.system.jobs.schedules import Schedules
from entrepot.system.jobs.service import Jobs
from entrepot.system.nodes import Nodes
from entrepot.system.statistics import Statistics
from entrepot.system.volumes import Volume
from entrepot.web.services import Services

#: Tells how much space there is for blobs.
VolumeOf = Callable[[], Awaitable[Volume]]
#: Asks an issuer, believing the authorities of a PEM text too, for its discovery document; raises `ProviderUnavailable`
#: when there is none that can be used.
TryIssuer = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountServices:
    """The use cases about people, groups, robots and what they may do."""

    users: Users
    passwords: UserPasswords | None  #: None where no passwords are kept here
    groups: Groups
    roles: Roles
    grants: Grants
    members: Members
    explaining: Explaining
    keys: Keys
    robots: Robots


@dataclass(frozen=True, slots=True, kw_only=True)
class JobServices:
    """The use cases about jobs."""

    kinds: Kinds
    runs: Jobs
    schedules: Schedules
    queues: Queues


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleServices:
    """The use cases about what becomes of images in time."""

    trash: Trash
    history: TagHistory
    immutable: ImmutableRules
    retention: Policies
    retained: Executions


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightServices:
    """The use cases about where the space went."""

    looking: Looking
    freeing: Freeing
    past: Past
    turns: Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """The use cases behind the API; one per worker."""

    web: Services  #: what the rest of the web layer works with: registry, authenticator, authorizer, settings, ...
    metadata: Database
    accounts: AccountServices
    jobs: JobServices
    projects: Projects
    contents: Contents
    lifecycle: LifecycleServices
    insight: InsightServices
    labels: Labels
    quotas: Quotas
    search: Search
    configuration: Configuration
    directory: DirectoryDesk | None  #: None where there are no accounts
    try_issuer: TryIssuer
    nodes: Nodes
    statistics: Statistics
    why: Why
    volume: VolumeOf
