"""What `storage.s3` says, made ready for the client: registry:2's keys, with what both of its versions make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from entrepot.config.schema.cloud_storage import S3
from entrepot.config.values import NO_SECRET

#: Where a service other than AWS does not care: what signatures are made for.
_ANY_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """One bucket and how it is spoken to."""

    bucket: str
    region: str
    #: Of a service other than AWS; None for AWS.
    endpoint: str | None
    root: str
    access_key: str = ""
    secret_key: SecretStr = NO_SECRET
    session_token: SecretStr = NO_SECRET
    path_style: bool = False
    verify: bool = True
    first_part: int
    #: Headers of whatever makes an object, under the names that the client knows.
    object_headers: dict[str, str] = field(default_factory=dict)
    #: Where clients reach the store, when that is not the endpoint.
    redirect_endpoint: str | None = None
    user_agent: str = ""
    dual_stack: bool = False
    accelerate: bool = False
    fips: bool = False

    @classmethod
    def of(cls, section: S3) -> S3Settings:
        """Read the section, which is right as `config.support` says."""
        return cls(
            bucket=section.bucket,
            region=section.region or _ANY_REGION,
            endpoint=_endpoint(section.regionendpoint, secure=section.secure),
            root=_root(section.rootdirectory),
            access_key=section.accesskey,
            secret_key=section.secretkey,
            session_token=section.sessiontoken,
            # 2.8.3 puts the bucket into the path where an endpoint is named, 3.x only where it is told to.
            path_style=bool(section.regionendpoint) if section.forcepathstyle is None else section.forcepathstyle,
            verify=not section.skipverify,
            first_part=section.chunksize,
            object_headers=dict(_object_headers(section)),
            redirect_endpoint=_endpoint(section.redirectendpoint, secure=section.secure),
            user_agent=section.useragent,
            dual_stack=section.usedualstack,
            accelerate=section.accelerate,
            fips=section.usefipsendpoint,
        )


def _endpoint(address: str, *, secure: bool) -> str | None:
    if not address:
        return None
    return address if urlsplit(address).scheme in {"http", "https"} else f"http{'s' * secure}://{address}"


def _root(folder: str) -> str:
    """Give the beginning of all names; registry:2 leaves slashes off at both ends."""
    root = folder.strip("/")
    return f"{root}/" if root else ""


def _object_headers(section: S3) -> Iterator[tuple[str, str]]:
    if section.encrypt:
        yield "ServerSideEncryption", "aws:kms" if section.keyid else "AES256"
    if section.keyid:
        yield "SSEKMSKeyId", section.keyid
    storage_class = section.storageclass.upper()
    if storage_class not in {"", "NONE", "STANDARD"}:
        yield "StorageClass", storage_class
    if section.objectacl != "private":  # which is what an object is without it, also where a bucket takes no ACL
        yield "ACL", section.objectacl
