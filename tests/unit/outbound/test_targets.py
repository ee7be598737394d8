"""Which addresses this registry asks, and which never (hardening: server-side request forgery)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from entrepot.outbound.addresses import plain, why_not
from entrepot.outbound.errors import TargetRefused, Unreachable
from entrepot.outbound.guard import Route, plan
from entrepot.outbound.settings import OutboundSettings
from entrepot.outbound.urls import Url

PUBLIC = "93.184.215.14"
#: An address, and a word of the reason for which it is refused.
ADDRESSES = [
    ("127.0.0.1", "this machine"),
    ("127.255.255.254", "this machine"),
    ("::1", "this machine"),
    ("::ffff:127.0.0.1", "this machine"),
    ("::ffff:7f00:1", "this machine"),
    ("64:ff9b::127.0.0.1", "this machine"),
    ("64:ff9b::7f00:1", "this machine"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("::ffff:192.168.1.1", "private"),
    ("64:ff9b::10.0.0.1", "private"),
    ("fc00::1", "private"),
    ("fd12:3456:789a::1", "private"),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private"),
    ("100.64.0.1", "shared"),
    ("100.127.255.255", "shared"),
    ("169.254.169.254", "cloud"),
    ("169.254.170.2", "cloud"),
    ("::ffff:169.254.169.254", "cloud"),
    ("64:ff9b::a9fe:a9fe", "cloud"),
    ("fd00:ec2::254", "cloud"),
    ("100.100.100.200", "cloud"),
    ("192.0.0.192", "cloud"),
    ("168.63.129.16", "cloud"),
    ("0.0.0.0", "no address"),
    ("0.1.2.3", "no address"),
    ("::", "no address"),
    ("::127.0.0.1", "no address"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("ff02::1", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("192.0.2.1", "documentation"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("198.18.0.1", "tests"),
    ("198.19.255.255", "tests"),
    ("192.0.0.8", "protocols"),
    ("192.88.99.1", "protocols"),
    ("2001::1", "protocols"),
    ("2001:2::1", "protocols"),
    ("2001:10::1", "protocols"),
    ("2002:7f00:1::", "tunnel"),
    ("2002:a00:1::", "tunnel"),
    ("64:ff9b:1::1", "tunnel"),
    ("fec0::1", "not handed out"),
    ("4000::1", "not handed out"),
    ("100::1", "not handed out"),
    ("5f00::1", "not handed out"),
]
#: Spellings of this machine in an address line that the system's name service reads as an address.
SPELLINGS = [
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[0:0:0:0:0:0:0:1]/",
]
#: What has two readings, or none.
UNREADABLE = [
    "",
    "https://",
    "https:///path",
    "//example.org/",
    "/etc/passwd",
    "file:///etc/passwd",
    "ftp://example.org/",
    "gopher://example.org/",
    "unix:///run/docker.sock",
    "javascript:alert(1)",
    "https:example.org",
    "https:/example.org/",
    "https://user@example.org/",
    "https://user:password@example.org/",
    "https://example.org@evil.test/",
    "https://evil.test\\@example.org/",
    "https://example.org\\.evil.test/",
    "https://exa mple.org/",
    "https://example.org/a b",
    "https://example.org/\r\nHost: evil.test",
    "https://example.org/\x00",
    "https://example.org\t/",
    " https://example.org/",
    "https://example.org:0/",
    "https://example.org:65536/",
    "https://example.org:port/",
    "https://example.org:/",
    "https://-example.org/",
    "https://%65xample.org/",
    "https://example.org%2f@evil.test/",
    "https://exämple.org/",
    "https://①②⑦.0.0.1/",
    "https://127。0。0。1/",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://[::1]evil.test/",
    "https://example.org/" + "a" * 5_000,
]


def answering(*addresses: str) -> object:
    """Give a name service that has these addresses for every name."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


async def planned(url: str, *addresses: str, allow: Sequence[str] = (), proxy: str = "") -> Route:
    return await plan(Url.parse(url), OutboundSettings.of(allow, proxy=proxy), answering(*addresses))


@pytest.mark.parametrize(("address", "word"), ADDRESSES)
async def test_no_name_leads_there(address: str, word: str) -> None:
    """An address that is nobody's public service is refused with the reason, also among good ones."""
    assert word in why_not(plain(address))
    for addresses in ((address,), (PUBLIC, address), (address, PUBLIC)):
        with pytest.raises(TargetRefused, match=r"outbound\.allow"):
            await planned("https://provider.test/", *addresses)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::200e", "64:ff9b::1.1.1.1"],
)
async def test_public_addresses_are_asked(address: str) -> None:
    """What is handed out to everybody may be asked, and what was looked up is what is connected to."""
    assert (await planned("https://provider.test/x", address)).addresses == (address,)


@pytest.mark.parametrize("url", SPELLINGS)
async def test_this_machine_has_no_spelling_that_passes(url: str) -> None:
    """However the address of this machine is spelt, a proxy is not asked to go there."""
    with pytest.raises(TargetRefused, match="this machine"):
        await planned(url, proxy="http://proxy.test:3128")


