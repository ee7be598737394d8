"""`redis`: registry:2's shape and registry:3's, which is that of the go-redis library."""

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


class Redis(Section):
    """A Redis server. Not used by this version: a warning says so."""

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
        return bool(self.addr or self.addrs)
