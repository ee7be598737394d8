"""`Warning` headers, as the specification bounds them."""

from entrepot.web.body import BodyLimits
from entrepot.web.distribution.warnings import warn
from entrepot.web.http import Request


async def nothing() -> dict[str, object]:
    """Receive no body."""
    return {"type": "http.request"}


def make_request() -> Request:
    """Give a request as a server makes it."""
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    return Request(scope, nothing, BodyLimits())


def test_a_warning_is_one_quoted_line() -> None:
    """Quotes, backslashes, line ends and other alphabets cannot end the value or begin another header."""
    request = make_request()
    warn(request, 'a "b" \\c\r\nX-Other: d é')
    assert request.extra_headers == ((b"warning", b'299 - "a \\"b\\" \\\\c X-Other: d ?"'),)


def test_warnings_of_one_answer_are_bounded() -> None:
    """What would make all of them longer than 4096 bytes is left out, a shorter one still fits."""
    request = make_request()
    for text in ("x" * 4000, "y" * 4000, "short"):
        warn(request, text)
    assert [value[7:8] for _, value in request.extra_headers] == [b"x", b"s"]