@pytest.mark.parametrize("url", UNREADABLE)
def test_an_address_has_one_reading_or_none(url: str) -> None:
    """What two parsers could read in two ways is refused before anything is looked up."""
    with pytest.raises(TargetRefused):
        Url.parse(url)


@pytest.mark.parametrize(
    ("text", "origin", "rest"),
    [
        ("HTTPS://Example.ORG", "https://example.org", "/"),
        ("https://example.org.:8443/a?b=c#d", "https://example.org:8443", "/a?b=c"),
        ("https://example.org?x=1", "https://example.org", "/?x=1"),
        ("https://[2606:4700::1111]:443/", "https://[2606:4700::1111]", "/"),
        ("https://xn--exmple-cua.org/", "https://xn--exmple-cua.org", "/"),
        ("https://a_b.example.org/%2f..%2f", "https://a_b.example.org", "/%2f..%2f"),
    ],
)
def test_a_plain_address_is_read(text: str, origin: str, rest: str) -> None:
    """Ordinary addresses are read; case, default ports and last dots do not matter."""
    url = Url.parse(text)
    assert (url.origin, url.rest) == (origin, rest)


async def test_plain_http_needs_the_operators_word() -> None:
    """Nothing is asked without TLS but what the operator lists."""
    with pytest.raises(TargetRefused, match="is not https"):
        await planned("http://provider.test/", PUBLIC)
    assert (await planned("http://provider.test/", PUBLIC, allow=["provider.test"])).addresses == (PUBLIC,)
    assert (await planned("http://provider.test/", PUBLIC, allow=["93.184.0.0/16"])).addresses == (PUBLIC,)


async def test_an_allowed_name_leads_into_private_networks_but_not_to_credentials() -> None:
    """The operator's own names may be at home; no name ever leads to a cloud's metadata or to nowhere."""
    for address in ("10.1.2.3", "127.0.0.1", "fd00::1", "100.64.1.1", PUBLIC):
        assert (await planned("https://keycloak.intranet/", address, allow=["Keycloak.Intranet."])).addresses
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "224.0.0.1", "0.0.0.0"):
        with pytest.raises(TargetRefused):
            await planned("https://keycloak.intranet/", address, allow=["keycloak.intranet"])
    assert (await planned("http://x.test/", "169.254.169.254", allow=["169.254.169.254"])).addresses


@pytest.mark.parametrize("host", ["evilkeycloak.intranet", "keycloak.intranet.evil.test", "x.keycloak.intranet"])
async def test_an_allowed_name_is_that_name_alone(host: str) -> None:
    """A name that ends or begins like an allowed one is another name (CVE-2023-45821)."""
    with pytest.raises(TargetRefused):
        await planned(f"https://{host}/", "10.1.2.3", allow=["keycloak.intranet"])


async def test_a_network_opens_itself_alone() -> None:
    """Of two addresses, one outside the allowed network is enough to refuse."""
    assert (await planned("https://a.test/", "10.1.2.3", "10.1.9.9", allow=["10.1.0.0/16"])).addresses
    with pytest.raises(TargetRefused):
        await planned("https://a.test/", "10.1.2.3", "10.2.0.1", allow=["10.1.0.0/16"])


async def test_a_proxy_reaches_what_is_not_ours() -> None:
    """Names are the proxy's to look up; one's own hosts are asked directly, and this machine never through it."""
    through = await planned("https://provider.test/", proxy="http://user:pass@proxy.test:3128")
    assert (through.proxy, through.addresses) == ("http://user:pass@proxy.test:3128", ())
    direct = await planned("https://own.test/", "10.1.2.3", allow=["own.test"], proxy="http://proxy.test:3128")
    assert (direct.proxy, direct.addresses) == ("", ("10.1.2.3",))
    for url in ("https://localhost/", "https://10.0.0.1/", "http://provider.test/", "https://a.localhost/"):
        with pytest.raises(TargetRefused):
            await planned(url, PUBLIC, proxy="http://proxy.test:3128")


async def test_a_name_without_an_address_is_said_so() -> None:
    """Whoever mistypes a provider's name reads that there is no such name."""
    with pytest.raises(Unreachable, match="no address is known for this name"):
        await planned("https://typo.test/")


@pytest.mark.parametrize("entry", ["", "http://x.test", "x.test/path", "300.1.1.1", "*.example.org", "a b"])
def test_a_list_entry_is_a_name_or_a_network(entry: str) -> None:
    """What the operator lists is a plain name or a network, so that a slip opens nothing unseen."""
    with pytest.raises(ValueError, match="host name"):
        OutboundSettings.of([entry])


@pytest.mark.parametrize("proxy", ["proxy.test:3128", "socks5://proxy.test", "http://"])
def test_a_proxy_is_an_address(proxy: str) -> None:
    """A proxy that cannot be used is found at the start, and its password is not repeated."""
    with pytest.raises(ValueError, match="must be an address"):
        OutboundSettings.of(proxy=proxy)
