"""What can go wrong in a registry: one exception class per fact, each with the code that the client sees.

    RegistryError
     ├── BlobUnknown                  BLOB_UNKNOWN
     ├── BlobInUse                    UNSUPPORTED                 .references
     ├── BlobUploadUnknown            BLOB_UPLOAD_UNKNOWN
     ├── BlobUploadInvalid            BLOB_UPLOAD_INVALID
     ├── DigestInvalid                DIGEST_INVALID
     ├── ManifestUnknown              MANIFEST_UNKNOWN
     ├── ManifestInvalid              MANIFEST_INVALID
     ├── ManifestTooLarge             MANIFEST_INVALID
     ├── ManifestBlobUnknown          MANIFEST_BLOB_UNKNOWN       .detail: the missing digests
     ├── NameInvalid                  NAME_INVALID
     ├── NameUnknown                  NAME_UNKNOWN
     ├── TagInvalid                   TAG_INVALID
     ├── SizeInvalid                  SIZE_INVALID
     ├── RangeInvalid                 RANGE_INVALID
     │    ├── UploadRangeInvalid      RANGE_INVALID               .offset: where the session stands
     │    └── BlobRangeInvalid        RANGE_INVALID               .size: of the whole blob
     ├── PaginationNumberInvalid      PAGINATION_NUMBER_INVALID
     ├── Unauthorized                 UNAUTHORIZED                .scopes, .error: for the challenge
     ├── Denied                       DENIED
     │    ├── TagImmutable            DENIED                      .tag
     │    └── QuotaExceeded           DENIED                      .project, .excess, .manifests: beyond its limit
     ├── Unsupported                  UNSUPPORTED
     ├── TooManyRequests              TOOMANYREQUESTS             .retry_after
     ├── Unavailable                  UNAVAILABLE                 .retry_after
     ├── InsufficientStorage          UNAVAILABLE
     ├── RequestTimeout               UNAVAILABLE
     ├── HeaderTooLarge               UNSUPPORTED
     ├── HostInvalid                  UNSUPPORTED
     └── UriTooLong                   UNSUPPORTED

The first line of a class's docstring is its default message. The HTTP status belongs to the web layer, which keeps the
one table from class or code to status; nothing here knows HTTP.
"""

from enum import StrEnum
from typing import ClassVar

from entrepot.oci.scope import Scope


class ErrorCode(StrEnum):
    """The error codes of the OCI distribution specification, and those the Docker registry added."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    MANIFEST_UNVERIFIED = "MANIFEST_UNVERIFIED"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    PAGINATION_NUMBER_INVALID = "PAGINATION_NUMBER_INVALID"
    RANGE_INVALID = "RANGE_INVALID"
    SIZE_INVALID = "SIZE_INVALID"
    TAG_INVALID = "TAG_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


class RegistryError(Exception):
    """The registry could not do what was asked."""

    code: ClassVar[ErrorCode] = ErrorCode.UNKNOWN

    def __init__(self, message: str | None = None, *, detail: object = None) -> None:
        """Keep the message, or the class's own first docstring line, and data that explains it (JSON values only)."""
        self.message = message or _default_message(type(self))
        self.detail = detail
        super().__init__(self.message)


def _default_message(kind: type[RegistryError]) -> str:
    """Read the default message; under ``python -OO`` there are no docstrings and the code has to do."""
    return (kind.__doc__ or kind.code).splitlines()[0].rstrip(".")


class BlobUnknown(RegistryError):
    """Blob unknown to registry."""

    code = ErrorCode.BLOB_UNKNOWN


class BlobInUse(RegistryError):
    """The blob is still used by manifests; delete those first."""

    code = ErrorCode.UNSUPPORTED

    def __init__(self, references: int, message: str | None = None) -> None:
        """Say how many manifests use the blob."""
        self.references = references
        super().__init__(message, detail={"references": references})


class BlobUploadUnknown(RegistryError):
    """Blob upload unknown to registry; start a new upload."""

    code = ErrorCode.BLOB_UPLOAD_UNKNOWN


class BlobUploadInvalid(RegistryError):
    """Blob upload invalid."""

    code = ErrorCode.BLOB_UPLOAD_INVALID


class DigestInvalid(RegistryError):
    """The digest is malformed, uses an unsupported algorithm, or does not match the content."""

    code = ErrorCode.DIGEST_INVALID


class ManifestUnknown(RegistryError):
    """Manifest unknown to registry."""

    code = ErrorCode.MANIFEST_UNKNOWN


class ManifestInvalid(RegistryError):
    """Manifest invalid."""

    code = ErrorCode.MANIFEST_INVALID


