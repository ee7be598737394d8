"""What S3 and those who speak like it say when something is wrong, in words of our own, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as NoConnection,
)

from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudError, CloudRefused, NoMultipart, NoObject

_SLOW: Final = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"})
_BUSY: Final = frozenset(
    {
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "RequestTimeoutException",
        "OperationAborted",
        # The bytes were changed on their way.
        "BadDigest",
        "XAmzContentSHA256Mismatch",
        "XAmzContentChecksumMismatch",
        "IncompleteBody",
    }
)
#: Answers that mean that credentials are over, and that there may be newer ones.
EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
#: The answer to a request whose time is not the store's.
SKEWED: Final = "RequestTimeTooSkewed"
NO_BUCKET: Final = "there is no bucket of this name; make it, or correct storage.s3.bucket"
_ADVICE: Final = {
    "NoSuchBucket": NO_BUCKET,
    "InvalidAccessKeyId": "it does not know the access key; correct storage.s3.accesskey, or where it comes from",
    "SignatureDoesNotMatch": "the secret key is not the access key's; correct storage.s3.secretkey",
    "InvalidToken": "the session token is not the access key's; correct storage.s3.sessiontoken",
    "AccessDenied": "the credentials may not do this; they need to read, write, delete and list objects of the bucket",
    "Forbidden": "the credentials may not do this; they need to read, write, delete and list objects of the bucket",
    "PermanentRedirect": "the bucket is in another region; correct storage.s3.region or regionendpoint",
    "AuthorizationHeaderMalformed": "the bucket is in another region; correct storage.s3.region",
    "IllegalLocationConstraintException": "the bucket is in another region; correct storage.s3.region",
    "KMS.NotFoundException": "there is no such KMS key; correct storage.s3.keyid",
    "KMS.DisabledException": "the KMS key is disabled; enable it, or name another one in storage.s3.keyid",
    "AccessControlListNotSupported": "the bucket takes no ACL; remove storage.s3.objectacl",
    "InvalidStorageClass": "it does not know the storage class; correct storage.s3.storageclass",
    "QuotaExceeded": "its quota is used up",
    SKEWED: "the clocks of this machine and of the store differ; set this machine's clock by NTP",
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the client raises into the errors of `cloud`."""
    try:
        yield
    except ClientError as error:
        raise fact(error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise CloudRefused(
            "there are no credentials; set storage.s3.accesskey and secretkey, or give them by the environment, a file "
            "or a role"
        ) from error
    except (EndpointConnectionError, NoConnection, HTTPClientError, ResponseStreamingError) as error:
        raise CloudBusy(f"no connection: {type(error).__name__}") from error
    except (CredentialRetrievalError, MetadataRetrievalError) as error:
        raise CloudBusy(f"credentials cannot be had: {type(error).__name__}") from error
    except BotoCoreError as error:
        raise CloudRefused(f"the client cannot ask: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CloudBusy(f"the connection broke: {type(error).__name__}") from error


def code_of(error: ClientError) -> str:
    """Give the code of an answer; of one without a body its status."""
    answer: dict[str, Any] = error.response
    return str(answer.get("Error", {}).get("Code", ""))


def fact(error: ClientError) -> CloudError:
    """Say what an answer means."""
    code, status = code_of(error), int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"}:
        return NoMultipart(code)
    if code in {"NoSuchKey", "404", "NotFound"}:
        return NoObject(code)
    if code in _SLOW or status == HTTPStatus.TOO_MANY_REQUESTS:
        return CloudBusy(code, slow_down=True)
    if code in _BUSY or code in EXPIRED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return CloudBusy(f"{code or 'an answer'} ({status})")
    name = {"403": "Forbidden", "301": "PermanentRedirect"}.get(code, code)
    return CloudRefused(_ADVICE.get(name, f"{name}: {error.response.get('Error', {}).get('Message', '')[:200]}"))
