"""The drivers of `storage` that keep blobs in a service."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Count, Duration, Flag, Opaque, Secret, Text, Url, refuse

_MIB = 2**20
#: What a piece of an upload to Google Cloud Storage is a multiple of.
_QUARTER = _MIB // 4
_FEWEST_CONNECTIONS = 25


def _in_quarters(size: int) -> int:
    if size <= 0 or size % _QUARTER:
        raise refuse(f"must be a multiple of 256 KiB ({_QUARTER})")
    return size


def _known_type(name: str) -> str:
    if name not in {"", "client_secret", "shared_key", "default_credentials"}:
        raise refuse("must be client_secret, shared_key or default_credentials")
    return name


def _root(folder: str) -> str:
    root = folder.strip("/")
    return f"{root}/" if root else ""


def _at_least_25(connections: int) -> int:
    return max(connections, _FEWEST_CONNECTIONS)


class S3(Section):
    """Blobs in Amazon S3 or a service that speaks its protocol."""

    is_map: ClassVar[bool] = True

    accesskey: Text = ""
    """Access key; without it the usual places of the AWS tools are searched."""
    secretkey: Secret = NO_SECRET
    """Secret key."""
    sessiontoken: Secret = NO_SECRET
    """Session token of temporary credentials."""
    region: Text = ""
    """AWS region."""
    regionendpoint: Url = ""
    """Endpoint of a service other than AWS."""
    redirectendpoint: Url = ""
    """Endpoint that clients are sent to, where they reach the service under another name."""
    forcepathstyle: Flag | None = None
    """Puts the bucket into the path and not into the host name. Not set, it is true where `regionendpoint` is set."""
    bucket: Text = ""
    """Name of the bucket."""
    encrypt: Flag = False
    """Asks for encryption at rest, by the store's own key or by `keyid`."""
    keyid: Text = ""
    """KMS key for encryption at rest; without `encrypt` only the key is named."""
    secure: Flag = True
    """Uses HTTPS, where `regionendpoint` does not say."""
    skipverify: Flag = False
    """Leaves the service's certificate unchecked."""
    v4auth: Flag = True
    """Signs requests by version 4, the only one left."""
    chunksize: Count = 8 * _MIB
    """Bytes of the first parts of a large blob, at least 5 MiB; later parts are larger. registry:2 takes 10 MiB."""
    multipartcopychunksize: Count = 32 * _MIB
    """Bytes of a part of a copy. Not needed: nothing is copied."""
    multipartcopymaxconcurrency: Count = 100
    """Most parts copied at a time. Not needed, as above."""
    multipartcopythresholdsize: Count = 32 * _MIB
    """Objects larger than this are copied in parts. Not needed, as above."""
    rootdirectory: Text = ""
    """Prefix of all keys."""
    storageclass: Text = "STANDARD"
    """Storage class of new objects."""
    objectacl: Text = "private"
    """Canned ACL of new objects."""
    useragent: Text = ""
    """User-Agent of requests."""
    usedualstack: Flag = False
    """Uses endpoints with IPv6."""
    accelerate: Flag = False
    """Uses S3 transfer acceleration."""
    usefipsendpoint: Flag = False
    """Uses FIPS endpoints."""
    loglevel: Text = "off"
    """What registry:2's client logs. Here requests to the store are in the metrics, and what fails is in the log."""


class AzureCredentials(Section):
    """How to sign in to Azure."""

    type: Annotated[Text, AfterValidator(_known_type)] = ""
    """`client_secret`: an application of Entra ID by its secret; `default_credentials`: the identity of the place where
    the registry runs (environment, workload identity, managed identity); `shared_key`: `accountkey`. Without it,
    `shared_key` where there is a key, else `default_credentials`."""
    clientid: Text = ""
    """Client of `client_secret`."""
    tenantid: Text = ""
    """Tenant of `client_secret`."""
    secret: Secret = NO_SECRET
    """Secret of `client_secret`."""

    @property
    def is_whole(self) -> bool:
        """Tell whether all is there that the type needs."""
        return self.type != "client_secret" or bool(self.clientid and self.tenantid and self.secret.get_secret_value())


