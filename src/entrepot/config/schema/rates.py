"""`access.limits`: how many requests in how much time."""

import re
from typing import Annotated

from pydantic import AfterValidator

from entrepot.config.section import Section
from entrepot.config.values import Text, refuse

_RATE = re.compile(r"[1-9][0-9]{0,8}/(?:[1-9][0-9]{0,3})?(?:second|minute|hour|day)")


def _check(rate: str) -> str:
    if rate and _RATE.fullmatch(rate) is None:
        raise refuse("must be a number and a time, such as 600/minute, 100/10second or 5000/hour; empty for no limit")
    return rate


Rate = Annotated[Text, AfterValidator(_check)]


class Rates(Section):
    """How many requests in how much time, all workers together. Beyond that the answer is 429 with `Retry-After`."""

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
