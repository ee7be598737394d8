"""Where clients are sent: networks, rewritten URLs, and Amazon's own machines."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from typing import Any

import pytest

from entrepot.adapters.delivery.aws import AwsNetworks
from entrepot.adapters.delivery.networks import Networks
from entrepot.adapters.delivery.urls import PresignedUrls, RewrittenUrls, UrlsByNetwork
from entrepot.bootstrap.redirects import redirects
from entrepot.bootstrap.storage import Objects
from entrepot.config import Config
from entrepot.outbound.errors import Unreachable
from entrepot.outbound.response import Response
from entrepot.telemetry.instruments import Metrics
from tests.support.presigning import HOST, PresigningStore

S3_KEY = "docker/registry/v2/blobs/sha256/ab/abcd/data"
RANGES = {
    "prefixes": [
        {"ip_prefix": "192.0.2.0/25", "region": "us-east-1", "service": "AMAZON"},
        {"ip_prefix": "192.0.2.128/25", "region": "us-east-1", "service": "EC2"},
        {"ip_prefix": "198.51.100.0/24", "region": "eu-west-1", "service": "EC2"},
    ],
    "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "us-east-1", "service": "EC2"}],
}


def test_networks_that_touch_and_overlap() -> None:
    """An address is found in joined networks, at both of their ends, and not beside them; nonsense is in none."""
    texts = ["192.0.2.0/25", "192.0.2.128/25", "192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32"]
    networks = Networks(ipaddress.ip_network(text) for text in texts)
    assert networks.count == 3
    for inside in (
        "192.0.2.0",
        "192.0.2.255",
        "::ffff:192.0.2.255",
        "10.255.255.255",
        "2001:db8::1",
        "2001:db8::1%eth0",
    ):
        assert networks.hold(inside), inside
    for outside in ("192.0.1.255", "192.0.3.0", "9.255.255.255", "2001:db9::", "", "nonsense"):
        assert not networks.hold(outside), outside
    assert not Networks(()).hold("192.0.2.1")


class Ranges:
    """Answers with Amazon's list, or not at all."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked = 0

    async def request(self, method: str, url: str, **more: Any) -> Response:
        """Give the next answer, or the last one again."""
        del method, url, more
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Response(
            status=200, headers={}, body=answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        )


@pytest.mark.parametrize(
    ("regions", "inside", "outside"),
    [
        ((), ["192.0.2.200", "198.51.100.1", "2001:db8::1"], ["203.0.113.1"]),
        (("US-East-1",), ["192.0.2.200", "2001:db8::1"], ["198.51.100.1"]),
    ],
)
async def test_amazons_networks(regions: tuple[str, ...], inside: list[str], outside: list[str]) -> None:
    """All of Amazon's networks, or those of some regions, as Amazon lists them."""
    http = Ranges()
    http.answers = [RANGES]
    networks = AwsNetworks(http, "https://ranges.example", regions, 3600)
    assert not networks.hold(inside[0]), "before the list was read, everybody goes by the CDN"
    assert await networks.read()
    assert all(networks.hold(address) for address in inside)
    assert not any(networks.hold(address) for address in outside)


async def test_what_was_read_last_counts_while_amazon_is_away() -> None:
    """A list that cannot be read, or is none, changes nothing; it is tried again."""
    http = Ranges()
    http.answers = [RANGES, Unreachable("away"), b"{}", b"[", {"prefixes": [{}]}, RANGES]
    networks = AwsNetworks(http, "https://ranges.example", (), 0.01)
    task = asyncio.ensure_future(networks.run())
    while http.asked < 6:
        await asyncio.sleep(0.01)
        assert http.asked < 1 or networks.hold("192.0.2.1")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert networks.hold("192.0.2.1")


async def test_rewritten_urls() -> None:
    """registry:3's `rewrite` changes scheme, host and the beginning of the path, and leaves the query alone."""
    store = PresigningStore()
    plain = PresignedUrls(store)
    given = await plain.url("key", "")
    assert given is not None
    query = given.partition("?")[2]
    changed = RewrittenUrls(plain, scheme="http", host="cdn.example.org:8080", prefix="/bucket")
    assert await changed.url("key", "") == f"http://cdn.example.org:8080/key?{query}"
    same = RewrittenUrls(plain, scheme="", host="", prefix="/other")
    assert await same.url("key", "") == given
    nobody = UrlsByNetwork(lambda _client: True, inside=None, outside=plain)
    assert await RewrittenUrls(nobody, scheme="", host="", prefix="").url("key", "") is None


def _config(text: dict[str, Any], *storage: dict[str, Any]) -> Config:
    s3 = {"bucket": "b", "region": "r", "rootdirectory": "/root"}
    return Config.model_validate(
        {"version": "0.1", "storage": {"s3": s3, **text}, "middleware": {"storage": list(storage)}}
    )


def _objects(store: PresigningStore | None) -> Objects:
    return Objects(path_of=lambda key: f"/{key}", root="/root", presigning=store)


async def test_the_stores_own_urls_are_given_by_default() -> None:
    """Without a word of configuration clients go to an object store; a word keeps them here, all or some of them."""
    store, metrics = PresigningStore(), Metrics()
    urls = redirects(_config({}), _objects(store), metrics).urls
    assert urls is not None
    assert (await urls.url(S3_KEY, "192.0.2.1") or "").startswith(HOST)
    (sent,) = [family for family in metrics.families() if family.name == "entrepot_redirects"]
    assert sent.series == {("s3",): [1.0]}
    assert redirects(_config({"redirect": {"disable": True}}), _objects(store), metrics).urls is None
    assert redirects(_config({}), _objects(None), metrics).urls is None
    urls = redirects(_config({"redirect": {"except": ["192.0.2.0/24"]}}), _objects(store), metrics).urls
    assert urls is not None
    assert await urls.url(S3_KEY, "192.0.2.1") is None
    assert await urls.url(S3_KEY, "198.51.100.1") is not None


async def test_middleware_is_put_around_the_store_in_its_order() -> None:
    """A CDN asks for the name in the bucket; `redirect` for registry:2's path; the last one counts."""
    store = PresigningStore()
    cdn = {"name": "fastly", "options": {"baseurl": "cdn.example.org/base", "key": "k"}}
    plain = {"name": "redirect", "options": {"baseurl": "https://files.example.org/base"}}
    off = {"name": "cloudfront", "disabled": True}
    rewrite = {"name": "rewrite", "options": {"host": "other.example.org"}}
    for storage, beginning in (
        ((cdn, off), f"https://cdn.example.org/base/root/{S3_KEY}?token="),
        ((cdn, plain), f"https://files.example.org/base/{S3_KEY}"),
        ((plain, cdn), f"https://cdn.example.org/base/root/{S3_KEY}?token="),
        ((rewrite,), "https://other.example.org/bucket/"),
    ):
        urls = redirects(_config({}, *storage), _objects(store), Metrics()).urls
        assert urls is not None
        assert (await urls.url(S3_KEY, "") or "").startswith(beginning)


async def test_urls_of_temporary_credentials_are_given_for_a_shorter_time() -> None:
    """What a role signed ends with its credentials, which are renewed ten minutes before: five of these are used."""
    store, now = PresigningStore(), [1000.0]
    store.token = "&X-Amz-Security-Token=role"
    urls = PresignedUrls(store, lambda: now[0])
    for passed, signed in ((0, 1), (299, 1), (1, 2), (299, 2), (1, 3)):
        now[0] += passed
        assert await urls.url("key", "") is not None
        assert store.asked["presign"] == signed
