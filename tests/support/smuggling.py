"""Requests whose end two programs may see in different places, each with a second request hidden where it could end.

Nobody may ever answer the hidden one. `HIDDEN` is its path; whatever has it in a log has been fooled.
"""

from __future__ import annotations

HIDDEN = "/v2/hidden/tags/list"
_HIDDEN_REQUEST = b"GET " + HIDDEN.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n"
_TARGET = b"POST /v2/a/b/blobs/uploads/ HTTP/1.1\r\nHost: registry.test\r\n"
_CHUNKED_EMPTY = b"0\r\n\r\n"
_LENGTH = b"%d" % (len(_CHUNKED_EMPTY) + len(_HIDDEN_REQUEST))


def _by_length(*fields: bytes) -> bytes:
    """Write a request whose body, by Content-Length, holds an empty chunked body and the hidden request."""
    return _request(*fields, b"Content-Length: " + _LENGTH) + _CHUNKED_EMPTY + _HIDDEN_REQUEST


def _chunked(*fields: bytes, body: bytes = _CHUNKED_EMPTY) -> bytes:
    """Write a request that ends, for who reads chunks, before the hidden request."""
    return _request(*fields) + body + _HIDDEN_REQUEST


def _request(*fields: bytes) -> bytes:
    return _TARGET + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


_ENCODINGS = {
    "both": b"Transfer-Encoding: chunked",
    "both, tab": b"Transfer-Encoding:\tchunked",
    "both, space before the colon": b"Transfer-Encoding : chunked",
    "both, unknown": b"Transfer-Encoding: xchunked",
    "both, identity": b"Transfer-Encoding: identity",
    "both, list": b"Transfer-Encoding: chunked, identity",
    "both, reverse list": b"Transfer-Encoding: identity, chunked",
    "both, quoted": b'Transfer-Encoding: "chunked"',
    "both, upper case": b"TRANSFER-ENCODING: CHUNKED",
    "both, twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "both, underscore": b"Transfer_Encoding: chunked",
    "both, vertical tab": b"Transfer-Encoding: \x0bchunked",
    "both, trailing vertical tab": b"Transfer-Encoding: chunked\x0b",
    "both, empty": b"Transfer-Encoding:",
    "both, folded": b"Transfer-Encoding:\r\n chunked",
    "both, folded value": b"X: y\r\n Transfer-Encoding: chunked",
    "both, bare line feed": b"X: y\nTransfer-Encoding: chunked",
    "both, bare carriage return": b"X: y\rTransfer-Encoding: chunked",
    "both, null": b"X: y\x00\r\nTransfer-Encoding: chunked",
    "both, no-break space": b"Transfer-Encoding: \xa0chunked",
}
_LENGTHS = {
    "lengths that differ": b"Content-Length: 0\r\nContent-Length: " + _LENGTH,
    "lengths in a list": b"Content-Length: 0, " + _LENGTH,
    "the same length twice": b"Content-Length: 0\r\nContent-Length: 0",
    "a length with a sign": b"Content-Length: +0",
    "a negative length": b"Content-Length: -1",
    "a length in hexadecimal": b"Content-Length: 0x0",
    "a length with a point": b"Content-Length: 0.0",
    "a length with spaces": b"Content-Length: 0 0",
    "a length with a digit that is none": b"Content-Length: \xd9\xa0",
    "a length too large": b"Content-Length: 18446744073709551616",
    "a length on two lines": b"Content-Length:\r\n 0",
    "an empty length": b"Content-Length:",
    "a space before the colon": b"Content-Length : " + _LENGTH,
    "a header that is a request": b"GET / HTTP/1.1",
    "a header without a name": b": 0",
    "a space before the first header": b" X: y",
}
_BODIES = {
    "chunk extension": b"0;a=b\r\n\r\n",
    "chunk extension with line feed": b"2;\nxx\r\nab\r\n0\r\n\r\n",
    "chunk extension, endless": b"0;" + b"a" * 100_000 + b"\r\n\r\n",
    "chunk size with prefix": b"0x0\r\n\r\n",
    "chunk size with sign": b"+0\r\n\r\n",
    "chunk size with spaces": b"0 \r\n\r\n",
    "chunk size with underscore": b"0_0\r\n\r\n",
    "chunk size too large": b"FFFFFFFFFFFFFFFF1\r\nx\r\n0\r\n\r\n",
    "chunk size negative": b"-1\r\n\r\n",
    "no chunk size": b"\r\n\r\n",
    "bare line feeds": b"0\n\n",
    "chunk too long": b"1\r\nabc\r\n0\r\n\r\n",
    "trailer with a length": b"0\r\nContent-Length: 100\r\n\r\n",
    "trailer with an encoding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailers, endless": b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
}
_OLD = (
    b"POST /v2/a/b/blobs/uploads/ HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    + _CHUNKED_EMPTY
    + _HIDDEN_REQUEST
)

#: By what is odd about them.
CORPUS: dict[str, bytes] = {
    **{name: _by_length(field) for name, field in _ENCODINGS.items()},
    **{f"{name}, length last": _chunked(field, b"Content-Length: " + _LENGTH) for name, field in _ENCODINGS.items()},
    **{name: _request(field) + _HIDDEN_REQUEST for name, field in _LENGTHS.items()},
    **{name: _chunked(b"Transfer-Encoding: chunked", body=body) for name, body in _BODIES.items()},
    "chunks in HTTP/1.0": _OLD,
    "upgrade": _request(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: " + _LENGTH)
    + _CHUNKED_EMPTY
    + _HIDDEN_REQUEST,
    "connect": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + _HIDDEN_REQUEST,
}
#: By the rules these end before the hidden request, which is a second one in its own right, pipelined.
PIPELINED = frozenset(
    {
        "the same length twice",
        "chunk extension",
        "chunk size with spaces",
        "trailer with a length",
        "trailer with an encoding",
        "connect",
    }
)


def with_own_path(request: bytes, number: int) -> tuple[str, bytes]:
    """Give the hidden request a path that no other has, of the same length; returns path and request."""
    path = HIDDEN.replace("hidden", f"hid{number:03}")
    return path, request.replace(HIDDEN.encode(), path.encode())
