"""What pages say, in the languages that they know: in each package one file of texts for each, with the same names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

LANGUAGES: Final = ("en", "zh")
_MOST: Final = 20


def language_for(accept: str) -> str:
    """Return the language that a browser likes best of those that there are (RFC 9110, 12.5.4)."""
    found = (LANGUAGES[0], 0.0)
    for entry in accept.split(",")[:_MOST]:
        tag, _, weight = entry.strip().lower().partition(";")
        language, liking = tag.partition("-")[0].strip(), _liking(weight)
        if language in LANGUAGES and liking > found[1]:
            found = (language, liking)
    return found[0]


@cache
def texts(package: str, language: str) -> Mapping[str, str]:
    """Return the texts of a package's pages in a language."""
    content = resources.files(package).joinpath(f"page.{language}.json").read_text(encoding="utf-8")
    return {str(name): str(text) for name, text in json.loads(content).items()}


def _liking(weight: str) -> float:
    name, _, value = weight.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0
