"""The kinds of values a configuration has, each read from text the way Go's YAML decoder reads it.

Every kind accepts the `Plain` and `str` of `document`, and the Python value itself, so that code and tests can build
a `Config` directly. Messages say what is allowed and never repeat the value: it may be a secret in the wrong place.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator, PlainSerializer, SecretStr
from pydantic_core import PydanticCustomError

from entrepot.config.document import Plain
from entrepot.config.durations import format_duration, from_nanoseconds, parse_duration

MASK = "********"

_TRUE = frozenset({"y", "yes", "on", "true"})
_FALSE = frozenset({"n", "no", "off", "false"})
_DECIMAL = re.compile(r"[-+]?[0-9][0-9_]*")
_BASED = re.compile(r"[-+]?0[xXoObB][0-9a-fA-F_]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

#: Units of bytes, and how many each is.
SIZE_UNITS: Final[Mapping[str, int]] = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|[kMGT]B|[KMGT]iB)")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key holds, in the words of the reference page."""

    label: str


def refuse(message: str) -> PydanticCustomError:
    """An error whose text is exactly ours, in place of pydantic's wording."""
    # The message is passed as context, since pydantic would read its braces as a template.
    return PydanticCustomError("configuration", "{message}", {"message": message})


def parse_integer(text: str) -> int | None:
    """The integer that a plain YAML scalar means, with Go's octal `017` and `0x1F`."""
    if _BASED.fullmatch(text):
        return _to_int(text, 0)
    if _DECIMAL.fullmatch(text):
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0"
        return _to_int(text, 8 if octal else 10)
    return None


def _to_int(text: str, base: int) -> int | None:
    try:
        return int(text.replace("_", ""), base)
    except ValueError:
        return None


def as_text(value: object) -> object:
    if isinstance(value, str):
        return str(value)
    raise refuse("must be a text")


def as_flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise refuse("must be true or false")


def as_count(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = parse_integer(value) if isinstance(value, str) else None
    if number is None:
        raise refuse("must be a whole number")
    return number


def as_size(value: object) -> object:
    """Read a number of bytes, with or without a unit."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        return int(found[1]) * SIZE_UNITS[found[2]]
    try:
        return as_count(value)
    except PydanticCustomError:
        raise refuse("must be a size such as 50GiB, 500MB or a number of bytes") from None


def as_duration(value: object) -> object:
    """Go's rule: text has units, a bare integer is nanoseconds. A Python float is seconds already."""
    if isinstance(value, float):
        return value
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return from_nanoseconds(value)
        if isinstance(value, str):
            nanoseconds = parse_integer(value) if isinstance(value, Plain) else None
            return parse_duration(value) if nanoseconds is None else from_nanoseconds(nanoseconds)
    except ValueError:
        pass
    raise refuse("must be a duration such as 500ms, 30s, 10m or 168h (a number without a unit means nanoseconds)")


def as_positive_duration(value: object) -> object:
    seconds = as_duration(value)
    if isinstance(seconds, float) and seconds < 0:
        raise refuse("must not be a negative duration")
    return seconds


def resolve(value: object) -> object:
    """What YAML means by a value for which no type is known."""
    if isinstance(value, Mapping):
        return {key: resolve(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item) for item in value]
    return _resolve_plain(value) if isinstance(value, Plain) else value


def _resolve_plain(text: Plain) -> object:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    number = parse_integer(text)
    if number is not None:
        return number
    return _parse_fraction(text) if _FLOAT.fullmatch(text) else str(text)


def _parse_fraction(text: Plain) -> float:
    number = float(text)
    if math.isinf(number):
        raise refuse("must not be a number as large as this")
    return number


def lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def as_plain_text(value: object) -> object:
    """Forget whether a scalar was quoted, for choices among words."""
    return str(value) if isinstance(value, str) else value


def hide_password(url: str) -> str:
    """A URL that may be shown: the password of `user:password@host` masked."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return urlunsplit(parts._replace(netloc=f"{name}{colon and ':' + MASK}{at}{host}")) if at else url


def _mask_secret(value: SecretStr) -> str:
    return MASK if value.get_secret_value() else ""


def _mask_entries(entries: Mapping[str, object]) -> dict[str, str]:
    return dict.fromkeys(entries, MASK)


def _shown(how: Callable[..., object]) -> PlainSerializer:
    return PlainSerializer(how, when_used="json")


Text = Annotated[str, BeforeValidator(as_text), Kind("text")]
Flag = Annotated[bool, BeforeValidator(as_flag), Kind("true or false")]
Count = Annotated[int, BeforeValidator(as_count), Kind("whole number")]
Duration = Annotated[float, BeforeValidator(as_positive_duration), _shown(format_duration), Kind("duration")]
SignedDuration = Annotated[float, BeforeValidator(as_duration), _shown(format_duration), Kind("duration")]
Secret = Annotated[SecretStr, BeforeValidator(as_text), _shown(_mask_secret), Kind("secret")]
Url = Annotated[str, BeforeValidator(as_text), _shown(hide_password), Kind("URL")]
Anything = Annotated[Any, BeforeValidator(resolve), Kind("anything")]
#: Settings of a part that is not ours: kept, but shown masked, since some of them are secrets.
#: Bytes: a number, or one with a unit.
Size = Annotated[int, BeforeValidator(as_size), PlainSerializer(int), Kind("size")]
Opaque = Annotated[dict[str, Any], BeforeValidator(resolve), _shown(_mask_entries), Kind("map")]

NO_SECRET = SecretStr("")
