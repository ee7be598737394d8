"""Google Cloud Storage: its upload sessions when answers are lost and processes die, and who signs in and how.

All against a stand-in that believes every token: whether Google does is shown nowhere here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.compute_engine import _metadata

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudRefused, NoMultipart, NoObject, Part, Payload
from entrepot.adapters.blobs.objects.gcs import GRAIN, GcsCloud
from entrepot.adapters.blobs.objects.gcs_sign_in import credentials_of
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.adapters.blobs.objects.upload_state import UploadState
from entrepot.config.schema.cloud_storage import Gcs
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadInvalid
from entrepot.registry.ports import UploadProgress
from tests.support.fake_gcs import FakeGcs, running_fake_gcs
from tests.support.listener import Listener, listening
from tests.support.object_stores import gcs_section
from tests.support.store_faults import LOST_ANSWER, RESET, Fault, refuse
from tests.support.store_operations import EXPIRED, INTERNAL_ERROR

NAME = "entrepot/blobs/ab/abc.0123"


def payload(data: bytes) -> Payload:
    """Give bytes as they are sent."""
    return Payload(data=data, sha256=hashlib.sha256(data).digest())


async def opened(section: Gcs) -> GcsCloud:
    """Open a bucket as the registry does at its start."""
    cloud = await GcsCloud.open(section)
    try:
        await cloud.check()
    except BaseException:
        await cloud.close()
        raise
    return cloud


async def read(cloud: GcsCloud, name: str) -> bytes:
    """Read an object."""
    async with aclosing(cloud.read(name, 0, None)) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.fixture(scope="module")
def server() -> AsyncIterator[FakeGcs]:
    """Run a server that tests harm."""
    with running_fake_gcs() as server:
        yield server


@pytest.fixture
def bucket(server: FakeGcs, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a bucket."""
    server.proxy.heal()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    return server.make_bucket()


@pytest.fixture
async def clouds(bucket: str) -> AsyncIterator[tuple[GcsCloud, GcsCloud]]:
    """Open it by two processes."""
    clouds = await opened(gcs_section(bucket)), await opened(gcs_section(bucket))
    yield clouds
    for cloud in clouds:
        await cloud.close()


# Upload sessions.


@pytest.mark.parametrize("rest", [0, 1234])
@pytest.mark.parametrize("fault", [LOST_ANSWER, RESET, refuse(INTERNAL_ERROR)])
async def test_a_session_goes_on_where_it_stands(
    clouds: tuple[GcsCloud, GcsCloud], server: FakeGcs, fault: Fault, rest: int
) -> None:
    """Whether a piece came or not, and whether its answer did, each byte is in the object once."""
    cloud, calls = clouds[0], Calls()
    upload = await cloud.begin(NAME)
    pieces, parts, at = [os.urandom(2 * GRAIN), os.urandom(GRAIN), os.urandom(GRAIN + rest)], [], 0
    for number, piece in enumerate(pieces, 1):
        server.proxy.fail(fault, on="UploadChunk", times=1)
        put = await calls.make("put part", lambda: cloud.put_part(NAME, upload, number, at, payload(piece)))  # noqa: B023
        parts.append(Part(put, len(piece)))
        at += len(piece)
    server.proxy.fail(fault, on="QueryUpload", times=1)
    etag = await calls.make("complete", lambda: cloud.complete(NAME, upload, parts))
    server.proxy.heal()
    assert await read(cloud, NAME) == b"".join(pieces)
    assert (await cloud.describe(NAME)).etag == etag
    assert await cloud.complete(NAME, upload, parts) == etag


async def test_another_process_goes_on_with_a_session(clouds: tuple[GcsCloud, GcsCloud]) -> None:
    """A session that stands where the state says is gone on with by anybody."""
    upload, pieces = await clouds[0].begin(NAME), [os.urandom(GRAIN), os.urandom(GRAIN), b"tail"]
    parts = [
        Part(await clouds[n % 2].put_part(NAME, upload, n + 1, n * GRAIN, payload(piece)), len(piece))
        for n, piece in enumerate(pieces)
    ]
    await clouds[1].complete(NAME, upload, parts)
    assert await read(clouds[0], NAME) == b"".join(pieces)


async def test_bytes_that_nobody_knows_of_are_not_taken_for_others(clouds: tuple[GcsCloud, GcsCloud]) -> None:
    """A process died after the store had its piece: what another brings for the same place may be other bytes."""
    upload = await clouds[0].begin(NAME)
    await clouds[0].put_part(NAME, upload, 1, 0, payload(os.urandom(GRAIN)))
    with pytest.raises(NoMultipart):
        await clouds[1].put_part(NAME, upload, 1, 0, payload(os.urandom(GRAIN)))


