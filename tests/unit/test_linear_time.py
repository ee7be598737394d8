"""What anybody may send is read in a time that grows no faster than its length (CVE-2023-0632, CVE-2025-62727).

Time is processor time of this thread alone. A text is made longer until reading it takes some milliseconds, and then
sixteen times as long: a reader in proportion takes sixteen times as long then, one that looks at each character for
each other one 256 times. What else runs here makes the one seem slower, by its caches, but never like the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from typing import Any, Final

import pytest
from sqlalchemy import Column, Text

from entrepot.access.faults import Fault
from entrepot.access.passwords.credentials import parse_authorization
from entrepot.access.patterns import Pattern, PatternInvalid
from entrepot.access.tokens import jwt
from entrepot.accounts.directory import names as dn
from entrepot.accounts.directory.name_comparison import folded
from entrepot.accounts.names import checked_email, checked_name
from entrepot.adapters.identity.ldap import filters
from entrepot.adapters.identity.oidc import oauth
from entrepot.metadata.filtering import Field
from entrepot.oci import negotiation, ranges, scope
from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError
from entrepot.oci.media_type import is_well_formed
from entrepot.oci.reference import RepositoryName, parse_reference
from entrepot.projects.contents.kinds import kind_of
from entrepot.web.api import query
from entrepot.web.oidc.redirects import RedirectRefused, local_path
from entrepot.web.plain_paths import plain_path
from entrepot.web.proxies import Proxies
from entrepot.web.session.cookies import SessionCookies
from entrepot.web.settings import WebSettings
from tests.support.bare_requests import bare_request

FASTEST: Final = 0.001  #: seconds from which on a time means something
LONGEST: Final = 1 << 16  #: far longer than any header, path or field that is let in
STEP: Final = 2
FACTOR: Final = 16
WORST: Final = 64.0  #: between 16, which is linear, and 256, which is quadratic
ROUNDS: Final = 3  #: the least of several tells, where something was in the way
REFUSALS: Final = (
    Fault,
    RegistryError,
    ValueError,
    PatternInvalid,
    RedirectRefused,
    dn.DnInvalid,
    oauth.ProviderUnavailable,
)
PROXIES: Final = Proxies(WebSettings(trusted_proxies=(ip_network("10.0.0.0/8"),)))
DIGEST: Final = Digest.of(b"")
FIELDS: Final = {"name": Field(column=Column("name", Text))}
Read = Callable[[str], object]


def with_header(name: str, read: Callable[[Any], object]) -> Read:
    """Return what reads one header of a request, which comes from a proxy that is trusted."""
    return lambda text: read(bare_request("10.0.0.1", (name, text)))


READERS: dict[str, Read] = {
    "q": lambda text: [query._CONDITION.match(text, 5), *(query._ITEM.findall(text)), query._RANGE.fullmatch(text)],
    "sort": lambda text: query.parse_sort(text, FIELDS),
    "dn": dn.fold_dn,
    "dn, first value": dn.first_value,
    "dn, written": dn.escape_value,
    "filter": filters.escape,
    "name of a directory": folded,
    "Link": lambda text: oauth._next(text, "https://provider.test/groups"),
    "Accept": lambda text: negotiation.accepts([text], "application/json"),
    "If-None-Match": lambda text: negotiation.matches_etag(text, DIGEST),
    "Range": lambda text: ranges.parse_ranges(text, 10**9),
    "Content-Range": ranges.parse_content_range,
    "Forwarded": with_header("forwarded", PROXIES.origin),
    "X-Forwarded-Host": with_header("x-forwarded-host", PROXIES.origin),
    "X-Forwarded-For": with_header("x-forwarded-for", PROXIES.client),
    "Cookie": with_header("cookie", SessionCookies(PROXIES).read),
    "Authorization": parse_authorization,
    "token": jwt.read_header,
    "scope": scope.parse_scopes,
    "path": lambda text: plain_path(text.encode()),
    "redirect": local_path,
    "repository": RepositoryName.parse,
    "reference": parse_reference,
    "media type": is_well_formed,
    "artifact type": lambda text: kind_of(text, ""),
    "user name": checked_name,
    "e-mail": checked_email,
    "pattern": lambda text: Pattern.parse("**/*a*b*?").matches(text),
}
#: Texts in which a reader that goes back would go back far: each is one piece over and over, and an end.
SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "blanks": lambda length: "name=" + " " * length + "x",
    "blanks at the end": lambda length: "cn=a" + " " * length,
    "open brackets": lambda length: "name=" + "[{(" * (length // 3),
    "quotes": lambda length: "name=" + "\"'" * (length // 2),
    "links": lambda length: "<https://provider.test/a>;" * (length // 26),
    "links within links": lambda length: "<" * length + ">;",
    "links without relation": lambda length: "<https://provider.test/a>; " + "rel= " * (length // 5),
    "ranges": lambda length: "bytes=" + "0-1," * (length // 4),
    "digits": lambda length: "bytes=" + "9" * length + "-",
    "list": lambda length: "application/json;q=0.1," * (length // 23),
    "weights": lambda length: "a/b" + ";q=0 " * (length // 5),
    "addresses": lambda length: "10.0.0.1, " * (length // 10),
    "proxies": lambda length: "for=10.0.0.1;proto=https;host=a;" * (length // 32),
    "commas": lambda length: "a=b," * (length // 4),
    "plus": lambda length: "cn=a" + "+a=b" * (length // 4),
    "backslashes": lambda length: "cn=" + "\\" * length,
    "cookies": lambda length: "sid=a; " * (length // 7),
    "percents": lambda length: "/" + "%41" * (length // 3),
    "slashes": lambda length: "/" * length,
    "parts": lambda length: "/a" + "/b.c-d__e" * (length // 9),
    "dots": lambda length: "application/vnd." + "a.config." * (length // 9) + "+json",
    "ats": lambda length: "@" * length,
    "letters": lambda length: "a" * length + "!",
    "stars": lambda length: "ab" * (length // 2) + "c",
}


def seconds(read: Read, text: str) -> float:
    """Return the time that reading takes."""
    before = time.thread_time()
    with suppress(*REFUSALS):
        read(text)
    return time.thread_time() - before


def growth(read: Read, shape: Callable[[int], str]) -> float:
    """Return by how much the time grows with the length; nothing where no length takes any time to speak of."""
    length = 1 << 10
    while (taken := seconds(read, shape(length))) < FASTEST:
        if length >= LONGEST:
            return 0.0
        length *= STEP
    long, longer = shape(length), shape(length * FACTOR)
    least = seconds(read, longer) / taken
    for _ in range(ROUNDS):
        if least <= WORST:
            break
        least = min(least, seconds(read, longer) / seconds(read, long))
    return least


@pytest.mark.parametrize("what", READERS)
def test_reading_takes_time_in_proportion(what: str) -> None:
    """No text makes a reader go over it again and again."""
    grown = {name: growth(READERS[what], shape) for name, shape in SHAPES.items()}
    assert {name: factor for name, factor in grown.items() if factor > WORST} == {}


def test_a_reader_that_goes_back_is_noticed() -> None:
    """The measure can fail: a search that begins anew at each link and reads to the end is told from the others."""
    careless = re.compile(r"<([^<>]+)>\s*;[^,]*\brel=next")
    assert growth(careless.search, SHAPES["links"]) > WORST


def test_a_filter_of_a_list_has_a_longest_length() -> None:
    """`q` is read in time that is bounded by its length, not by what it looks like: longer ones are refused unread."""
    with pytest.raises(Fault, match="more than 4096"):
        query.parse_query("name=" + "[" * LONGEST, FIELDS)
    assert all(seconds(lambda text: query.parse_query(text, FIELDS), shape(4000)) < 1 for shape in SHAPES.values())
