"""Object stores for tests: one server for each process that runs tests, and a bucket of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from entrepot.config.schema.cloud_storage import S3
from tests.support.seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFs, running_seaweedfs


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFs]:
    """Run SeaweedFS."""
    with running_seaweedfs() as server:
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
