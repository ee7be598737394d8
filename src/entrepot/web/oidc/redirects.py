"""Where a browser goes on to after a sign-in: a path of this registry, or nowhere (CVE-2024-22244)."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 2048
#: One reading for every browser: it begins with one slash, and has no backslash, blank, control character or scheme.
_LOCAL: Final = re.compile(r"/(?:(?!/|%2[fF]|%5[cC])(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})*)?")
_CONTROL: Final = re.compile(r"%(?:[01][0-9A-Fa-f]|7[fF]|5[cC])")


class RedirectRefused(Exception):
    """The address is not a plain path of this registry."""


def local_path(text: str) -> str:
    """Return a path of this registry as it was given.

    Raises:
        RedirectRefused: It is something else, or could be read as something else.
    """
    if len(text) > LONGEST or _LOCAL.fullmatch(text) is None or _CONTROL.search(text):
        raise RedirectRefused("after the sign-in one can only go on to a path of this registry, such as /projects")
    return text
