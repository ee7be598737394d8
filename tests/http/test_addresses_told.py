"""Addresses in answers are ours: no Host, no forwarded header and no parameter puts another one there.

A client follows `Location` and the realm of a challenge with its credentials; a person follows a link.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import pytest

from entrepot.metadata.people import users
from tests.http.transport import Answer
from tests.support.api import Api
from tests.support.app import App, Opener

#: What comes as a host where somebody tries: other names, ports, credentials, paths, several of them, line ends.
HOSTS = (
    "evil.test@registry.test",
    "registry.test@evil.test",
    "registry.test:80@evil.test",
    "registry.test/evil.test",
    "registry.test\\.evil.test",
    "registry.test#evil.test",
    "registry.test?evil.test",
    "registry.test evil.test",
    "registry.test,evil.test",
    "registry.test;evil.test",
    "registry.test:evil",
    "registry.test:80:80",
    "registry.test:999999",
    "registry.test%0d%0aX-Injected:%20yes",
    "registry.test\tevil.test",
    'registry.test"',
    "registry.test'",
    "<script>",
    "[::1",
    "[::1]evil.test",
    "[evil.test]",
    "//evil.test",
    "https://evil.test",
    "évil.test",
    "-" * 300,
    "",
    " ",
)
#: Headers by which a proxy says under which address it was asked.
FORWARDED = (
    ("X-Forwarded-Host", "evil.test"),
    ("X-Forwarded-Proto", "javascript"),
    ("X-Forwarded-Proto", "https, http"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Server", "evil.test"),
    ("X-Original-URL", "/evil"),
    ("X-Rewrite-URL", "/evil"),
    ("X-Host", "evil.test"),
    ("X-HTTP-Host-Override", "evil.test"),
    ("Forwarded", "host=evil.test;proto=https"),
    ("Forwarded", 'host="evil.test"'),
)
PLAIN = re.compile(r"[A-Za-z0-9._:/?=&%+,~$@\-\[\]]*")


def addresses(answer: Answer) -> list[str]:
    """Return every address that an answer tells a client to go on to."""
    found = [*answer.values("location"), *answer.values("link")]
    for challenge in answer.values("www-authenticate"):
        found += re.findall(r'realm="([^"]*)"', challenge)
    return [text.strip("<>").partition(">")[0] for text in found]


async def told(app: App, headers: list[tuple[str, str]], host: str) -> list[str]:
    """Ask all that answers with an address, and return the addresses."""
    client = app.client(host=host)
    signed_in = app.basic("admin")
    signed_in._host = host
    found: list[str] = []
    for answer in (
        await client.get("/v2/", headers=headers),
        await client.get("/v2/team/app/tags/list", headers=headers),
        await signed_in.post("/v2/team/app/blobs/uploads/", headers=headers),
        await signed_in.get("/v2/_catalog?n=1", headers=headers),
        await signed_in.get("/api/v2.0/permissions", headers=headers),
        await signed_in.get("/api/v2.0/users?page_size=1", headers=headers),
    ):
        assert answer.status < 500, answer.body
        assert "x-injected" not in {name for name, _ in answer.headers}
        found += addresses(answer)
    assert found or host == "", host  # a request without one is refused
    return found


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry that believes no proxy, as with `http.trustedproxies: []`."""
    return await filled(await open_registry(signed_in=True, web={"trusted_proxies": ()}))


async def filled(app: App) -> App:
    """Put an administrator and somebody else into a registry."""
    await app.account("admin", ("*", "*"))
    await app.account("alice")
    return app


async def test_cve_2024_2248_a_host_is_a_host_or_nothing(app: App) -> None:
    """Whatever stands in Host: an address in an answer has it as its host, whole, or has no host at all."""
    for host in (*HOSTS, "other.example.org:5000"):
        for address in await told(app, [], host):
            assert PLAIN.fullmatch(address), (host, address)
            parts = urlsplit(address)
            assert "@" not in parts.netloc, (host, address)
            assert parts.netloc in ("", host), (host, address)
            assert parts.scheme in ("", "http"), (host, address)


async def test_cve_2024_2248_only_trusted_proxies_are_believed(app: App) -> None:
    """Headers about another address change nothing when they come from somebody who is no proxy of ours."""
    plain = await told(app, [], "registry.test")
    for name, value in FORWARDED:
        changed = await told(app, [(name, value)], "registry.test")
        assert [urlsplit(each).netloc for each in changed] == [urlsplit(each).netloc for each in plain], (name, value)
        assert "evil" not in " ".join(changed)


async def test_cve_2024_2248_the_configured_address_beats_all(open_registry: Opener) -> None:
    """With `http.host`, every address begins with it, whatever the request and its proxies say."""
    network = (ipaddress.ip_network("192.0.2.0/24"),)
    app = await filled(
        await open_registry(signed_in=True, web={"host": "https://registry.example.org", "trusted_proxies": network})
    )
    for host in ("evil.test", *HOSTS):
        for headers in ([], *([pair] for pair in FORWARDED)):
            for address in await told(app, headers, host):
                assert address.startswith(("https://registry.example.org/", "/", "entrepot")), (host, headers, address)


async def test_cve_2024_2248_a_link_for_a_person_is_ours(open_registry: Opener) -> None:
    """The link to choose a password leads to the configured address, not to where the request says it came from."""
    app = await filled(await open_registry(signed_in=True, web={"host": "https://registry.example.org"}))
    alice = await users.find(app.stores.metadata, "alice")
    assert alice is not None
    admin = app.basic("admin")
    admin._host = "evil.test"
    made = await Api(admin).post(f"/users/{alice.id}/reset_link", X_Forwarded_Host="evil.test")
    assert made.json()["link"].startswith("https://registry.example.org/c/reset_password?token=")


@pytest.mark.parametrize("end", ["%0d%0a", "%0a", "%0d", "%E5%98%8A%E5%98%8D", "%00", "\\", "%5c"])
async def test_cve_2018_1000164_no_line_end_gets_into_a_header(app: App, end: str) -> None:
    """Names and parameters that end up in headers keep no line end: Location, Link, OCI-Namespace, challenges."""
    text = f"a{end}X-Injected:%20yes"
    admin = app.basic("admin")
    for answer in (
        await admin.get(f"/v2/?ns={text}"),
        await admin.get(f"/v2/_catalog?n=1&last={text}"),
        await admin.get(f"/v2/{text}/app/tags/list"),
        await app.client().get(f"/v2/{text}/app/tags/list"),
        await app.client().get(f"/token?service={text}&scope={text}"),
        await admin.get(f"/api/v2.0/users?q=username%3D~{text}&page_size=1"),
        await admin.get(f"/api/v2.0/projects/{text}"),
        await admin.post(f"/api/v2.0/projects/{text}/repositories/a/artifacts?from={text}"),
        await app.client(scheme="https").get(f"/c/oidc/login?provider={text}&redirect_url={text}"),
    ):
        assert answer.status < 500, answer.body
        assert "x-injected" not in {name.lower() for name, _ in answer.headers}
        assert not [value for _, value in answer.headers if re.search(r"[\x00-\x1f\x7f]", value)]
