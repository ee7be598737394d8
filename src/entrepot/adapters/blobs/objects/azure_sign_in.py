"""How the registry signs in to Azure Blob Storage, and how it lets clients in for some minutes.

As in registry:2 and registry:3: a connection string or a key of the account; else an identity of Entra ID, by a secret
or by where the registry runs (environment, workload identity, managed identity), whose tokens are renewed as they
expire.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential
from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from entrepot.adapters.blobs.objects.cloud import in_pieces
from entrepot.config.schema.cloud_storage import Azure

_log = logging.getLogger(__name__)

_SCOPE = "https://storage.azure.com/.default"
#: Of the interface that blobs are read by.
_VERSION = "2023-11-03"
#: Bytes that are sent without letting others have the event loop meanwhile.
_LARGE = 256 << 10
#: Seconds within which a read begins.
_READ_SECONDS = 300
#: By so much a clock may be off: Azure believes a quarter of an hour.
_OFF = timedelta(minutes=5)
#: Seconds that a key holds which was made for signing; it is replaced after half of them.
_KEY_HOLDS = 4 * 3600


@dataclass(slots=True)
class Clock:
    """What time it is at the store, which refuses requests of another time."""

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        """Say the store's time."""
        return datetime.now(UTC) + self.ahead

    def learn(self, date: str | None) -> bool:
        """Take the time from a refusal, and tell whether that may have been its reason."""
        if not date:
            return False
        ahead = parsedate_to_datetime(date) - datetime.now(UTC)
        if abs(ahead - self.ahead) < _OFF:
            return False
        _log.warning("the clock of Azure Blob Storage is %d seconds ahead of ours", ahead.total_seconds())
        self.ahead = ahead
        return True

    def prepare(self, request: Any) -> None:
        """Let a request that is to be signed carry the store's time, and send a large body in pieces."""
        asked = request.http_request
        asked.headers["x-ms-date"] = format_datetime(self.now(), usegmt=True)
        if isinstance(asked.data, bytes) and len(asked.data) > _LARGE:
            asked.data = in_pieces(asked.data)


@dataclass(slots=True)
class SignedIn:
    """A client of the account, and what signs addresses with it."""

    client: BlobServiceClient
    #: None where a connection string brings an address that somebody else signed.
    signer: Signer | None
    clock: Clock
    identity: AsyncTokenCredential | None = None

    async def reading(self, blob: BlobClient) -> tuple[str, dict[str, str]]:
        """Give the address at which the registry itself reads a blob, and the fields that let it in."""
        if self.identity is not None:
            token = await self.identity.get_token(_SCOPE)
            return blob.url, {"Authorization": f"Bearer {token.token}", "x-ms-version": _VERSION}
        if self.signer is not None:
            return await self.signer.sign(blob, _READ_SECONDS), {}
        return blob.url, {}

    async def close(self) -> None:
        """End its connections."""
        await self.client.close()
        if self.identity is not None:
            await self.identity.close()


def sign_in(section: Azure) -> SignedIn:
    """Make a client of the account that a configuration names. Nobody is asked yet.

    Raises:
        ValueError: The connection string or the key is none.
    """
    # `calls.py` repeats what failed, so the client does not.
    clock = Clock()
    options: dict[str, Any] = {"retry_total": 0, "connection_timeout": 5, "read_timeout": 20}
    options["raw_request_hook"] = clock.prepare
    if section.skipverify:
        options["connection_verify"] = False
    text, key = section.connectionstring.get_secret_value(), section.accountkey.get_secret_value()
    if text:
        client = BlobServiceClient.from_connection_string(text, **options)
        held = getattr(client.credential, "account_key", None)
        return SignedIn(client, Signer(client, clock, held) if held else None, clock)
    url = section.serviceurl or f"https://{section.accountname}.blob.{section.realm}"
    if key and section.credentials.type in {"", "shared_key"}:
        named = {"account_name": section.accountname, "account_key": key}
        client = BlobServiceClient(url, credential=named, **options)
        return SignedIn(client, Signer(client, clock, key), clock)
    identity = _identity(section)
    client = BlobServiceClient(url, credential=identity, **options)
    return SignedIn(client, Signer(client, clock, None), clock, identity)


def _identity(section: Azure) -> AsyncTokenCredential:
    chosen = section.credentials
    if chosen.type == "client_secret":
        return ClientSecretCredential(chosen.tenantid, chosen.clientid, chosen.secret.get_secret_value())
    return DefaultAzureCredential()


@dataclass(slots=True)
class Signer:
    """Signs addresses of blobs: with the account's key, or with a key that an identity is given for some hours."""

    client: BlobServiceClient
    clock: Clock
    account_key: str | None
    _delegated: UserDelegationKey | None = None
    _renew_at: float = 0
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def sign(self, blob: BlobClient, seconds: int, **answer: str) -> str:
        """Give an address that lets whoever has it read one blob.

        Args:
            blob: Which.
            seconds: For how long.
            answer: What the answer's header is to say, as `content_type`, `cache_control`.
        """
        account = self.client.account_name
        assert account is not None
        more: dict[str, Any] = dict(answer)
        if self.client.scheme == "https":
            more["protocol"] = "https"
        query = generate_blob_sas(
            account,
            blob.container_name,
            blob.blob_name,
            account_key=self.account_key,
            user_delegation_key=None if self.account_key else await self._key(),
            permission=BlobSasPermissions(read=True),
            expiry=self.clock.now() + timedelta(seconds=seconds),
            **more,
        )
        return f"{blob.url}?{query}"

    async def _key(self) -> UserDelegationKey:
        async with self._alone:
            if self._delegated is None or time.monotonic() >= self._renew_at:
                now = self.clock.now()
                begun, expires = now - timedelta(minutes=5), now + timedelta(seconds=_KEY_HOLDS)
                self._delegated = await self.client.get_user_delegation_key(begun, expires)
                self._renew_at = time.monotonic() + _KEY_HOLDS / 2
            return self._delegated
