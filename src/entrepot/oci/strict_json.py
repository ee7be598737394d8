"""A JSON reader without the liberties that let two parsers see two documents in the same bytes (RFC 8259, RFC 7493).

Everything that looks at each byte runs in C: the depth is known before the recursive parser sees the text, so that
hostile nesting costs one pass and never a ``RecursionError``.
"""

import json
import re
from codecs import BOM_UTF8
from collections import Counter
from itertools import accumulate
from typing import Never

MAX_DEPTH = 64

# The closing quote is optional, so that an unterminated string is passed over once, not once for each quote in it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

# An escaped surrogate, which may or may not be half of a pair.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

#: Brackets become steps of a signed byte, one down or one up, and all other bytes are dropped.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


class JsonInvalid(ValueError):
    """The bytes are not strict JSON; the message says why."""


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Read one JSON document that fills the bytes to the end.

    Raises:
        JsonInvalid: Not UTF-8, a byte order mark, a syntax error, bytes behind the document, NaN or an infinity, the
            same key twice in an object, half a surrogate pair, an absurdly long number, or nested too deeply.
    """
    if raw.startswith(BOM_UTF8):
        raise JsonInvalid("begins with a byte order mark")
    if _depth(raw) > max_depth:
        message = f"nested more than {max_depth} levels deep"
        raise JsonInvalid(message)
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
        if _SURROGATE.search(raw):
            # Writing the value out as UTF-8 is the quickest way to find half a pair in it.
            json.dumps(value, ensure_ascii=False).encode()
    except JsonInvalid:
        raise
    except UnicodeError:
        raise JsonInvalid("not valid UTF-8") from None
    except ValueError as error:
        message = f"not valid JSON: {error}"
        raise JsonInvalid(message) from None
    return value


def _depth(raw: bytes) -> int:
    """Give the deepest nesting, at least; more than the real one only for bytes that are no JSON at all."""
    openings = raw.count(b"[") + raw.count(b"{")
    if openings <= 1:
        return openings
    steps = _STRING.sub(b"", raw).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        message = f"the key {_repeated(pairs)} appears twice in one object"
        raise JsonInvalid(message)
    return members


def _repeated(pairs: list[tuple[str, object]]) -> str:
    counts = Counter(key for key, _ in pairs)
    return ascii(counts.most_common(1)[0][0][:100])


def _refuse_constant(name: str) -> Never:
    message = f"{name} is not JSON"
    raise JsonInvalid(message)
