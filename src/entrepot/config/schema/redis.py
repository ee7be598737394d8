"""`redis`: registry:2's shape and registry:3's, which is that of the go-redis library."""

from pathlib import Path

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Count, Flag, Secret, SignedDuration, Text


class RedisPool(Section):
    """Connections kept open (registry:2)."""

    maxidle: Count = 0
    """Most idle connections."""
    maxactive: Count = 0
    """Most connections."""
    idletimeout: SignedDuration = 0.0
    """Life of an idle connection."""


class RedisTls(Section):
    """Encryption towards Redis."""

    enabled: Flag = False
    """Encrypts (registry:2)."""
    certificate: Text = ""
    """PEM file with our certificate."""
    key: Text = ""
    """PEM file with its key."""
    rootcas: tuple[Text, ...] = ()
    """PEM files with the authorities of the server's certificate."""
    clientcas: tuple[Text, ...] = ()
    """Old name of `rootcas`."""

    @property
    def is_on(self) -> bool:
        """Whether it encrypts: registry:3 says so by naming files."""
        return bool(self.enabled or self.certificate or self.rootcas or self.clientcas)

    def authorities(self) -> str | None:
        """Return the authorities' certificates in PEM; None for the system's.

        Raises:
            OSError: A file cannot be read.
        """
        return "".join(Path(file).read_text() for file in (*self.rootcas, *self.clientcas)) or None


class Redis(Section):
    """A Redis or Valkey server, where several nodes add up requests for `access.limits` ten times a second.

    Several of `addrs` are a cluster, with `mastername` sentinels. It may be away, emptied or wrong at any time: then
    the nodes add up in the database, once a second. On one machine nothing is shared by it, and a warning says so.
    """

    addr: Text = ""
    """Host and port (registry:2)."""
    addrs: tuple[Text, ...] = ()
    """Hosts and ports (registry:3)."""
    clientname: Text = ""
    """Name that this client gives itself."""
    db: Count = 0
    """Number of the database."""
    protocol: Count = 0
    """Version of the Redis protocol."""
    username: Text = ""
    """Name to sign in with."""
    password: Secret = NO_SECRET
    """Password to sign in with."""
    mastername: Text = ""
    """Master to ask the sentinels for."""
    sentinelusername: Text = ""
    """Name to sign in with at the sentinels."""
    sentinelpassword: Secret = NO_SECRET
    """Password to sign in with at the sentinels."""
    maxretries: Count = 0
    """Tries of a command; -1 for one."""
    minretrybackoff: SignedDuration = 0.0
    """Shortest pause between tries."""
    maxretrybackoff: SignedDuration = 0.0
    """Longest pause between tries."""
    dialtimeout: SignedDuration = 0.0
    """Longest wait for a connection."""
    readtimeout: SignedDuration = 0.0
    """Longest wait for an answer."""
    writetimeout: SignedDuration = 0.0
    """Longest wait for sending."""
    contexttimeoutenabled: Flag = False
    """Lets the request's deadline count too."""
    poolfifo: Flag = False
    """Uses the oldest idle connection first."""
    poolsize: Count = 0
    """Connections per processor."""
    pooltimeout: SignedDuration = 0.0
    """Longest wait for a free connection."""
    minidleconns: Count = 0
    """Least idle connections."""
    maxidleconns: Count = 0
    """Most idle connections."""
    maxactiveconns: Count = 0
    """Most connections."""
    connmaxidletime: SignedDuration = 0.0
    """Life of an idle connection."""
    connmaxlifetime: SignedDuration = 0.0
    """Life of a connection."""
    maxredirects: Count = 0
    """Redirects followed in a cluster."""
    readonly: Flag = False
    """Reads from replicas."""
    routebylatency: Flag = False
    """Reads from the quickest node."""
    routerandomly: Flag = False
    """Reads from any node."""
    disableidentity: Flag = False
    """Does not tell the server our library."""
    disableindentity: Flag = False
    """The same, as some versions of the library spell it."""
    identitysuffix: Text = ""
    """Suffix of the library's name."""
    unstableresp3: Flag = False
    """Uses unstable parts of the protocol."""
    pool: RedisPool = RedisPool()
    """Connections kept open (registry:2)."""
    tls: RedisTls = RedisTls()
    """Encryption towards Redis."""

    @property
    def given(self) -> bool:
        """Whether a server is named."""
        return bool(self.servers)

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers, by whichever key."""
        return self.addrs or ((self.addr,) if self.addr else ())
