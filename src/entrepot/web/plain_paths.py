"""Paths as text: one spelling for each, and none that a proxy in front could read differently."""

from __future__ import annotations

import re

from entrepot.oci.errors import NameInvalid


def plain_path(raw_path: bytes) -> str:
    r"""Return the path as text.

    Characters that need no encoding may be encoded (some clients write `sha256%3A…`). Anything else that is encoded,
    above all `/`, `%`, `\` and control characters, is refused, and so are `.` and `..` as parts of a path: a proxy
    in front might have read them differently when it decided to let the request through.

    Raises:
        NameInvalid: The path holds such a character or part.
    """
    try:
        path = str(raw_path, "ascii")
    except UnicodeDecodeError:
        raise NameInvalid("The path holds bytes outside ASCII; repository names are plain ASCII.") from None
    if "%" in path:
        path = _ENCODED.sub(_decode, path)
    if _REFUSED.search(path):
        raise NameInvalid("The path holds a part '.' or '..', a control character or a backslash.")
    return path


_ENCODED = re.compile("%(.{0,2})", re.DOTALL)
_REFUSED = re.compile(r"[\x00-\x20\\\x7f]|/\.\.?(?:/|\Z)")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:+@")
_HEX = frozenset("0123456789abcdefABCDEF")


def _decode(match: re.Match[str]) -> str:
    digits = match[1]
    if len(digits) == 2 and _HEX.issuperset(digits) and chr(int(digits, 16)) in _PLAIN:  # noqa: PLR2004 - %XX
        return chr(int(digits, 16))
    raise NameInvalid(f"The path holds the encoded character %{digits}, which no name, tag or digest contains.")
