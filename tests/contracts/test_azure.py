"""Azure Blob Storage: what a container is found to hold, who signs in and how, and what is said when that fails."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from azure.storage.blob.aio import ContainerClient

from entrepot.adapters.blobs.objects.azure import AzureCloud
from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudRefused, NoMultipart, NoObject, Part, Payload
from entrepot.config.schema.cloud_storage import Azure
from tests.support.azurite import ACCOUNT, KEY, Azurite, running_azurite
from tests.support.certificates import authority, identity
from tests.support.listener import listening
from tests.support.object_stores import azure_section
from tests.support.store_faults import Fault, refuse, store_proxy
from tests.support.store_operations import CLOCK_SKEW, EXPIRED

NAME = "entrepot/blobs/ab/abc.0123"


def payload(data: bytes) -> Payload:
    """Give bytes as they are sent."""
    return Payload(data=data, sha256=hashlib.sha256(data).digest())


async def opened(section: Azure) -> AzureCloud:
    """Open a container as the registry does at its start."""
    cloud = await AzureCloud.open(section)
    try:
        await cloud.check()
    except BaseException:
        await cloud.close()
        raise
    return cloud


async def read(cloud: AzureCloud, name: str) -> bytes:
    """Read a blob."""
    async with aclosing(cloud.read(name, 0, None)) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.fixture
async def section(azurite: Azurite) -> Azure:
    """Name a new container."""
    return azure_section(azurite, azurite.make_container())


@pytest.fixture
async def cloud(section: Azure) -> AsyncIterator[AzureCloud]:
    """Open it."""
    cloud = await opened(section)
    yield cloud
    await cloud.close()


async def put_by(server: Azurite, container: str, *names: str) -> None:
    """Put blobs under names as they are."""
    key = {"account_name": ACCOUNT, "account_key": KEY}
    async with ContainerClient(server.url, container, credential=key) as client:
        for name in names:
            await client.upload_blob(name, name.encode())


# What is found.


@pytest.mark.parametrize("connection", ["key", "text", "signed by somebody"])
async def test_ways_to_sign_in_with_a_key(azurite: Azurite, connection: str) -> None:
    """Account and key, a connection string, and one with a signed address all open a container."""
    container = azurite.make_container()
    text = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={azurite.url};"
    if connection == "signed by somebody":
        text = f"BlobEndpoint={azurite.url};SharedAccessSignature={azurite.sign_account()}"
    values = {"connectionstring": text, "container": container}
    section = azure_section(azurite, container) if connection == "key" else Azure.model_validate(values)
    cloud = await opened(section)
    await cloud.put(NAME, payload(b"content"))
    assert await read(cloud, NAME) == b"content"
    url = await cloud.presign(NAME, 60)
    assert (url is None) == (connection == "signed by somebody")
    await cloud.close()


async def test_clients_get_a_blob_by_its_address_and_nothing_else(cloud: AzureCloud) -> None:
    """A signed address gives the bytes, to be kept for ever; changed in any way it gives none, and it cannot write."""
    await cloud.put(NAME, payload(b"content"))
    await cloud.put(NAME + "4", payload(b"other"))
    url = await cloud.presign(NAME, 60)
    assert url is not None
    async with aiohttp.ClientSession() as client:
        async with client.get(url, headers={"Range": "bytes=1-2"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"on")
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Content-Type"] == "application/octet-stream"
        for other in (url.replace(NAME, NAME + "4"), url.replace("sp=r", "sp=rw"), url.partition("?")[0]):
            async with client.get(other) as answer:
                assert answer.status in {403, 404}
        async with client.put(url, data=b"x", headers={"x-ms-blob-type": "BlockBlob"}) as answer:
            assert answer.status == 403


async def test_names_of_registry2_are_found(azurite: Azurite, caplog: pytest.LogCaptureFixture) -> None:
    """registry:2's names, which begin with a slash, are used where they are; registry:3's go first, and it is said."""
    container = azurite.make_container()
    data = "docker/registry/v2/blobs/sha256/ab/abcd/data"
    await put_by(azurite, container, f"/{data}")
    cloud = await opened(azure_section(azurite, container, rootdirectory="/root/"))
    assert await read(cloud, data) == f"/{data}".encode()
    assert [found.name async for found in cloud.list("docker/registry/v2/blobs/")] == [data]
    await cloud.put(NAME, payload(b"ours"))
    await cloud.close()
    assert not caplog.records
    await put_by(azurite, container, f"root/{data}")
    cloud = await opened(azure_section(azurite, container, rootdirectory="/root/"))
    assert await read(cloud, data) == f"root/{data}".encode()
    assert await read(cloud, NAME) == b"ours"
    assert "the latter are used" in caplog.text
    await cloud.close()


async def test_blocks_that_nobody_commits_are_found_and_dropped(cloud: AzureCloud) -> None:
    """An upload that was left shows in the list of those, and is gone when it is dropped; a blob is not dropped so."""
    upload = await cloud.begin(NAME)
    part = Part(await cloud.put_part(NAME, upload, 1, 0, payload(b"content")), 7)
    assert [(found.name, found.id) async for found in cloud.list_multiparts("entrepot/blobs/")] == [(NAME, upload)]
    assert [found async for found in cloud.list("")] == []
    await cloud.abort(NAME, upload)
    await cloud.abort(NAME, upload)
    assert [found async for found in cloud.list_multiparts("")] == []
    with pytest.raises(NoMultipart):
        await cloud.complete(NAME, upload, [replace(part, mark="000002" + part.mark[6:])])
    await cloud.put(NAME, payload(b"content"))
    await cloud.abort(NAME, upload)
    assert await read(cloud, NAME) == b"content"


async def test_completing_twice_is_completing_once(cloud: AzureCloud) -> None:
    """Who completes an upload again, since the answer was lost, is told that it was ended; the blob stays as it is."""
    upload = await cloud.begin(NAME)
    parts = [Part(await cloud.put_part(NAME, upload, n, 0, payload(b"abc")), 3) for n in (1, 2)]
    etag = await cloud.complete(NAME, upload, parts)
    with pytest.raises(NoMultipart):
        await cloud.complete(NAME, upload, parts)
    assert (await cloud.describe(NAME)).etag == etag
    assert await read(cloud, NAME) == b"abcabc"


async def test_a_block_that_comes_late_takes_nobodys_place(cloud: AzureCloud) -> None:
    """A node that stood still sends other bytes under the same number: the blob is of those that were acknowledged."""
    upload = await cloud.begin(NAME)
    acknowledged = Part(await cloud.put_part(NAME, upload, 1, 0, payload(b"right")), 5)
    await cloud.put_part(NAME, upload, 1, 0, payload(b"wrong"))
    await cloud.complete(NAME, upload, [acknowledged])
    assert await read(cloud, NAME) == b"right"


async def test_copies_and_folders(cloud: AzureCloud) -> None:
    """A blob is copied inside the store, over one that is there, too; what comes behind a prefix is listed once."""
    await cloud.put(NAME, payload(b"content"))
    for target in ("docker/registry/v2/one/data", "docker/registry/v2/two/a", "docker/registry/v2/two/b"):
        await cloud.copy(NAME, target, 7)
    await cloud.copy(NAME, "docker/registry/v2/one/data", 7)
    assert await read(cloud, "docker/registry/v2/one/data") == b"content"
    assert [found async for found in cloud.folders("docker/registry/v2/")] == ["one", "two"]
    with pytest.raises(NoObject):
        await cloud.copy("entrepot/blobs/ab/absent.0", "docker/registry/v2/three", 7)


# What is said at the start.


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"accountkey": base64.b64encode(b"x" * 32).decode()}, "check name and key of the account"),
        ({"container": "absent"}, "there is no such container; make it"),
    ],
)
async def test_a_wrong_configuration_is_said_at_the_start(azurite: Azurite, wrong: dict[str, Any], says: str) -> None:
    """A wrong key and a missing container are refused at once, with what to do."""
    with pytest.raises(CloudRefused, match=says):
        await opened(azure_section(azurite, azurite.make_container(), **wrong))


async def test_nobody_there(azurite: Azurite) -> None:
    """A service that does not answer is one to try again."""
    with pytest.raises(CloudBusy):
        await opened(azure_section(azurite, "any", serviceurl="http://127.0.0.1:9/devstoreaccount1"))


# Who signs in.


async def test_another_clock_is_learned_from_the_store(azurite: Azurite, caplog: pytest.LogCaptureFixture) -> None:
    """Where this machine's clock is wrong, the store's time is taken from its refusal, once, and it is said."""
    container = azurite.make_container()
    with store_proxy("azure", azurite.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        cloud = await opened(azure_section(azurite, container, serviceurl=url))
        proxy.fail(refuse(CLOCK_SKEW, skew=7200), times=1)
        await Calls().make("put", lambda: cloud.put(NAME, payload(b"content")))
        first, second = (seen.asked.headers["x-ms-date"] for seen in proxy.seen[-2:])
        assert first != second
        assert "7200 seconds ahead" in caplog.text or "7199 seconds ahead" in caplog.text
        await cloud.close()


async def test_changed_bytes_are_sent_again(azurite: Azurite) -> None:
    """What is changed on its way to the store is refused there, and sent again."""
    container = azurite.make_container()
    with store_proxy("azure", azurite.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        cloud = await opened(azure_section(azurite, container, serviceurl=url))
        for on in ("PutBlob", "PutBlock"):
            proxy.fail(Fault(flip="there"), on=on, times=1)
        data, calls = os.urandom(100_000), Calls()
        await calls.make("put", lambda: cloud.put(NAME, payload(data)))
        mark = await calls.make("put part", lambda: cloud.put_part(NAME + "4", "", 1, 0, payload(data)))
        await cloud.complete(NAME + "4", "", [Part(mark, len(data))])
        assert await read(cloud, NAME) == await read(cloud, NAME + "4") == data
        assert proxy.counts["PutBlob"] == proxy.counts["PutBlock"] == 2
        await cloud.close()


async def test_a_token_that_ran_out_on_its_way_is_no_end(azurite: Azurite) -> None:
    """A refusal for an old token is a reason to come again."""
    container = azurite.make_container()
    with store_proxy("azure", azurite.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        cloud = await opened(azure_section(azurite, container, serviceurl=url))
        proxy.fail(refuse(EXPIRED), on="PutBlob", times=2)
        await Calls().make("put", lambda: cloud.put(NAME, payload(b"content")))
        await cloud.close()


@pytest.fixture(scope="module")
def with_identities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azurite, str, Path]]:
    """Run a server that believes tokens of identities, which go over TLS only; gives it, a container and the keys."""
    folder, signer = tmp_path_factory.mktemp("tls"), authority()
    signer.write(folder / "ca.pem", folder / "ca.key")
    identity(signed_by=signer).write(folder / "cert.pem", folder / "key.pem")
    more = ("--oauth", "basic", "--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem"))
    with running_azurite(*more) as server:
        yield server, server.make_container(trust=folder / "ca.pem"), folder


def token(lives: float, number: int) -> dict[str, Any]:
    """Give a token of Azure's kind."""
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/t/", "iat": now, "nbf": now - 60}
    claims |= {"exp": now + lives, "oid": "o", "tid": "t", "number": number}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims)]
    access = b".".join([*parts, b"x"]).decode()
    return {
        "access_token": access,
        "expires_in": str(int(lives)),
        "expires_on": str(int(now + lives)),
        "token_type": "Bearer",
        "resource": "https://storage.azure.com",
    }


