"""`n`, `last` and `Link`: the parameters of all lists (distribution specification, "Listing Tags")."""

from __future__ import annotations

from urllib.parse import urlencode

from entrepot.oci.errors import PaginationNumberInvalid
from entrepot.web.http import Header, Request
from entrepot.web.services import Services

#: Numbers with more digits are larger than any list.
_MAX_DIGITS = 12
#: No repository name, tag or digest is longer.
_MAX_LAST = 1024


def page_size(request: Request, *, default: int, most: int, clamp: bool) -> int:
    """Return how many entries a client asks for.

    Args:
        request: The request with `n` in its query, or without.
        default: The size when there is no `n`.
        most: The largest size.
        clamp: Give the largest size to those who ask for more; refuse them otherwise.

    Raises:
        PaginationNumberInvalid: `n` is not a plain number, or too large.
    """
    text = request.query("n")
    if text is None:
        return min(default, most)
    if not (text.isascii() and text.isdigit()):
        raise PaginationNumberInvalid("The parameter n must be a number of entries.", detail={"n": text[:_MAX_DIGITS]})
    size = int(text) if len(text) <= _MAX_DIGITS else most + 1
    if size > most and not clamp:
        raise PaginationNumberInvalid(f"The parameter n must be at most {most}.", detail={"n": text[:_MAX_DIGITS]})
    return min(size, most)


def continue_after(request: Request) -> str:
    """Return the entry after which the page begins; the empty text for the first page.

    Raises:
        PaginationNumberInvalid: The text cannot be an entry of any list.
    """
    last = request.query("last") or ""
    if len(last) > _MAX_LAST or not last.isprintable():
        raise PaginationNumberInvalid("The parameter last must be an entry of the list.")
    return last


def next_link(services: Services, path: str, **parameters: str | int) -> Header:
    """Return the Link to the next page (RFC 8288)."""
    query = urlencode(parameters)
    return (b"link", f'<{services.settings.prefix.rstrip("/")}{path}?{query}>; rel="next"'.encode())
