"""Object stores for tests: one server for each process that runs tests, and a bucket of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from entrepot.adapters.blobs.objects.cloud import Cloud
from entrepot.config.schema.cloud_storage import S3, Azure, Gcs
from tests.support.azurite import ACCOUNT, KEY, Azurite, running_azurite
from tests.support.fake_gcs import FakeGcs, running_fake_gcs
from tests.support.seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFs, running_seaweedfs


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFs]:
    """Run SeaweedFS."""
    with running_seaweedfs() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Run Azurite."""
    with running_azurite() as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[FakeGcs]:
    """Run a stand-in for Google Cloud Storage."""
    with running_fake_gcs() as server:
        yield server


def s3_section(server: SeaweedFs, **more: Any) -> S3:
    """Give `storage.s3` for a root of a server's bucket that nobody used before."""
    return S3.model_validate(s3_values(server) | more)


def s3_values(server: SeaweedFs) -> dict[str, Any]:
    """Give what a configuration file says of it."""
    return {
        "accesskey": ACCESS_KEY,
        "secretkey": SECRET_KEY,
        "region": REGION,
        "regionendpoint": server.url,
        "bucket": BUCKET,
        "rootdirectory": f"/{uuid.uuid4().hex}",
    }


def azure_section(server: Azurite, container: str, /, **more: Any) -> Azure:
    """Give `storage.azure` for a container of a server."""
    return Azure.model_validate(azure_values(server, container) | more)


def azure_values(server: Azurite, container: str) -> dict[str, Any]:
    """Give what a configuration file says of a container."""
    return {"accountname": ACCOUNT, "accountkey": KEY, "serviceurl": server.url, "container": container}


def gcs_section(bucket: str, /, **more: Any) -> Gcs:
    """Give `storage.gcs` for a bucket."""
    return Gcs.model_validate({"bucket": bucket, "rootdirectory": "/registry"} | more)


def cloud_opener(kind: str, request: pytest.FixtureRequest) -> Callable[[], Awaitable[Cloud]]:
    """Give what opens a place of a server that nobody used before, as often as it is called."""
    # Their libraries take a second, which only those tests spend that need them.
    if kind == "s3":
        from entrepot.adapters.blobs.objects.s3 import S3Bucket  # noqa: PLC0415
        from entrepot.adapters.blobs.objects.s3_settings import S3Settings  # noqa: PLC0415

        settings = S3Settings.of(s3_section(request.getfixturevalue("seaweedfs")))
        return lambda: S3Bucket.open(settings)
    if kind == "azure":
        from entrepot.adapters.blobs.objects.azure import AzureCloud  # noqa: PLC0415

        azure: Azurite = request.getfixturevalue("azurite")
        section = azure_section(azure, azure.make_container())
        return lambda: AzureCloud.open(section)
    from entrepot.adapters.blobs.objects.gcs import GcsCloud  # noqa: PLC0415

    gcs: FakeGcs = request.getfixturevalue("fake_gcs")
    bucket = gcs_section(gcs.make_bucket())
    return lambda: _at_once(GcsCloud(bucket, None, gcs.url))


async def _at_once(cloud: Cloud) -> Cloud:
    return cloud
