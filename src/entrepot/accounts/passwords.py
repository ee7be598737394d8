"""Which passwords may be chosen (OWASP ASVS 5.0, chapter V6.2): long ones, and none that everybody tries first.

There is no rule about kinds of characters, and no date at which a password has to change. `access.passwords` says how
long is long, and whether the second half holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.config.schema.auth import Passwords

LONGEST: Final = 256
#: Characters that stand for letters, as people write them who want to be clever.
_CLEVER: Final = str.maketrans("013457@$!|", "oieastasil")
_LETTERS: Final = re.compile(r"[^\W\d_]{4,}")
_SHORTEST_WORD: Final = 4
#: Of a password without its common words so many different characters must be left.
_LEFT: Final = 6
#: So many words are taken away before what is left is looked at; more words make a passphrase.
_WORDS: Final = 2
#: Keys side by side and the alphabet; four or more in a row, either way, count as a word.
_RUNS: Final = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "1qaz2wsx3edc4rfv")


@dataclass(frozen=True, slots=True)
class PasswordRule:
    """What a new password has to be."""

    shortest: int = 12  #: characters
    common: bool = False  #: also one that is tried first

    @classmethod
    def of(cls, wanted: Passwords) -> PasswordRule:
        """Return the rule that a configuration asks for."""
        return cls(wanted.shortest, wanted.common)

    def checked(self, password: str, name: str) -> str:
        """Return a new password in its composed form (NFC), the form in which it is hashed and compared.

        Args:
            password: As chosen.
            name: Of the account.

        Raises:
            Invalid: It is too short or too long, is the account's name, or is one that is tried first.
        """
        composed = unicodedata.normalize("NFC", password)
        if not self.shortest <= len(composed) <= LONGEST:
            raise Invalid(f"a password has {self.shortest} to {LONGEST} characters, this one {len(composed)}")
        if not self.common:
            _require_unguessed(composed.casefold(), name.casefold())
        return composed


#: Where nobody decides otherwise.
USUAL: Final = PasswordRule()


def _require_unguessed(plain: str, name: str) -> None:
    if name in plain and _left(plain, [name]) < _LEFT:
        raise Invalid("the password is little more than the account's name; choose another")
    if is_common(plain):
        raise Invalid("the password is one of those that are tried first; choose one that nobody guesses")


def is_common(plain: str) -> bool:
    """Tell whether a password, in small letters, is a word or two that everybody uses, with little beside."""
    return any(_left(form, [*_runs(form), *_words(form)]) < _LEFT for form in (plain, plain.translate(_CLEVER)))


@cache
def common_words() -> frozenset[str]:
    """Return the words that most passwords are made of."""
    text = files("entrepot.accounts").joinpath("common_words.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.split() if len(word) >= _SHORTEST_WORD)


def _words(plain: str) -> list[str]:
    """Return the common words in a password, longest first."""
    longest = max(map(len, common_words()))
    parts = {
        piece[start : start + length]
        for piece in _LETTERS.findall(plain)
        for length in range(_SHORTEST_WORD, min(longest, len(piece)) + 1)
        for start in range(len(piece) - length + 1)
    }
    return sorted(parts & common_words(), key=len, reverse=True)


def _runs(plain: str) -> Iterable[str]:
    """Yield of each row of keys the longest part that the password follows."""
    for row in (way for run in _RUNS for way in (run, run[::-1])):
        parts = (
            row[start : start + length]
            for length in range(len(row), _SHORTEST_WORD - 1, -1)
            for start in range(len(row) - length + 1)
        )
        longest = next((part for part in parts if part in plain), None)
        if longest is not None:
            yield longest


def _left(plain: str, words: Iterable[str]) -> int:
    """Count the different characters that are left without the first few of the words that are there."""
    taken = 0
    for word in words:
        if taken < _WORDS and word in plain:
            plain = plain.replace(word, "")
            taken += 1
    return len(set(plain))