async def test_bytes_that_were_changed_on_their_way_are_no_object(
    clouds: tuple[GcsCloud, GcsCloud], server: FakeGcs
) -> None:
    """The store's sum of the object is held against that of what was sent."""
    upload, piece = await clouds[0].begin(NAME), os.urandom(GRAIN)
    server.proxy.fail(Fault(flip="there"), on="UploadChunk", times=1)
    part = Part(await clouds[0].put_part(NAME, upload, 1, 0, payload(piece)), GRAIN)
    with pytest.raises(NoMultipart):
        await clouds[0].complete(NAME, upload, [part])
    store = ObjectBlobStore(clouds[1])
    state = UploadState(name=NAME, multipart=upload, parts=(part,), sealed=str(Digest.of(piece)))
    with pytest.raises(BlobUploadInvalid):
        await store.publish(
            "abc", Digest.of(piece), known=UploadProgress(offset=GRAIN, hashed=None, state=state.text())
        )


async def test_an_ended_session_is_not_written_on(clouds: tuple[GcsCloud, GcsCloud]) -> None:
    """Bytes that come after the object was made, which may be a blob by now, are refused, and the object stays."""
    upload, piece = await clouds[0].begin(NAME), os.urandom(GRAIN)
    part = Part(await clouds[0].put_part(NAME, upload, 1, 0, payload(piece)), GRAIN)
    await clouds[0].complete(NAME, upload, [part])

    async def go_on(cloud: GcsCloud) -> None:
        more = Part(await cloud.put_part(NAME, upload, 2, GRAIN, payload(b"more")), 4)
        await cloud.complete(NAME, upload, [part, more])

    for cloud in clouds:
        with pytest.raises(NoMultipart):
            await go_on(cloud)
    assert await read(clouds[0], NAME) == piece


async def test_a_session_that_was_ended_is_none(clouds: tuple[GcsCloud, GcsCloud]) -> None:
    """What was dropped cannot be gone on with, and dropping it again changes nothing."""
    upload = await clouds[0].begin(NAME)
    await clouds[0].abort(NAME, upload)
    await clouds[0].abort(NAME, upload)
    with pytest.raises(NoMultipart):
        await clouds[0].complete(NAME, upload, [Part("00000000", GRAIN)])


async def test_uploads_of_registry2_are_no_objects(
    clouds: tuple[GcsCloud, GcsCloud], server: FakeGcs, bucket: str
) -> None:
    """What registry:2 keeps of an upload that is not at its end is passed over."""
    server.put(bucket, "registry/docker/registry/v2/one", "application/x-docker-upload-session")
    server.put(bucket, "registry/docker/registry/v2/two", "application/octet-stream")
    assert [found.name async for found in clouds[0].list("docker/")] == ["docker/registry/v2/two"]


async def test_copies_and_folders(clouds: tuple[GcsCloud, GcsCloud]) -> None:
    """A blob is copied inside the store, over one that is there, too; what comes behind a prefix is listed once."""
    cloud = clouds[0]
    await cloud.put(NAME, payload(b"content"))
    for target in ("docker/registry/v2/one/data", "docker/registry/v2/two/a", "docker/registry/v2/two/b"):
        await cloud.copy(NAME, target, 7)
    await cloud.copy(NAME, "docker/registry/v2/one/data", 7)
    assert await read(cloud, "docker/registry/v2/one/data") == b"content"
    assert [found async for found in cloud.folders("docker/registry/v2/")] == ["one", "two"]
    with pytest.raises(NoObject):
        await cloud.copy("entrepot/blobs/ab/absent.0", "docker/registry/v2/three", 7)


# What is said at the start.


async def test_a_missing_bucket_is_said_at_the_start(bucket: str) -> None:
    """A bucket that is not there is refused at once, with what to do."""
    with pytest.raises(CloudRefused, match="no such bucket; make it"):
        await opened(gcs_section(f"{bucket}-absent"))


async def test_credentials_that_are_none(bucket: str, tmp_path: Path) -> None:
    """A key file that is missing or holds something else is refused at once."""
    with pytest.raises(CloudRefused, match="keyfile: cannot be read as JSON"):
        await opened(gcs_section(bucket, keyfile=str(tmp_path / "absent")))
    with pytest.raises(CloudRefused, match="no credentials for Google Cloud Storage"):
        await opened(gcs_section(bucket, credentials={"type": "authorized_user"}))


