"""`metadata`: where the databases are; and `database`, which says the same in the words of GitLab's registry."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from pydantic import BeforeValidator, Field, SecretStr

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Count, Duration, Flag, Secret, Text, lowered

#: How an address of a PostgreSQL server begins.
SCHEMES = ("postgresql://", "postgres://")
_PORT = 5432


class MetadataPool(Section):
    """Connections that one process keeps to PostgreSQL."""

    size: Count = Field(default=8, ge=2, le=1000)
    """Most connections of one process for transactions and lists; three more are for what pulls ask and for locks.
    There is a process for each worker, and one for jobs."""


class Metadata(Section):
    """Where the databases are (our own section). By default SQLite files in the folder of the blobs."""

    url: Secret = NO_SECRET
    """Address of a PostgreSQL database, such as `postgresql://entrepot:PASSWORD@db.example/entrepot`. Several hosts are
    separated by commas. `ENTREPOT_METADATA_URL` outweighs it. The secret key has to be given with it."""
    urlfile: Text = ""
    """File that holds `url`, to keep it out of the configuration. `ENTREPOT_METADATA_URL_FILE` outweighs it."""
    directurl: Secret = NO_SECRET
    """The same database without a pooler in between, for locks that last. Empty: `url` leads there directly."""
    directurlfile: Text = ""
    """File that holds `directurl`."""
    folder: Text = ""
    """Folder on a local disk for SQLite files where the blobs lie in an object store and there is no PostgreSQL."""
    synchronous: Annotated[Literal["require", ""], BeforeValidator(lowered)] = ""
    """`require`: refuse to start unless PostgreSQL waits for a standby at each commit, so that a failover loses nothing
    that was acknowledged."""
    pool: MetadataPool = MetadataPool()
    """Connections to PostgreSQL."""

    @property
    def on_server(self) -> bool:
        """Whether a server is named."""
        return bool(self.url.get_secret_value() or self.urlfile)


class DatabasePool(Section):
    """Connections kept open (GitLab's keys)."""

    maxidle: Count = 0
    """Most idle connections. Not needed: idle ones end after a while."""
    maxopen: Count = Field(default=0, ge=0, le=1000)
    """Most connections of one process; 0 for `metadata.pool.size`."""
    maxlifetime: Duration = 0.0
    """Life of a connection. Not needed."""
    maxidletime: Duration = 0.0
    """Life of an idle connection. Not needed."""


class Database(Section):
    """A PostgreSQL database in the words of GitLab's registry; another way to write `metadata.url`."""

    enabled: Annotated[Literal["true", "false", "prefer", ""], BeforeValidator(lowered)] = ""
    """`true` or `prefer`: the metadata are there."""
    host: Text = ""
    """Name or address of the server."""
    port: Count = Field(default=_PORT, ge=1, le=65535)
    """Its port."""
    user: Text = ""
    """Name to sign in with."""
    password: Secret = NO_SECRET
    """Password to sign in with."""
    dbname: Text = ""
    """Name of the database."""
    sslmode: Text = ""
    """How TLS is used: `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`."""
    sslcert: Text = ""
    """PEM file with our certificate."""
    sslkey: Text = ""
    """PEM file with its key."""
    sslrootcert: Text = ""
    """PEM file with the authorities of the server's certificate."""
    connecttimeout: Duration = 0.0
    """Longest wait for a connection. Not needed."""
    draintimeout: Duration = 0.0
    """Longest wait for the end of what runs. Not needed."""
    preparedstatements: Flag = False
    """Keeps statements prepared. Not needed: they are kept where that works."""
    primary: Text = ""
    """Name by which the primary is found. Not needed: name all hosts in `metadata.url`."""
    pool: DatabasePool = DatabasePool()
    """Connections kept open."""

    @property
    def on_server(self) -> bool:
        """Whether the metadata are to be there."""
        return self.enabled in {"true", "prefer"}

    @property
    def url(self) -> SecretStr:
        """The address that these keys describe."""
        password = self.password.get_secret_value()
        who = quote(self.user, safe="") + (f":{quote(password, safe='')}" if password else "")
        modes = {name: getattr(self, name) for name in ("sslmode", "sslcert", "sslkey", "sslrootcert")}
        query = urlencode({name: value for name, value in modes.items() if value})
        place = f"{self.host}:{self.port}/{quote(self.dbname, safe='')}"
        return SecretStr(f"postgresql://{who}@{place}".replace("//@", "//") + (f"?{query}" if query else ""))


def read_url(url: SecretStr, file: str) -> str:
    """Give an address that stands in the configuration, or in a file of its own.

    Raises:
        OSError: The file cannot be read.
    """
    return Path(file).read_text(encoding="utf-8").strip() if file else url.get_secret_value()
