"""Names as a directory compares them."""

from __future__ import annotations

import unicodedata


def folded(name: str) -> str:
    """Return one form for all spellings that a directory takes for the same name.

    Directories mind neither case nor form of letters, nor how many blanks there are, nor what nobody sees (RFC 4518).
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    seen = "".join(character for character in plain if character.isspace() or character.isprintable())
    return unicodedata.normalize("NFKC", " ".join(seen.split()))
