"""Routing by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.errors import NameInvalid
from entrepot.web.http import Request
from entrepot.web.plain_paths import plain_path
from entrepot.web.responses import Response
from entrepot.web.router import PathUnknown, RepositoryRoutes, Route, Router

ROUTES = RepositoryRoutes(
    manifests=Route("manifests", {}),
    blobs=Route("blobs", {}),
    uploads=Route("uploads", {}),
    upload=Route("upload", {}),
    tags=Route("tags", {}),
    referrers=Route("referrers", {}),
)
ROUTER = Router({"/v2/": Route("base", {})}, ROUTES)

_PART = st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)
_WORD = st.sampled_from(["blobs", "uploads", "manifests", "tags", "list", "referrers", "v2"])
NAMES = st.lists(st.one_of(_PART, _WORD), min_size=1, max_size=5).map("/".join)
TARGETS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)


def request(path: str) -> Request:
    """Return a request for a path."""

    async def receive() -> dict[str, object]:
        raise AssertionError

    scope = {"method": "GET", "raw_path": path.encode("latin-1"), "query_string": b"", "headers": []}
    return Request(scope, receive)


def found(path: str, router: Router = ROUTER) -> tuple[str, str, str]:
    """Return the label of a path's route, its name and its target."""
    asked = request(path)
    router.route(asked)
    return asked.route, asked.name, asked.target


@given(NAMES, TARGETS, DIGESTS)
def test_every_name_reaches_every_route(name: str, target: str, digest: str) -> None:
    """Whatever words a repository's name is made of, each resource below it is found."""
    assert found(f"/v2/{name}/manifests/{target}") == ("manifests", name, target)
    assert found(f"/v2/{name}/manifests/{digest}") == ("manifests", name, digest)
    assert found(f"/v2/{name}/blobs/{digest}") == ("blobs", name, digest)
    assert found(f"/v2/{name}/blobs/uploads/") == ("uploads", name, "")
    assert found(f"/v2/{name}/referrers/{digest}") == ("referrers", name, digest)
    assert found(f"/v2/{name}/tags/list") == ("tags", name, "")


@given(NAMES, st.from_regex(r"[A-Za-z0-9_-]{32}", fullmatch=True))
def test_every_name_has_uploads(name: str, session: str) -> None:
    """An upload session is found under every name."""
    assert found(f"/v2/{name}/blobs/uploads/{session}") == ("upload", name, session)


@given(st.binary(max_size=60))
def test_any_bytes_are_routed_or_refused(path: bytes) -> None:
    """No path makes the router fail in another way than by its two errors."""
    asked = request("")
    asked.raw_path = b"/v2/" + path
    try:
        route = ROUTER.route(asked)
    except (NameInvalid, PathUnknown):
        return
    assert route.label
    assert ".." not in asked.name.split("/")


@given(st.text(alphabet="abc/.-_%25eEfF0:~", max_size=30))
def test_a_plain_path_has_no_way_up(text: str) -> None:
    """What passes has no encoded character left and no part that leads elsewhere."""
    try:
        path = plain_path(f"/{text}".encode())
    except NameInvalid:
        return
    assert "%" not in path
    assert not {"..", "."} & set(path.split("/"))


@pytest.mark.parametrize(
    ("encoded", "plain"),
    [(b"/a%3ab", "/a:b"), (b"/%61", "/a"), (b"/a%2Db%5F%2e%7e", "/a-b_.~"), (b"/a%2bb%40", "/a+b@"), (b"", "")],
)
def test_needless_encodings_are_undone(encoded: bytes, plain: str) -> None:
    """Characters that need no encoding may be encoded, in either case of the digits."""
    assert plain_path(encoded) == plain


def test_prefix() -> None:
    """Paths below a prefix are routed as without it; the bare prefix and lookalikes are unknown."""
    router = Router({"/v2/": Route("base", {})}, ROUTES, "/my/registry/")
    assert found("/my/registry/v2/", router)[0] == "base"
    assert found("/my/registry/v2/a/tags/list", router) == ("tags", "a", "")
    for path in ("/v2/", "/my/registry", "/my/registryv2/", "/my/v2/"):
        with pytest.raises(PathUnknown):
            found(path, router)


def test_allow_lists_the_methods() -> None:
    """The Allow header is made once, in order."""

    async def handler(request: Request, services: object) -> Response:
        raise AssertionError

    assert Route("x", {"PUT": handler, "GET": handler}).allow == b"GET, PUT"
