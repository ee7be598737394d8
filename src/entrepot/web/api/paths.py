"""Paths of the API: names with slashes, written as one part.

Harbor's clients write the name of a repository as one part of the path, with its slashes encoded twice (`a%252Fb`);
some write it encoded once, or a proxy in front has undone one of the two. The server's decoded path has lost the
difference between that and a slash, so the path to route by is made from the path as sent: `%252F` and `%2F` alike
become `%2F`, everything else is decoded.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from entrepot.oci.errors import NameInvalid

_SLASH: Final = "%2F"
_REFUSED: Final = re.compile(r"[\x00-\x1f\x7f\\]")


def inner_path(raw_path: bytes) -> str:
    """Return the path to route by; a slash at the end does not count.

    Raises:
        NameInvalid: The path holds `.` or `..` as a part, a control character, a backslash, or no UTF-8.
    """
    parts = [_part(part) for part in str(raw_path, "latin-1").split("/")]
    if parts and not parts[-1]:
        parts.pop()
    return "/".join(parts)


def _part(text: str) -> str:
    try:
        once = unquote(text, errors="strict")
        decoded = unquote(once, errors="strict") if "%2f" in once.lower() else once
    except UnicodeDecodeError:
        raise NameInvalid("The path holds bytes that are no UTF-8.") from None
    inside = decoded.split("/")
    if _REFUSED.search(decoded) or any(part in (".", "..") for part in inside):
        raise NameInvalid("The path holds a part '.' or '..', a control character or a backslash.")
    return _SLASH.join(inside)


def with_slashes(part: str) -> str:
    """Return a part of a routed path as the name that it stands for."""
    return part.replace(_SLASH, "/")
