"""`storage`: where the bytes are, and what may be done to them."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from entrepot.config.section import Choice, Section
from entrepot.config.values import (
    NO_SECRET,
    Count,
    Duration,
    Flag,
    Opaque,
    Secret,
    Text,
    Url,
)

FEWEST_THREADS = 25

_DAY = 24 * 3600.0
_MIB = 2**20


def _at_least_fewest(threads: int) -> int:
    return max(threads, FEWEST_THREADS)


class Filesystem(Section):
    """Blobs in a folder, in registry:2's layout."""

    is_map: ClassVar[bool] = True

    rootdirectory: Text = "/var/lib/registry"
    """Folder of the registry. Its sub-folder `entrepot` holds the database."""
    maxthreads: Annotated[Count, AfterValidator(_at_least_fewest)] = 100
    """Most file operations at a time; less than 25 means 25, as in registry:2."""


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
    """Endpoint put into redirects, where clients reach the service under another name."""
    forcepathstyle: Flag | None = None
    """Puts the bucket into the path and not into the host name."""
    bucket: Text = ""
    """Name of the bucket."""
    encrypt: Flag = False
    """Asks for encryption at rest."""
    keyid: Text = ""
    """KMS key for encryption at rest."""
    secure: Flag = True
    """Uses HTTPS."""
    skipverify: Flag = False
    """Leaves the service's certificate unchecked."""
    v4auth: Flag = True
    """Signs requests by version 4, the only one left."""
    chunksize: Count = 10 * _MIB
    """Bytes of a part of an upload, at least 5 MiB."""
    multipartcopychunksize: Count = 32 * _MIB
    """Bytes of a part of a copy."""
    multipartcopymaxconcurrency: Count = 100
    """Most parts copied at a time."""
    multipartcopythresholdsize: Count = 32 * _MIB
    """Objects larger than this are copied in parts."""
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
    """What the S3 client logs."""


class AzureCredentials(Section):
    """How to sign in to Azure."""

    type: Text = ""
    """`client_secret`, `shared_key` or `default_credentials`."""
    clientid: Text = ""
    """Client of `client_secret`."""
    tenantid: Text = ""
    """Tenant of `client_secret`."""
    secret: Secret = NO_SECRET
    """Secret of `client_secret`."""


class Azure(Section):
    """Blobs in Azure Blob Storage."""

    is_map: ClassVar[bool] = True

    accountname: Text = ""
    """Storage account."""
    accountkey: Secret = NO_SECRET
    """Key of the account."""
    connectionstring: Secret = NO_SECRET
    """Connection string in place of name and key."""
    container: Text = ""
    """Name of the container."""
    credentials: AzureCredentials = AzureCredentials()
    """Another way to sign in than the account key."""
    realm: Text = "core.windows.net"
    """Domain of the service."""
    serviceurl: Url = ""
    """Endpoint of the service."""
    rootdirectory: Text = ""
    """Prefix of all names."""
    max_retries: Count = 5
    """Tries of a request. No variable can reach a key with an underscore."""
    retry_delay: Duration = 0.1
    """Pause between tries. No variable can reach a key with an underscore."""
    skipverify: Flag = False
    """Leaves the service's certificate unchecked."""


class Gcs(Section):
    """Blobs in Google Cloud Storage."""

    is_map: ClassVar[bool] = True

    bucket: Text = ""
    """Name of the bucket."""
    keyfile: Text = ""
    """File with a service account's key."""
    credentials: Opaque = Field(default_factory=dict)
    """Contents of such a file."""
    rootdirectory: Text = ""
    """Prefix of all names."""
    chunksize: Count = 16 * _MIB
    """Bytes of a part of an upload."""


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


class Inmemory(Section):
    """Blobs in memory, gone at the end of the process."""

    is_map: ClassVar[bool] = True


class Delete(Section):
    """Whether clients may delete."""

    is_map: ClassVar[bool] = True

    enabled: Flag = False
    """Lets clients delete tags, manifests and blobs. Without a configuration file it is true."""


class Redirect(Section):
    """Whether clients are sent to the storage service for blobs."""

    is_map: ClassVar[bool] = True

    disable: Flag = False
    """Passes all bytes through the registry. A folder has no service to redirect to, so there it changes nothing."""


class Cache(Section):
    """What registry:2 remembers about blobs. The database answers that here."""

    is_map: ClassVar[bool] = True

    blobdescriptor: Text = ""
    """`inmemory` or `redis`. Not needed: blob descriptors are in the database."""
    layerinfo: Text = ""
    """Old name of `blobdescriptor`."""
    blobdescriptorsize: Count = 10_000
    """Descriptors kept in memory."""

    @property
    def kind(self) -> str:
        """The cache asked for, by whichever name."""
        return self.blobdescriptor or self.layerinfo


class TagStorage(Section):
    """How tags are looked up."""

    is_map: ClassVar[bool] = True

    concurrencylimit: Count = 0
    """Most parallel look-ups of tags. Not needed: tags are in the database."""


class UploadPurging(Section):
    """Removal of uploads that nobody finished."""

    is_map: ClassVar[bool] = True

    enabled: Flag = True
    """Removes old uploads."""
    age: Duration = 7 * _DAY
    """Age from which an upload counts as abandoned."""
    interval: Duration = _DAY
    """Time between two runs."""
    dryrun: Flag = False
    """Only logs what would be removed."""


class ReadOnly(Section):
    """A registry that takes nothing."""

    is_map: ClassVar[bool] = True

    enabled: Flag = False
    """Refuses all pushes and deletes. It can also be switched while the registry runs."""


class Maintenance(Section):
    """Upkeep of the storage."""

    is_map: ClassVar[bool] = True

    uploadpurging: UploadPurging = UploadPurging()
    """Removal of uploads that nobody finished."""
    readonly: ReadOnly = ReadOnly()
    """A registry that takes nothing."""


class Storage(Choice):
    """Exactly one storage driver, and what may be done with it."""

    beside: ClassVar[frozenset[str]] = frozenset({"delete", "redirect", "cache", "tag", "maintenance"})
    noun: ClassVar[str] = "storage driver"

    filesystem: Filesystem | None = None
    """Blobs in a folder, in registry:2's layout."""
    s3: S3 | None = None
    """Blobs in Amazon S3 or a service that speaks its protocol. Still to come: stops the start."""
    azure: Azure | None = None
    """Blobs in Azure Blob Storage. Still to come: stops the start."""
    gcs: Gcs | None = None
    """Blobs in Google Cloud Storage. Still to come: stops the start."""
    inmemory: Inmemory | None = None
    """Blobs in memory. Stops the start."""
    swift: Swift | None = None
    """Blobs in OpenStack Swift. Stops the start."""
    oss: Oss | None = None
    """Blobs in Alibaba Cloud OSS. Stops the start."""
    delete: Delete = Delete()
    """Whether clients may delete."""
    redirect: Redirect = Redirect()
    """Whether clients are sent to the storage service for blobs."""
    cache: Cache = Cache()
    """What registry:2 remembers about blobs."""
    tag: TagStorage = TagStorage()
    """How tags are looked up."""
    maintenance: Maintenance = Maintenance()
    """Upkeep of the storage."""
