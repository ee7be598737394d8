"""A JSON reader without the liberties that let two parsers see two documents in the same bytes (RFC 8259, RFC 7493).

Everything that looks at each byte runs in C: the depth and the number of values are known before the recursive parser
sees the text, so that hostile nesting costs one pass and never a ``RecursionError``, and a few megabytes of empty
objects do not become some hundred times their size in Python's.
"""

import json
import math
import re
from codecs import BOM_UTF8
from collections import Counter
from itertools import accumulate
from typing import Never

MAX_DEPTH = 64
#: Brackets and commas: enough for an index of 10,000 entries with platform and annotations, read within some 50 ms.
MAX_MARKS = 150_000
_MAX_QUOTES = 400_000
#: Reading a decimal number takes quadratic time.
_MAX_DIGITS = 100

# An escaped surrogate, which may or may not be half of a pair.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

#: Brackets become steps, one down or one up, when the bytes are read as signed.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[{]},"'))


class JsonInvalid(ValueError):
    """The bytes are not strict JSON; the message says why."""


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Read one JSON document that fills the bytes to the end.

    Raises:
        JsonInvalid: Not UTF-8, a byte order mark, a syntax error, bytes behind the document, NaN or an infinity (also
            as 1e999), the same key twice in an object, half a surrogate pair, an absurdly long number, nested too
            deeply, or more values than any manifest has.
    """
    if raw.startswith(BOM_UTF8):
        raise JsonInvalid("begins with a byte order mark")
    _check_structure(raw, max_depth)
    value = _parse(raw)
    if _SURROGATE.search(raw):
        _refuse_half_pairs(value)
    return value


def _parse(raw: bytes) -> object:
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_fraction,
            parse_constant=_refuse_constant,
        )
    except JsonInvalid:
        raise
    except UnicodeDecodeError as error:
        raise JsonInvalid(f"not valid UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"not valid JSON: {error}") from None


def _refuse_half_pairs(value: object) -> None:
    """Refuse text that UTF-8, and so a database, cannot hold; writing it out is the quickest way to find it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonInvalid("half of a surrogate pair in a string") from None


def _check_structure(raw: bytes, max_depth: int) -> None:
    """Refuse what no manifest needs, at least up to the first syntax error, beyond which no parser goes."""
    marks = _marks(raw)
    steps = memoryview(marks[:MAX_MARKS].translate(_STEPS, b",")).cast("b")
    if max(accumulate(steps), default=0) > max_depth:
        raise JsonInvalid(f"nested more than {max_depth} levels deep")
    if len(marks) > MAX_MARKS:
        raise JsonInvalid(f"holds more than {MAX_MARKS:,} brackets and commas")


def _marks(raw: bytes) -> bytes:
    """Drop everything but brackets and commas outside of strings; a regular expression took ten times as long."""
    without_escapes = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    structure = without_escapes.translate(None, _NO_STRUCTURE)
    if structure.count(b'"') > _MAX_QUOTES:
        raise JsonInvalid(f"holds more than {_MAX_QUOTES // 2:,} strings")
    return b"".join(structure.split(b'"')[::2])


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonInvalid(f"the key {_repeated(pairs)} appears twice in one object")
    return members


def _repeated(pairs: list[tuple[str, object]]) -> str:
    counts = Counter(key for key, _ in pairs)
    return ascii(counts.most_common(1)[0][0][:100])


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise JsonInvalid("a number has too many digits")
    return int(digits)


def _fraction(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # what most parsers make of 1e999, and no document means
        raise JsonInvalid("a number is too large")
    return value


def _refuse_constant(name: str) -> Never:
    raise JsonInvalid(f"{name} is not JSON")
