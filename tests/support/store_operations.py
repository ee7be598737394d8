"""What a request asks of an object store, by the store's own name of it; and what such a store says when it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Kind = Literal["s3", "azure", "gcs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The head of a request."""

    method: str
    target: str
    headers: Mapping[str, str]  #: by lower-case name

    @property
    def path(self) -> str:
        """The path as sent."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The parameters, each once."""
        parsed = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[0] for name, values in parsed.items()}


def operation(kind: Kind, asked: Asked) -> str:
    """Name what is asked for, as the service's reference does."""
    return {"s3": _s3, "azure": _azure, "gcs": _gcs}[kind](asked)


def _s3(asked: Asked) -> str:
    query, method = asked.query, asked.method
    if "/" not in asked.path.strip("/"):
        return _s3_bucket(method, query)
    copied = "x-amz-copy-source" in asked.headers
    if "uploadId" in query:
        part = "UploadPartCopy" if copied else "UploadPart"
        return {"PUT": part, "POST": "CompleteMultipartUpload", "GET": "ListParts", "DELETE": "AbortMultipartUpload"}[
            method
        ]
    if method == "POST":
        return "CreateMultipartUpload"
    put = "CopyObject" if copied else "PutObject"
    return {"PUT": put, "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}[method]


def _s3_bucket(method: str, query: Mapping[str, str]) -> str:
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    if method != "GET":
        return {"HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}[method]
    if "uploads" in query:
        return "ListMultipartUploads"
    return "ListObjects" if query.keys() & {"list-type", "prefix", "marker", "delimiter"} else "GetBucket"


def _azure(asked: Asked) -> str:
    query, method = asked.query, asked.method
    comp = query.get("comp", "")
    if query.get("restype") == "container":
        return "ListBlobs" if comp == "list" else f"{method.title()}Container"
    named = {"block": "PutBlock", "blocklist": f"{method.title()}BlockList", "batch": "BlobBatch"}
    if comp:
        return named.get(comp, f"{method.title()}Blob{comp.title()}")
    if method == "PUT" and "x-ms-copy-source" in asked.headers:
        return "CopyBlob"
    return {"PUT": "PutBlob", "GET": "GetBlob", "HEAD": "GetBlobProperties", "DELETE": "DeleteBlob", "POST": "Post"}[
        method
    ]


def _gcs(asked: Asked) -> str:
    query, method = asked.query, asked.method
    if asked.path.startswith("/upload/") or "upload_id" in query:
        return _gcs_upload(asked)
    if not asked.path.startswith("/storage/"):
        return {"GET": "ReadObject", "HEAD": "ReadObject"}.get(method, method.title())
    if asked.path.rstrip("/").endswith("/o"):
        return "ListObjects"
    if "/o/" not in asked.path:
        return f"{method.title()}Bucket"
    post = "ComposeObject" if asked.path.endswith("/compose") else "CopyObject"
    read = "ReadObject" if query.get("alt") == "media" else "GetObject"
    return {"GET": read, "DELETE": "DeleteObject", "PATCH": "PatchObject", "POST": post}[method]


def _gcs_upload(asked: Asked) -> str:
    if "upload_id" not in asked.query:
        return "StartUpload" if asked.query.get("uploadType") == "resumable" else "InsertObject"
    if asked.method == "DELETE":
        return "CancelUpload"
    return "QueryUpload" if asked.headers.get("content-range", "").startswith("bytes */") else "UploadChunk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal in the words of each service: status and code."""

    s3: tuple[int, str]
    azure: tuple[int, str]
    gcs: tuple[int, str]

    def render(self, kind: Kind) -> tuple[int, dict[str, str], bytes]:
        """Give status, headers and body."""
        status, code = {"s3": self.s3, "azure": self.azure, "gcs": self.gcs}[kind]
        if kind == "gcs":
            error = {"code": status, "message": code, "errors": [{"reason": code, "message": code}]}
            return status, {"content-type": "application/json"}, json.dumps({"error": error}).encode()
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        headers = {"content-type": "application/xml"} | ({"x-ms-error-code": code} if kind == "azure" else {})
        return status, headers, body.encode()


SLOW_DOWN = Refusal(s3=(503, "SlowDown"), azure=(503, "ServerBusy"), gcs=(429, "rateLimitExceeded"))
INTERNAL_ERROR = Refusal(s3=(500, "InternalError"), azure=(500, "InternalError"), gcs=(500, "backendError"))
UNAVAILABLE = Refusal(s3=(503, "ServiceUnavailable"), azure=(503, "ServerBusy"), gcs=(503, "backendError"))
EXPIRED = Refusal(s3=(400, "ExpiredToken"), azure=(401, "InvalidAuthenticationInfo"), gcs=(401, "authError"))
CLOCK_SKEW = Refusal(s3=(403, "RequestTimeTooSkewed"), azure=(403, "AuthenticationFailed"), gcs=(401, "authError"))
DENIED = Refusal(s3=(403, "AccessDenied"), azure=(403, "AuthorizationFailure"), gcs=(403, "forbidden"))
