"""The client of S3: how it signs, where its credentials come from, and bytes that are sent as they lie in memory."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import obstore.store
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import NoCredentialsError

import entrepot
from entrepot.adapters.blobs.objects.cloud import Payload
from entrepot.adapters.blobs.objects.s3_settings import S3Settings

_CONNECTIONS: Final = 64
_CONNECT_SECONDS: Final = 5
#: Without a byte for so long, a connection is given up.
_SILENCE_SECONDS: Final = 20
_SENT_AT_ONCE: Final = 256 << 10
#: Clocks that differ by less are the same: Amazon bears 15 minutes.
_SKEW: Final = dt.timedelta(minutes=2)
#: By how much the clock of each store is ahead of ours, by its host and port, where that was found out.
_AHEAD: dict[str, dt.timedelta] = {}


def now() -> dt.datetime:
    """Say what time it is by our clock."""
    return dt.datetime.now(dt.UTC)


class _ByStoresClock:
    """Signs at the time that the store believes it is."""

    def add_auth(self, request: AWSRequest) -> None:
        signer: Any = self
        if signer.credentials is None:
            raise NoCredentialsError
        moment = now() + _AHEAD.get(urlsplit(request.url).netloc, dt.timedelta())
        request.context["timestamp"] = moment.strftime(SIGV4_TIMESTAMP)
        signer._modify_request_before_signing(request)  # noqa: SLF001 - as the library's own does, but for the time
        signed = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        signer._inject_signature_to_request(request, signed)  # noqa: SLF001 - as above


class _Signer(_ByStoresClock, S3SigV4Auth):  # type: ignore[misc]
    """Signs the payload by a hash that is known already."""

    def payload(self, request: AWSRequest) -> str:
        if isinstance(request.body, Body):
            return request.body.sha256
        return str(super().payload(request))


class _UrlSigner(_ByStoresClock, S3SigV4QueryAuth):  # type: ignore[misc]
    """Signs URLs."""


AUTH_TYPE_MAPS["s3v4"] = _Signer
AUTH_TYPE_MAPS["s3v4-query"] = _UrlSigner


class Body:
    """Bytes that are sent in pieces, without a copy of the whole, and without a thread that reads them."""

    def __init__(self, payload: Payload) -> None:
        self._data = memoryview(payload.data)
        self._at = 0
        self.sha256 = payload.sha256.hex()

    def __len__(self) -> int:
        return len(self._data)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for start in range(0, len(self._data), _SENT_AT_ONCE):
            yield self._data[start : start + _SENT_AT_ONCE]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Let go of the bytes: the client's objects refer to each other, and keep what they have seen for a while."""
        self._data = memoryview(b"")

    def tell(self) -> int:
        """Say where it is, as a file does."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere, as a file does."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Give the next bytes, as a file does."""
        end = len(self._data) if size < 0 else self._at + size
        piece = bytes(self._data[self._at : end])
        self._at += len(piece)
        return piece


@dataclass(slots=True, kw_only=True)
class S3Client:
    """A client that runs, and where it speaks to."""

    client: Any
    signer: Any  #: signs URLs, which may be of another endpoint
    reader: obstore.store.S3Store
    session: AioSession
    stack: AsyncExitStack
    netloc: str

    @property
    def is_skewed(self) -> bool:
        """Tell whether our clock is known to be another than the store's."""
        return self.netloc in _AHEAD

    def correct_clock(self, theirs: dt.datetime) -> bool:
        """Sign by the store's clock from now on; False where that changes nothing."""
        ahead = theirs - now()
        if abs(ahead - _AHEAD.get(self.netloc, dt.timedelta())) < _SKEW:
            return False
        if abs(ahead) < _SKEW:
            del _AHEAD[self.netloc]
        else:
            _AHEAD[self.netloc] = ahead
        return True

    async def renew_credentials(self) -> None:
        """Let credentials that a source gave for some time count no more, so that it is asked again."""
        credentials: Any = await self.session.get_credentials()
        if hasattr(credentials, "_expiry_time"):
            credentials._expiry_time = dt.datetime.now(dt.UTC)  # noqa: SLF001 - it has no other way
            source: Any = getattr(credentials._refresh_using, "__self__", None)  # noqa: SLF001 - as above
            if source is not None and hasattr(source, "_cache"):
                source._cache.clear()  # noqa: SLF001 - as above

    async def close(self) -> None:
        """End all connections."""
        await self.stack.aclose()


