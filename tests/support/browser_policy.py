"""What every answer owes to a browser (OWASP ASVS 5.0 V3), whoever asked for it and whatever came of it.

The client of the HTTP tests holds every answer against it: so a page or a route that is new is looked at with the first
test that asks for it, and the authorisation matrix asks for every route.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from entrepot.oci.media_type import MANIFEST_TYPES

#: What a browser shows as text or offers to save, as long as it does not guess (nosniff).
INERT: Final = frozenset(
    {
        *MANIFEST_TYPES,
        "application/json",
        "application/octet-stream",
        "application/x-ndjson",
        "multipart/byteranges",  # nothing but mail and cameras (x-mixed-replace) is ever shown in parts
        "text/csv",
        "text/markdown",
        "text/plain",
    }
)
PAGE: Final = "text/html; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
#: The one page with a script, and that.
SCRIPTED: Final = re.compile(r"/c/security_keys\Z")
SCRIPTS: Final = re.compile(r"/c/security_keys\.js\Z")
#: The one style sheet of all pages.
STYLE: Final = "text/css; charset=utf-8"
STYLES: Final = re.compile(r"/c/pages\.css\Z")
SCRIPTED_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "form-action 'none'; base-uri 'none'"
)
PAGE_POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
PUSHED_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
_YEAR: Final = 31_536_000
_PUSHED: Final = re.compile(r"(^|/)v2/.+/(blobs/[^/]+:[^/]+|manifests/[^/]+)\Z")
_AGE: Final = re.compile(r"max-age=(\d+)")
_STYLED: Final = re.compile(rb'<link rel="stylesheet" href="[a-z/]*/c/pages\.css">')
_LOADED: Final = re.compile(rb'<script src="[a-z/]*/c/security_keys\.js" defer></script>')
_ACTIVE: Final = re.compile(
    rb"<(script|style|img|link|iframe|object|embed|base|meta http)|\son\w+=|javascript:", re.IGNORECASE
)


class Told(Protocol):
    """An answer."""

    status: int
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return every header of this name."""
        ...


def breaches(answer: Told, path: str, *, https: bool, whole_host: bool = True) -> list[str]:
    """Say in what an answer does not keep the policy.

    Args:
        answer: The answer.
        path: The one that was asked for, without a query.
        https: It was asked for by https.
        whole_host: It was at the usual port.
    """
    return [
        *_of_all(answer),
        *_of_type(answer, path),
        *_of_cookies(answer, https=https),
        *(() if re.search(r"(^|/)v2(/|\Z)", path) else _of_site(answer, ever_so=https and whole_host)),
    ]


def _of_all(answer: Told) -> Iterator[str]:
    if answer.values("x-content-type-options") != ["nosniff"]:
        yield "a browser may guess the type: no X-Content-Type-Options"
    if answer.values("access-control-allow-origin"):
        yield "pages of other sites may read it"


def _of_type(answer: Told, path: str) -> Iterator[str]:
    """What has a body says its type, and comes with the policy of that type."""
    types, policies = answer.values("content-type"), answer.values("content-security-policy")
    if not answer.body and not types:
        return
    if len(types) != 1:
        yield f"a body with the types {types}"
    elif types[0] == PAGE:
        yield from _of_page(answer, policies, scripted=SCRIPTED.search(path) is not None)
    elif (types[0] == SCRIPT and SCRIPTS.search(path)) or (types[0] == STYLE and STYLES.search(path)):
        if policies != [DATA_POLICY]:
            yield f"a script or a style sheet with the policy {policies}"
    elif types[0].partition(";")[0] not in INERT:
        yield f"a type that browsers may run: {types[0]}"
    elif _is_pushed(answer, path):
        if policies != [PUSHED_POLICY] or answer.values("content-disposition") != ["attachment"]:
            yield f"somebody's upload, neither in a sandbox nor to be saved: {policies}"
    elif policies not in ([DATA_POLICY], [PUSHED_POLICY]):
        yield f"data with the policy {policies}"


def _of_page(answer: Told, policies: list[str], *, scripted: bool) -> Iterator[str]:
    if policies != [SCRIPTED_POLICY if scripted else PAGE_POLICY]:
        yield f"a page with the policy {policies}"
    if answer.values("referrer-policy") != ["same-origin"]:
        yield "a page that tells other sites its address"
    if answer.values("cross-origin-opener-policy") != ["same-origin"]:
        yield "a page that whoever opened it may move"
    body = _STYLED.sub(b"", answer.body, count=1)
    if _ACTIVE.search(_LOADED.sub(b"", body, count=1) if scripted else body):
        yield "a page that runs or loads something"


def _is_pushed(answer: Told, path: str) -> bool:
    return answer.status in (200, 206) and _PUSHED.search(path) is not None


def _of_cookies(answer: Told, *, https: bool) -> Iterator[str]:
    for cookie in answer.values("set-cookie"):
        name, *attributes = re.split("; ?", cookie)
        wanted = {"Path=/", "HttpOnly", "SameSite=Lax", *({"Secure"} if https else ())}
        if not wanted <= set(attributes) or any(each.startswith("Domain") for each in attributes):
            yield f"a cookie that others get: {cookie}"
        if https and not name.startswith("__Host-"):
            yield f"a cookie that another host of the domain can put under: {cookie}"


def _of_site(answer: Told, *, ever_so: bool) -> Iterator[str]:
    """Pages and the management API: kept by nobody, in no other site, and https where the host is ours alone."""
    if answer.values("cache-control") != ["no-store"]:
        yield f"somebody on the way may keep it: Cache-Control is {answer.values('cache-control')}"
    if answer.values("cross-origin-resource-policy") != ["same-origin"]:
        yield "other sites may load it"
    ages = [int(found[1]) for value in answer.values("strict-transport-security") if (found := _AGE.match(value))]
    if ever_so and not any(age >= _YEAR for age in ages):
        yield f"Strict-Transport-Security for {ages} seconds"
