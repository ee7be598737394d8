"""Amazon's own machines reach S3 itself where the configuration says so, by Amazon's list as a server gives it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from entrepot.bootstrap.redirects import redirects
from entrepot.bootstrap.storage import Objects
from entrepot.config import Config
from entrepot.telemetry.instruments import Metrics
from tests.support.listener import listening
from tests.support.presigning import HOST, PresigningStore

S3_KEY = "docker/registry/v2/blobs/sha256/ab/abcd/data"
RANGES = {
    "prefixes": [
        {"ip_prefix": "192.0.2.0/24", "region": "us-east-1", "service": "EC2"},
        {"ip_prefix": "198.51.100.0/24", "region": "eu-west-1", "service": "EC2"},
    ],
    "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "us-east-1", "service": "EC2"}],
}


async def test_amazons_own_machines_go_past_cloudfront(tmp_path: Path) -> None:
    """`ipfilteredby: aws`: who is in its list goes to S3; the list may be on a private address."""
    key = rsa.generate_private_key(65537, 2048)
    pem = tmp_path / "key.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    async def ranges(_request: web.Request) -> web.Response:
        return web.json_response(RANGES)

    async with listening({"/ranges": ranges}) as listener:
        options = {"baseurl": "cdn.example.org", "privatekey": str(pem), "keypairid": "K", "ipfilteredby": "awsregion"}
        options |= {"iprangesurl": f"{listener.url}/ranges", "awsregion": "us-east-1"}
        entry = {"name": "cloudfront", "options": options}
        config = Config.model_validate(
            {"version": "0.1", "storage": {"s3": {"bucket": "b", "region": "r"}}, "middleware": {"storage": [entry]}}
        )
        objects = Objects(path_of=lambda key: f"/{key}", root="/root", presigning=PresigningStore())
        made = redirects(config, objects, Metrics())
        assert made.urls is not None
        (work,) = made.background
        task = asyncio.ensure_future(work())
        try:
            for _ in range(500):
                if (await made.urls.url(S3_KEY, "192.0.2.1") or "").startswith(HOST):
                    break
                await asyncio.sleep(0.01)
            for client, beginning in (
                ("192.0.2.1", HOST),
                ("2001:db8::1", HOST),
                ("198.51.100.1", "https://cdn.example.org/root/docker/"),
                ("203.0.113.1", "https://cdn.example.org/root/docker/"),
            ):
                assert (await made.urls.url(S3_KEY, client) or "").startswith(beginning), client
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
