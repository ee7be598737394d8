"""`storage`: where the bytes are, and what may be done to them."""

import ipaddress
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from entrepot.config.schema.cloud_storage import S3, Azure, Gcs, Oss, Swift
from entrepot.config.schema.http import IpNetwork, Network
from entrepot.config.section import Choice, Section
from entrepot.config.values import Count, Duration, Flag, Size, Text

FEWEST_THREADS = 25

_DAY = 24 * 3600.0


def _at_least_fewest(threads: int) -> int:
    return max(threads, FEWEST_THREADS)


class Filesystem(Section):
    """Blobs in a folder, in registry:2's layout."""

    is_map: ClassVar[bool] = True

    rootdirectory: Text = "/var/lib/registry"
    """Folder of the registry. Its sub-folder `entrepot` holds the database."""
    maxthreads: Annotated[Count, AfterValidator(_at_least_fewest)] = 100
    """Most file operations at a time, all web processes together; less than 25 means 25, as in registry:2."""


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
    """Passes all bytes through the registry. A folder has no service to redirect to, so there it changes nothing,
    unless `middleware.storage` names one."""
    excepted: tuple[Network, ...] = Field(default=(), alias="except")
    """Networks of clients to which the registry passes the bytes itself, such as those that do not reach the storage.
    Our own key."""

    @property
    def except_networks(self) -> tuple[IpNetwork, ...]:
        """`except` as networks."""
        return tuple(map(ipaddress.ip_network, self.excepted))


class DiskCache(Section):
    """A folder in front of an object store, for blobs that pass through the registry (our own section)."""

    rootdirectory: Text = ""
    """Folder of this node, for its processes alone. Empty: no cache."""
    maxsize: Annotated[Size, Field(ge=64 << 20)] = 10 << 30
    """Most bytes in it, such as `50GiB`; what was not used for longest goes first. A blob larger than a quarter is not
    kept."""


class Cache(Section):
    """What registry:2 remembers about blobs, which the database answers here; and blobs near the registry."""

    is_map: ClassVar[bool] = True

    blobdescriptor: Text = ""
    """`inmemory` or `redis`. Not needed: blob descriptors are in the database."""
    layerinfo: Text = ""
    """Old name of `blobdescriptor`."""
    blobdescriptorsize: Count = 10_000
    """Descriptors that registry:2 keeps in memory. Not needed, as above."""
    disk: DiskCache = DiskCache()
    """A folder in front of an object store. Our own section."""

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


class OtherStorage(Choice):
    """Another storage driver."""

    noun: ClassVar[str] = "storage driver"

    filesystem: Filesystem | None = None
    """Blobs in a folder, in registry:2's layout."""
    s3: S3 | None = None
    """Blobs in Amazon S3 or a service that speaks its protocol."""
    azure: Azure | None = None
    """Blobs in Azure Blob Storage."""
    gcs: Gcs | None = None
    """Blobs in Google Cloud Storage."""


class Storage(Choice):
    """Exactly one storage driver, and what may be done with it."""

    beside: ClassVar[frozenset[str]] = frozenset({"also", "delete", "redirect", "cache", "tag", "maintenance"})
    noun: ClassVar[str] = "storage driver"

    filesystem: Filesystem | None = None
    """Blobs in a folder, in registry:2's layout."""
    s3: S3 | None = None
    """Blobs in Amazon S3 or a service that speaks its protocol."""
    azure: Azure | None = None
    """Blobs in Azure Blob Storage."""
    gcs: Gcs | None = None
    """Blobs in Google Cloud Storage."""
    inmemory: Inmemory | None = None
    """Blobs in memory. Stops the start."""
    swift: Swift | None = None
    """Blobs in OpenStack Swift. Stops the start."""
    oss: Oss | None = None
    """Blobs in Alibaba Cloud OSS. Stops the start."""
    also: OtherStorage = OtherStorage()
    """Another place whose blobs are read as well, while `entrepot storage move` moves them; no new ones go there."""
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