class ManifestTooLarge(RegistryError):
    """The manifest is larger than this registry accepts."""

    code = ErrorCode.MANIFEST_INVALID


class ManifestBlobUnknown(RegistryError):
    """The manifest refers to content that this repository does not have; push that first.

    ``detail`` is a list of ``{"digest": text}``, one for each that is missing.
    """

    code = ErrorCode.MANIFEST_BLOB_UNKNOWN


class NameInvalid(RegistryError):
    """Invalid repository name."""

    code = ErrorCode.NAME_INVALID


class NameUnknown(RegistryError):
    """Repository name not known to registry."""

    code = ErrorCode.NAME_UNKNOWN


class TagInvalid(RegistryError):
    """Invalid tag name."""

    code = ErrorCode.TAG_INVALID


class SizeInvalid(RegistryError):
    """The length received differs from the length announced."""

    code = ErrorCode.SIZE_INVALID


class RangeInvalid(RegistryError):
    """Invalid range."""

    code = ErrorCode.RANGE_INVALID


class UploadRangeInvalid(RangeInvalid):
    """The chunk does not start where the upload stands; ask for its status and continue there."""

    def __init__(self, offset: int | None = None, message: str | None = None) -> None:
        """Keep the session's offset, ``None`` where only the header was looked at."""
        self.offset = offset
        super().__init__(message, detail=None if offset is None else {"offset": offset})


class BlobRangeInvalid(RangeInvalid):
    """The range lies outside of the blob."""

    def __init__(self, size: int, message: str | None = None) -> None:
        """Keep the blob's size, which the answer's Content-Range has to tell."""
        self.size = size
        super().__init__(message, detail={"size": size})


class PaginationNumberInvalid(RegistryError):
    """Invalid number of results requested."""

    code = ErrorCode.PAGINATION_NUMBER_INVALID


class Unauthorized(RegistryError):
    """Authentication required.

    ``scopes`` are what the request needs; ``error`` is ``"invalid_token"`` or ``"insufficient_scope"`` where the
    Bearer challenge should say so (RFC 6750 section 3.1).
    """

    code = ErrorCode.UNAUTHORIZED

    def __init__(
        self,
        message: str | None = None,
        *,
        detail: object = None,
        scopes: tuple[Scope, ...] = (),
        error: str | None = None,
    ) -> None:
        """Keep what the challenge is made of."""
        self.scopes = scopes
        self.error = error
        super().__init__(message, detail=detail)


class Denied(RegistryError):
    """Requested access to the resource is denied."""

    code = ErrorCode.DENIED


class TagImmutable(Denied):
    """A rule of the project keeps this tag where it is."""

    def __init__(self, tag: str, rule: int) -> None:
        """Say which rule of the project it is, by its number."""
        self.tag = tag
        super().__init__(
            f"Tag {tag} is immutable by rule {rule} of its project: it can be neither moved nor deleted. Push under "
            "another tag, or have the rule changed.",
            detail={"tag": tag, "rule": rule},
        )


class QuotaExceeded(Denied):
    """The project has no room for this."""

    def __init__(
        self, message: str, *, project: int, excess: int = 0, manifests: int = 0, detail: object = None
    ) -> None:
        """Say by how many bytes or manifests the project (by its row id) would be over; 0 where that is not it."""
        self.project = project
        self.excess = excess
        self.manifests = manifests
        super().__init__(message, detail=detail)


class Unsupported(RegistryError):
    """The operation is unsupported."""

    code = ErrorCode.UNSUPPORTED


class TooManyRequests(RegistryError):
    """Too many requests; try again later."""

    code = ErrorCode.TOOMANYREQUESTS

    def __init__(self, retry_after: int = 1, message: str | None = None) -> None:
        """Say after how many seconds to try again."""
        self.retry_after = retry_after
        super().__init__(message)


class Unavailable(RegistryError):
    """The registry is not available at the moment; try again later."""

    code = ErrorCode.UNAVAILABLE

    def __init__(self, retry_after: int = 1, message: str | None = None) -> None:
        """Say after how many seconds to try again."""
        self.retry_after = retry_after
        super().__init__(message)


class InsufficientStorage(RegistryError):
    """The registry's storage is full."""

    code = ErrorCode.UNAVAILABLE


class RequestTimeout(RegistryError):
    """The request's body came too slowly."""

    code = ErrorCode.UNAVAILABLE


class HeaderTooLarge(RegistryError):
    """The request's headers are too large or too many."""

    code = ErrorCode.UNSUPPORTED


class UriTooLong(RegistryError):
    """The request's URI is too long."""

    code = ErrorCode.UNSUPPORTED


class HostInvalid(RegistryError):
    """The request does not say plainly which host it is for."""

    code = ErrorCode.UNSUPPORTED
