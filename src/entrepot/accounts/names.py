"""What an account or a group may be called."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from entrepot.access.faults import Invalid

_LONGEST: Final = 255
#: `:` ends the name in Basic credentials, `$` begins the name of a robot; the rest is Harbor's list.
_FORBIDDEN: Final = frozenset(',"~#%$:<>`|;')
#: Names nobody: rights are explained for it, and the audit log says it of whoever has not signed in.
NOBODY: Final = "anonymous"
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,190}")


def checked_name(name: str, what: str = "user name") -> str:
    """Return a name in its composed form (NFC), so that what looks alike is one name.

    Raises:
        Invalid: It is empty or too long, has characters that a name cannot have, or is kept for nobody.
    """
    composed = unicodedata.normalize("NFC", name)
    if not 0 < len(composed) <= _LONGEST or composed != composed.strip():
        raise Invalid(f"a {what} has 1 to {_LONGEST} characters and neither begins nor ends with a blank")
    wrong = sorted({character for character in composed if not _allowed(character)})
    if wrong:
        raise Invalid(f"a {what} cannot have {' '.join(map(ascii, wrong[:5]))}")
    if composed.casefold() == NOBODY:
        raise Invalid(f"a {what} cannot be {NOBODY}: that means whoever has not signed in")
    return composed


def checked_email(email: str | None) -> str | None:
    """Return an e-mail address; None for the empty text.

    Raises:
        Invalid: It is none.
    """
    if not email:
        return None
    if _EMAIL.fullmatch(email) is None:
        raise Invalid(f"{email[:100]!a} is no e-mail address")
    return email


def checked_text(text: str, what: str, longest: int = 255) -> str:
    """Return a line that people see.

    Raises:
        Invalid: It is too long, or has control characters.
    """
    if len(text) > longest:
        raise Invalid(f"the {what} has {len(text)} characters; {longest} are the most")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise Invalid(f"the {what} has control characters")
    return text


def _allowed(character: str) -> bool:
    """Tell whether a character is visible, or a plain blank."""
    return character == " " or (character not in _FORBIDDEN and unicodedata.category(character)[0] not in ("C", "Z"))