@pytest.mark.parametrize("source", ["instance metadata", "web identity", "client secret in the environment"])
async def test_identities_of_the_place_are_renewed_under_load(
    with_identities: tuple[Azurite, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Where the registry runs it gets tokens for a short time; they are renewed while it goes on, without a failure."""
    server, container, keys = with_identities
    given: list[web.Request] = []

    async def give(request: web.Request) -> web.Response:
        given.append(request)
        return web.json_response(token(2, len(given)))

    paths = ("/metadata/identity/oauth2/token", "/t/oauth2/v2.0/token")
    context = None
    if source != "instance metadata":  # which is the only one that needs no TLS
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys / "cert.pem", keys / "key.pem")
        trusted = ssl.create_default_context(cafile=str(keys / "ca.pem"))
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusted)
    async with listening(dict.fromkeys(paths, give), context=context) as issuer:
        _place(source, issuer.url, tmp_path, monkeypatch)
        cloud = await opened(azure_section(server, container, accountkey="", skipverify=True))
        until, calls = time.monotonic() + 4, Calls()
        while time.monotonic() < until:
            await calls.make("put", lambda: cloud.put(NAME, payload(b"content")))
            assert await calls.make("read", lambda: read(cloud, NAME)) == b"content"
            await asyncio.sleep(0.1)
        await cloud.close()
    assert len(given) > 1


def _place(source: str, issuer: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if source == "instance metadata":
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", issuer)
        return
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", issuer)
    monkeypatch.setenv("AZURE_TENANT_ID", "t")
    monkeypatch.setenv("AZURE_CLIENT_ID", "c")
    if source == "web identity":
        (folder / "token").write_text("of the place")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(folder / "token"))
    else:
        monkeypatch.setenv("AZURE_CLIENT_SECRET", "s")
