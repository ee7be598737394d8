"""Content negotiation and conditional requests (RFC 9110 sections 12.5.1 and 13.1.2)."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from entrepot.oci.digest import Digest
from entrepot.oci.media_type import essence

_REFUSED = re.compile(r";[ \t]*[qQ]=0(?:\.0{0,3})?[ \t]*(?:;|$)")

#: Longer headers are read each time, so that what is remembered stays small.
_MAX_REMEMBERED = 4096


def accepts(accept: Sequence[str], media_type: str) -> bool:
    """Tell whether a client takes a media type; ``accept`` holds the request's Accept headers.

    The most specific range that fits decides, so a type can be excluded with ``q=0``. A client that says nothing takes
    everything.
    """
    if not accept:
        return True
    decide = _accepts if sum(map(len, accept)) <= _MAX_REMEMBERED else _accepts.__wrapped__
    return decide(tuple(accept), media_type)


# Clients of one kind send the same headers with each request; reading them takes longer than finding the manifest.
@lru_cache(maxsize=256)
def _accepts(accept: tuple[str, ...], media_type: str) -> bool:
    wanted = dict(_ranges(accept))
    if not wanted:
        return True
    major = media_type.partition("/")[0].lower()
    for candidate in (media_type.lower(), f"{major}/*", "*/*"):
        if candidate in wanted:
            return wanted[candidate]
    return False


def _ranges(accept: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Give each media range and whether it is wanted."""
    for header in accept:
        for element in header.split(","):
            media_range = essence(element)
            if media_range:
                yield media_range, _REFUSED.search(element) is None


def matches_etag(if_none_match: str | None, digest: Digest) -> bool:
    """Tell whether an If-None-Match header names this content.

    Clients write the digest quoted, as the standard wants, or bare; weak and strong tags count alike.
    """
    if not if_none_match:
        return False
    wanted = str(digest)
    return any(_opaque(tag) in (wanted, "*") for tag in if_none_match.split(","))


def _opaque(entity_tag: str) -> str:
    return entity_tag.strip(" \t").removeprefix("W/").strip('"')