class Azure(Section):
    """Blobs in Azure Blob Storage."""

    is_map: ClassVar[bool] = True

    accountname: Text = ""
    """Storage account."""
    accountkey: Secret = NO_SECRET
    """Key of the account."""
    connectionstring: Secret = NO_SECRET
    """Connection string in place of name, key and endpoint. One with a shared access signature serves, but clients are
    sent nowhere then."""
    container: Text = ""
    """Name of the container."""
    credentials: AzureCredentials = AzureCredentials()
    """Another way to sign in than the account key."""
    realm: Text = "core.windows.net"
    """Domain of the service."""
    serviceurl: Url = ""
    """Endpoint of the service; without it `https://ACCOUNTNAME.blob.REALM`."""
    rootdirectory: Text = ""
    """Prefix of all names. registry:2 knows none and begins its names with a slash: where only such are there, they are
    used."""
    max_retries: Count = 5
    """How often a request that failed is sent again; three times at most. No variable can reach a key with an
    underscore."""
    retry_delay: Duration = 0.1
    """Pause before the first of them; later ones are longer. No variable can reach a key with an underscore."""
    skipverify: Flag = False
    """Leaves the service's certificate unchecked."""

    @property
    def root(self) -> str:
        """What all names begin with; slashes at both ends of `rootdirectory` count for nothing."""
        return _root(self.rootdirectory)


class Gcs(Section):
    """Blobs in Google Cloud Storage."""

    is_map: ClassVar[bool] = True

    bucket: Text = ""
    """Name of the bucket."""
    keyfile: Text = ""
    """File with a service account's key. Without it and `credentials`, Google's default credentials are looked for: the
    file that `GOOGLE_APPLICATION_CREDENTIALS` names (also of workload identity federation), then the machine's
    metadata server."""
    credentials: Opaque = Field(default_factory=dict)
    """Contents of such a file."""
    rootdirectory: Text = ""
    """Prefix of all names."""
    chunksize: Annotated[Count, AfterValidator(_in_quarters)] = 8 * _MIB
    """Bytes of the first pieces of a large blob, a multiple of 256 KiB; later pieces are larger. registry:2 takes
    16 MiB."""
    maxconcurrency: Annotated[Count, AfterValidator(_at_least_25)] = 50
    """Most connections of a process to the service; less than 25 means 25, as in registry:2."""
    useragent: Text = ""
    """User-Agent of requests."""

    @property
    def root(self) -> str:
        """What all names begin with; slashes at both ends of `rootdirectory` count for nothing."""
        return _root(self.rootdirectory)


class Swift(Section):
    """Blobs in OpenStack Swift (registry:2 only)."""

    is_map: ClassVar[bool] = True

    username: Text = ""
    """Name to sign in with."""
    password: Secret = NO_SECRET
    """Password to sign in with."""
    authurl: Url = ""
    """Endpoint to sign in at."""
    tenant: Text = ""
    """Tenant by name."""
    tenantid: Text = ""
    """Tenant by id."""
    domain: Text = ""
    """Domain by name."""
    domainid: Text = ""
    """Domain by id."""
    insecureskipverify: Flag = False
    """Leaves the service's certificate unchecked."""
    region: Text = ""
    """Region."""
    container: Text = ""
    """Name of the container."""
    rootdirectory: Text = ""
    """Prefix of all names."""


class Oss(Section):
    """Blobs in Alibaba Cloud OSS (registry:2 only)."""

    is_map: ClassVar[bool] = True

    accesskeyid: Text = ""
    """Access key."""
    accesskeysecret: Secret = NO_SECRET
    """Secret of the key."""
    region: Text = ""
    """Region."""
    endpoint: Url = ""
    """Endpoint of the service."""
    internal: Flag = False
    """Uses the internal endpoint."""
    bucket: Text = ""
    """Name of the bucket."""
    encrypt: Flag = False
    """Asks for encryption at rest."""
    secure: Flag = True
    """Uses HTTPS."""
    chunksize: Count = 10 * _MIB
    """Bytes of a part of an upload."""
    rootdirectory: Text = ""
    """Prefix of all names."""
