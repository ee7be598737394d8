"""Strategies for HTTP requests that nobody means well: nearly right ones, with any part of them gone wrong."""

from __future__ import annotations

from hypothesis import strategies as st

DIGEST = "sha256:" + "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
_METHODS = [*["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] * 6, "OPTIONS", "TRACE", "get", "X" * 40, ""]
_NAMES = ["a", "b", "a/b", "latest", DIGEST, "sha512:" + "0" * 128, "library", "none"]
_WORDS = ["_catalog", "tags", "list", "manifests", "blobs", "uploads", "referrers", "_oci", "ext", "discover", "token"]
_ODD_PARTS = [
    *(
        "sha256:",
        "sha256:xyz",
        "..",
        ".",
        "",
        "A",
        "*",
        "healthz",
        "%2f",
        "%2e%2e",
        "%00",
        "%",
        "%zz",
        "\xff",
        "?",
        "#",
    ),
    *("x" * 300, "t" * 129, "a__b", "-a", "é", "\x7f", "a\\b"),
]
_SHAPES = [
    "/v2/a/b/manifests/{}",
    "/v2/{}/manifests/{}",
    "/v2/a/b/blobs/{}",
    "/v2/{}/blobs/{}",
    "/v2/a/b/blobs/uploads/",
    "/v2/a/b/blobs/uploads/{}",
    "/v2/a/b/referrers/{}",
    "/v2/{}/tags/list",
    "/v2/{}/{}/{}",
    "/v2/_catalog",
    "/v2/_oci/ext/discover",
    "/token",
    "/{}/{}",
    "http://x/v2/{}",
    "{}",
]
_PARAMETERS = [
    "n",
    "last",
    "digest",
    "mount",
    "from",
    "tag",
    "ns",
    "artifactType",
    "digest-algorithm",
    "service",
    "scope",
    "account",
    "_state",
    "x",
]
_VALUES = [
    *(
        "",
        "0",
        "-1",
        "1",
        "1e9",
        "9" * 60,
        DIGEST,
        "sha512",
        "a/b",
        "../x",
        "%00",
        "%ff",
        "\xe9",
        "a b",
        "+",
        "&",
        "=;",
    ),
    *("repository:a/b:pull,push", "repository:*:*", "registry:catalog:*", "repository:a/b", "v" * 9000, "[", "{"),
]
_HEADERS = [
    *("Range", "Content-Range", "If-None-Match", "If-Range", "Accept", "Accept-Encoding", "Authorization", "Cookie"),
    *("Content-Type", "Content-Encoding", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For"),
    *("Expect", "Upgrade", "Connection", "Host", "TE", "Trailer", "X-Request-Id", "Docker-Upload-UUID", "Origin", ""),
]
_TEXTS = [
    *(
        "",
        "bytes=0-",
        "bytes=-1",
        "bytes=1-0",
        "bytes=a-b",
        "bytes=0-0," * 900,
        "0-1",
        "1-0",
        "0-" + "9" * 40,
        "bytes 0-1/*",
    ),
    *("*", "*/*", "\xff\xfe", "a,b,c", "Basic ====", "Basic Og==", "Bearer", "Bearer a.b.c", "Bearer " + "x" * 5000),
    *("application/vnd.oci.image.manifest.v1+json", "application/json;q=x", "text/plain; charset=\x01", "100-continue"),
    *(
        "close",
        "upgrade, keep-alive",
        "for=unknown;proto=gopher",
        "evil.test, x",
        "javascript://",
        "a" * 70_000,
        '"',
        "W/",
    ),
]
_BODIES = [
    b"",
    b"{}",
    b"x" * 5000,
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}',
    b'{"schemaVersion":2,"config":{"digest":"x","size":-1},"layers":[{}]}',
    b'{"schemaVersion":2,"manifests":[{"digest":"' + DIGEST.encode() + b'","size":1e400}]}',
    b'{"schemaVersion":1,"name":"a","tag":"b"}',
    b"null",
]

_part = st.one_of(
    *[st.sampled_from(_NAMES)] * 4, st.sampled_from(_WORDS), st.sampled_from(_ODD_PARTS), st.text(max_size=8)
)
_value = st.one_of(*[st.sampled_from(_VALUES)] * 3, st.text(max_size=8))
_query = st.lists(st.tuples(st.sampled_from(_PARAMETERS), _value).map("=".join), max_size=2).map("&".join)
_text = st.one_of(*[st.sampled_from(_TEXTS)] * 4, st.text(max_size=8))
_field = st.tuples(st.sampled_from(_HEADERS), _text).map(": ".join)
_few = st.sampled_from([0, 0, 1, 2])


@st.composite
def _targets(draw: st.DrawFn) -> str:
    shape = draw(st.sampled_from(_SHAPES))
    path = shape.format(*(draw(_part) for _ in range(shape.count("{}"))))
    query = draw(_query) if draw(st.booleans()) else ""
    return f"{path}?{query}" if query else path


@st.composite
def _framed(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Draw a body and the headers that announce it, or something like it."""
    body = draw(st.sampled_from(_BODIES))
    match draw(st.integers(0, 9)):
        case 0:
            return ["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n0\r\n\r\n" % (
                len(body),
                body,
            ) if body else b"0\r\n\r\n"
        case 1:
            return [f"Content-Length: {draw(st.sampled_from([0, 1, -1, 10**30, 3]))}"], body
        case 2:
            return [], body
        case _:
            return [f"Content-Length: {len(body)}"], body


@st.composite
def requests(draw: st.DrawFn, *, authorization: str) -> bytes:
    """Draw the bytes of a request, most of them well formed, mostly signed in."""
    line = f"{draw(st.sampled_from(_METHODS))} {draw(_targets())} HTTP/1.1"
    framing, body = draw(_framed())
    fields = ["Host: registry.test", "Connection: close", *framing, *(draw(_field) for _ in range(draw(_few)))]
    if draw(st.integers(0, 3)):
        fields.append(f"Authorization: {authorization}")
    data = "\r\n".join([line, *fields, "", ""]).encode("utf-8", "surrogateescape") + body
    return draw(_broken(data)) if draw(st.integers(0, 7)) == 0 else data


@st.composite
def _broken(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw the same with some bytes lost, added, or others."""
    place = draw(st.integers(0, min(len(data), 400)))
    lost = draw(st.integers(0, 3))
    return data[:place] + draw(st.binary(max_size=4)) + data[place + lost :]