# Who signs in.


@pytest.fixture
async def issuer() -> AsyncIterator[Listener]:
    """Run what gives tokens: they hold for seconds, which the library takes for no time at all."""

    async def give(request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            number = len(listener.heard)
            return web.json_response({"access_token": f"token-{number}", "expires_in": 3, "token_type": "Bearer"})
        known = {"email": "registry@example", "scopes": [], "universe_domain": "googleapis.com"}
        return web.json_response(known, headers={"Metadata-Flavor": "Google"})

    accounts = "/computeMetadata/v1/instance/service-accounts/"
    names = [f"{accounts}{name}/{what}" for name in ("default", "registry@example") for what in ("", "token")]
    paths = ["/token", "/", *names, "/computeMetadata/v1/universe/universe_domain"]
    async with listening(dict.fromkeys(paths, give)) as listener:
        yield listener


def account_key(issuer: str) -> dict[str, str]:
    """Make a key of a service account."""
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {"type": "service_account", "client_email": "registry@example", "private_key": private.decode()}
    return key | {"private_key_id": "k", "token_uri": f"{issuer}/token"}


@pytest.mark.parametrize("source", ["configuration", "file"])
async def test_a_key_gives_tokens_that_are_renewed_under_load(
    bucket: str, server: FakeGcs, issuer: Listener, tmp_path: Path, source: str
) -> None:
    """A service account's key is turned into tokens, renewed by one task for all; one that was refused, too."""
    key: Any = account_key(issuer.url)
    (tmp_path / "key.json").write_text(json.dumps(key))
    more = {"credentials": key} if source == "configuration" else {"keyfile": str(tmp_path / "key.json")}
    cloud = await opened(gcs_section(bucket, **more))
    server.proxy.fail(refuse(EXPIRED), on="InsertObject", share=0.3)
    names = [f"{NAME}{n}" for n in range(20)]
    await asyncio.gather(
        *(Calls().make("put", lambda name=name: cloud.put(name, payload(name.encode()))) for name in names)
    )
    assert await asyncio.gather(*(read(cloud, name) for name in names)) == [name.encode() for name in names]
    sent = {seen.asked.headers.get("authorization") for seen in server.proxy.seen if seen.operation != "PostBucket"}
    assert len(sent) > 2
    assert all(str(value).startswith("Bearer token-") for value in sent)
    address = await cloud.presign(NAME, 60)
    assert address is not None
    assert "X-Goog-Credential=registry%40example" in address
    await cloud.close()


async def test_whoever_gives_no_token_is_asked_again(bucket: str, issuer: Listener) -> None:
    """Without a token there is no request, and the next try may have one."""
    key = account_key(issuer.url) | {"token_uri": "http://127.0.0.1:9/token"}
    with pytest.raises(CloudBusy, match="no token"):
        await opened(gcs_section(bucket, credentials=key))


@pytest.mark.parametrize("source", ["instance metadata", "web identity"])
async def test_the_place_gives_tokens_that_are_renewed_under_load(
    server: FakeGcs,
    bucket: str,
    issuer: Listener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    """Without a key Google's default credentials are those of the place, by its metadata server or a token's file."""
    if source == "instance metadata":
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        address = issuer.url.removeprefix("http://")
        for name in ("_GCE_METADATA_HOST", "_GCE_DEFAULT_MDS_IP", "_GCE_DEFAULT_HOST"):
            monkeypatch.setattr(_metadata, name, address, raising=False)
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        monkeypatch.setenv("GCE_METADATA_IP", address)
    else:
        (tmp_path / "token").write_text("of the place")
        (tmp_path / "federation.json").write_text(
            json.dumps(
                {
                    "type": "external_account",
                    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/i",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                    "token_url": f"{issuer.url}/token",
                    "credential_source": {"file": str(tmp_path / "token")},
                }
            )
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "federation.json"))
    section = gcs_section(bucket)
    cloud = GcsCloud(section, await asyncio.to_thread(credentials_of, section), server.url)
    for number in range(5):
        await cloud.put(f"{NAME}{number}", payload(b"content"))
        assert await read(cloud, f"{NAME}{number}") == b"content"
    sent = {seen.asked.headers.get("authorization") for seen in server.proxy.seen if seen.operation == "InsertObject"}
    assert len(sent) > 2
    assert all(str(value).startswith("Bearer token-") for value in sent)
    await cloud.close()