async def open_client(settings: S3Settings) -> S3Client:
    """Make a client; nothing is asked yet, except a role's service for credentials."""
    session = AioSession()
    if settings.access_key:
        session.set_credentials(
            settings.access_key,
            settings.secret_key.get_secret_value(),
            settings.session_token.get_secret_value() or None,
        )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(session, settings, settings.endpoint))
        client.meta.events.register("before-sign.s3", _without_expect)
        signer = client
        if settings.redirect_endpoint:
            signer = await stack.enter_async_context(_client(session, settings, settings.redirect_endpoint))
        address = urlsplit(await client.generate_presigned_url("get_object", {"Bucket": settings.bucket, "Key": "k"}))
        reader = _reader(settings, f"{address.scheme}://{address.netloc}", session, in_path=address.path != "/k")
        return S3Client(
            client=client,
            signer=signer,
            reader=reader,
            session=session,
            stack=stack.pop_all(),
            netloc=address.netloc,
        )
    raise AssertionError  # the stack swallows nothing


def _client(session: AioSession, settings: S3Settings, endpoint: str | None) -> Any:
    return session.create_client(
        "s3",
        region_name=settings.region,
        endpoint_url=endpoint,
        verify=None if settings.verify else False,
        config=AioConfig(
            signature_version="s3v4",
            s3={
                "addressing_style": "path" if settings.path_style else "virtual",
                "use_accelerate_endpoint": settings.accelerate,
                "payload_signing_enabled": True,
            },
            use_dualstack_endpoint=settings.dual_stack,
            use_fips_endpoint=settings.fips,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_SILENCE_SECONDS,
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": 1, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_extra=settings.user_agent or f"entrepot/{entrepot.__version__}",
        ),
    )


def _without_expect(request: AWSRequest, **_more: object) -> None:
    """Do not wait until the store says that it wants the body: it does."""
    if "Expect" in request.headers:
        del request.headers["Expect"]


def _reader(settings: S3Settings, endpoint: str, session: AioSession, *, in_path: bool) -> obstore.store.S3Store:
    options: Any = {
        "allow_http": endpoint.startswith("http:"),
        "allow_invalid_certificates": not settings.verify,
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "read_timeout": f"{_SILENCE_SECONDS}s",
        "timeout": "30days",  # of a whole stream, which is as slow as its client
        "user_agent": settings.user_agent or f"entrepot/{entrepot.__version__}",
    }
    if authorities := os.environ.get("AWS_CA_BUNDLE"):
        options["root_certificate"] = Path(authorities).read_bytes()
    return obstore.store.S3Store(
        settings.bucket,
        endpoint=endpoint,
        region=settings.region,
        virtual_hosted_style_request=not in_path,
        client_options=options,
        retry_config={"max_retries": 0, "retry_timeout": dt.timedelta(seconds=1)},
        credential_provider=_credentials_of(session),
    )


def _credentials_of(session: AioSession) -> Any:
    """Give the credentials of the other client, wherever they come from, for as long as they last."""

    async def provide() -> dict[str, Any]:
        credentials = await session.get_credentials()
        if credentials is None:
            return {"access_key_id": "", "secret_access_key": "", "expires_at": _soon()}
        frozen = await credentials.get_frozen_credentials()
        given: dict[str, Any] = {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key}
        lasting = not hasattr(credentials, "refresh_needed")
        return given | {"token": frozen.token, "expires_at": None if lasting else _soon()}

    return provide


def _soon() -> dt.datetime:
    """Say when to ask again whether credentials were renewed, in a minute: the client asks five minutes early."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(minutes=6)
