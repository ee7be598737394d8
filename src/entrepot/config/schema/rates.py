"""`access.limits`: how many requests and bytes in how much time, and how many uploads at once."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from entrepot.config.section import Section
from entrepot.config.values import SIZE_UNITS, Count, Text, refuse

_SPAN: Final = r"/(?:[1-9][0-9]{0,3})?(?:second|minute|hour|day)"
_RATE = re.compile(r"[1-9][0-9]{0,8}" + _SPAN)
_BYTES = re.compile(r"([1-9][0-9]{0,8})(B|[kMGT]B|[KMGT]iB)(" + _SPAN + ")")
#: The headers that tell clients of a limit have room for fifteen digits.
_MOST_BYTES: Final = 10**15 - 1


def _check(rate: str) -> str:
    if rate and _RATE.fullmatch(rate) is None:
        raise refuse("must be a number and a time, such as 600/minute, 100/10second or 5000/hour; empty for no limit")
    return rate


def _check_bytes(rate: str) -> str:
    found = _BYTES.fullmatch(rate)
    if rate and (found is None or int(found[1]) * SIZE_UNITS[found[2]] > _MOST_BYTES):
        raise refuse("must be a size and a time, such as 50GB/hour or 500MiB/minute, below 1000TB; empty for no limit")
    return rate


def _plain(rate: str) -> str:
    """Write a rate of bytes without its unit: `50GB/hour` is `50000000000/hour`."""
    found = _BYTES.fullmatch(rate)
    return rate if found is None else f"{int(found[1]) * SIZE_UNITS[found[2]]}{found[3]}"


Rate = Annotated[Text, AfterValidator(_check)]
ByteRate = Annotated[Text, AfterValidator(_check_bytes)]


class Rates(Section):
    """How many requests and bytes in how much time, and how many uploads at once, all workers together.

    Beyond that the answer is 429 with `Retry-After`.
    """

    address: Rate = ""
    """Requests of one address, such as `600/minute`; of IPv6, of one /64. Empty: no limit. This host has none."""
    principal: Rate = ""
    """Requests of one account, robot or token's owner. Empty: no limit."""
    project: Rate = ""
    """Requests to one project. Empty: no limit."""
    signins: Rate = "60/minute"
    """Sign-ins with a browser from one address, right and wrong ones. This host has no limit."""
    tokens: Rate = "6000/minute"
    """Requests for tokens from one address. This host has no limit."""
    repositories: Rate = ""
    """Repositories that one account, or nobody from one address, may begin. Empty: no limit."""
    addressbytes: ByteRate = ""
    """Bytes of bodies to and from one address, such as `50GB/hour`; of IPv6, of one /64. Empty: no limit. This host
    has none."""
    principalbytes: ByteRate = ""
    """Bytes of bodies to and from one account, robot or token's owner. Empty: no limit."""
    projectbytes: ByteRate = ""
    """Bytes of bodies to and from one project. Empty: no limit."""
    uploads: Count = Field(default=0, ge=0)
    """Uploads at once of one account, or of nobody from one address. 0: no limit."""
    projectuploads: Count = Field(default=0, ge=0)
    """Uploads at once to one project. 0: no limit."""

    @property
    def rates(self) -> Mapping[str, str]:
        """What may happen in how much time, sizes in bytes, by the keys of this section."""
        return {name: _plain(value) for name, value in self if isinstance(value, str)}

    @property
    def at_once(self) -> Mapping[str, int]:
        """What may go on at once, by the keys of this section."""
        return {name: value for name, value in self if isinstance(value, int)}
