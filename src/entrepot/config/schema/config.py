"""The root of the configuration."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, PrivateAttr

from entrepot.config.schema.audit import Audit
from entrepot.config.schema.auth import Access, Auth
from entrepot.config.schema.backup import Backup
from entrepot.config.schema.content import Catalog, Policy, Tags, Validation
from entrepot.config.schema.health import Health
from entrepot.config.schema.http import Http, IpNetwork
from entrepot.config.schema.integrity import Integrity
from entrepot.config.schema.lifecycle import Lifecycle
from entrepot.config.schema.log import Level, Log
from entrepot.config.schema.metadata import Database, Metadata, read_url
from entrepot.config.schema.middleware import Middleware
from entrepot.config.schema.node import Node
from entrepot.config.schema.notifications import Notifications
from entrepot.config.schema.others import Compatibility, Proxy, Reporting
from entrepot.config.schema.outbound import Outbound
from entrepot.config.schema.redis import Redis
from entrepot.config.schema.storage import Storage
from entrepot.config.section import Section
from entrepot.config.values import Count, Text

#: More web processes than this serve nobody better: the disk and the network are the limit then.
MOST_PROCESSES: Final = 8


class Source(StrEnum):
    """Where a configuration comes from, which decides what silence means."""

    #: A registry:2 file was given: exactly what it says counts, and a file without `auth` is an open registry.
    FILE = "file"
    #: No file: our own defaults, an admin account and everything private.
    DEFAULTS = "defaults"


class Config(Section):
    """The whole configuration."""

    version: Text
    """Version of the format: always `0.1`. No variable can change it."""
    log: Log = Log()
    """What is logged, and in which form."""
    loglevel: Level | None = None
    """Old place of `log.level`."""
    storage: Storage
    """Where the bytes are, and what may be done to them."""
    metadata: Metadata = Metadata()
    """Where the databases are. Our own section."""
    database: Database = Database()
    """A PostgreSQL database, as GitLab's registry names it."""
    auth: Auth = Auth()
    """Who may do what."""
    middleware: Middleware = Middleware()
    """Parts that registry:2 wraps around itself."""
    http: Http = Http()
    """Where the registry listens and how it answers."""
    notifications: Notifications = Notifications()
    """Whom registry:2 tells about pushes, pulls and deletes."""
    redis: Redis = Redis()
    """A Redis server."""
    health: Health = Health()
    """Checks whose failure takes the registry out of rotation."""
    catalog: Catalog = Catalog()
    """The list of repositories."""
    tags: Tags = Tags()
    """The list of tags."""
    proxy: Proxy = Proxy()
    """A pull-through cache of another registry."""
    validation: Validation = Validation()
    """What may be pushed."""
    policy: Policy = Policy()
    """What the registry may hold."""
    reporting: Reporting = Reporting()
    """Error reports of registry:2."""
    compatibility: Compatibility = Compatibility()
    """Old features of registry:2."""
    access: Access = Access()
    """Accounts and tokens of this registry. Our own section."""
    audit: Audit = Audit()
    """Who did what. Our own section."""
    lifecycle: Lifecycle = Lifecycle()
    """What becomes of things that are deleted. Our own section."""
    integrity: Integrity = Integrity()
    """How stored bytes are watched. Our own section."""
    backup: Backup = Backup()
    """Backups by a schedule. Our own section."""
    outbound: Outbound = Outbound()
    """How this registry asks others. Our own section."""
    node: Node = Node()
    """This `serve` as one of several. Our own section."""
    workers: Count = Field(default=0, ge=0, le=1024)
    """Web processes; 0 chooses by the number of processors. Our own key."""

    _source: Source = PrivateAttr(default=Source.DEFAULTS)
    _path: Path | None = PrivateAttr(default=None)
    _names_proxies: bool = PrivateAttr(default=True)

    @property
    def source(self) -> Source:
        """Whether a file was given."""
        return self._source

    @property
    def path(self) -> Path | None:
        """The file, if one was given."""
        return self._path

    @property
    def client_proxies(self) -> tuple[IpNetwork, ...]:
        """The proxies that may say which address a client has.

        Those that the operator names; otherwise the machine itself. In a private network everybody could be one, and
        would choose the address by which failed sign-ins are counted.
        """
        return tuple(each for each in self.http.proxies if self._names_proxies or each.is_loopback)

    @property
    def level(self) -> Level:
        """The level to log at, wherever it was set."""
        return self.log.level or self.loglevel or "info"

    @property
    def open_registry(self) -> bool:
        """Whether everybody may do everything, as in a registry:2 whose file has no `auth`."""
        return self.auth.type == "none" or (self.auth.type == "" and self.source is Source.FILE)

    @property
    def has_accounts(self) -> bool:
        """Whether people sign in to accounts of this registry."""
        return self.auth.type == "accounts" or (self.auth.type == "" and not self.open_registry)

    @property
    def has_folder(self) -> bool:
        """Whether the blobs lie in a folder."""
        return self.storage.filesystem is not None

    @property
    def data(self) -> Path:
        """The folder that holds the blobs.

        Raises:
            ValueError: They lie in an object store; `has_folder` says so.
        """
        if self.storage.filesystem is None:
            raise ValueError("the storage is not a folder")
        return Path(self.storage.filesystem.rootdirectory)

    @property
    def shares_counts(self) -> bool:
        """Whether nodes add up requests in Redis: several can be there, and something is limited."""
        return self.redis.given and self.on_server and any(self.access.limits.rates.values())

    @property
    def on_server(self) -> bool:
        """Whether the databases are in PostgreSQL."""
        return self.metadata.on_server or self.database.on_server

    @property
    def has_state(self) -> bool:
        """Whether this registry has a folder of its own on this machine."""
        return self.has_folder or bool(self.metadata.folder)

    @property
    def state(self) -> Path:
        """The folder for what this registry keeps on its machine: within the data folder, or `metadata.folder`.

        SQLite's files lie there, where the databases are not in PostgreSQL.

        Raises:
            ValueError: It has none; `has_state` says so.
        """
        return self.data / "entrepot" if self.has_folder or not self.metadata.folder else Path(self.metadata.folder)

    @property
    def place(self) -> str:
        """Where the registry is, for people."""
        if self.has_state:
            return str((self.data if self.has_folder else self.state).absolute())
        return f"PostgreSQL and {self.storage.type}"

    def database_urls(self) -> tuple[str, str]:
        """Give the address of the PostgreSQL database, and the one that leads there without a pooler.

        Raises:
            OSError: A file that holds one cannot be read.
        """
        if self.metadata.on_server:
            url = read_url(self.metadata.url, self.metadata.urlfile)
        else:
            url = self.database.url.get_secret_value()
        return url, read_url(self.metadata.directurl, self.metadata.directurlfile) or url

    @property
    def database_connections(self) -> int:
        """Most connections of one process to PostgreSQL."""
        return self.database.pool.maxopen or self.metadata.pool.size

    @property
    def web_processes(self) -> int:
        """How many processes answer requests."""
        return self.workers or min(MOST_PROCESSES, len(os.sched_getaffinity(0)))

    @property
    def file_operations(self) -> int:
        """How many file operations one web process may do at a time: its share of `storage.filesystem.maxthreads`."""
        filesystem = self.storage.filesystem
        return 1 if filesystem is None else max(1, filesystem.maxthreads // self.web_processes)
