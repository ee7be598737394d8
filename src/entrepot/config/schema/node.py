"""`node`: this `serve` as one of several. Our own section."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator

from entrepot.config.section import Section
from entrepot.config.values import Text, as_plain_text, refuse

_NAME: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:-]{0,127})?")


def _check_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise refuse("must begin with a letter or digit and have at most 128 letters, digits and `._:-`")
    return text


NodeName = Annotated[Text, AfterValidator(_check_name)]
NodeRole = Annotated[Literal["all", "web", "jobs"], BeforeValidator(as_plain_text)]


class Node(Section):
    """This `serve` as one of several (our own section)."""

    name: NodeName = ""
    """What it is called among the nodes of this registry: letters, digits and `._:-`. Without it the host's name,
    followed by the port unless that is 5000, or by `-jobs` where it only runs jobs."""
    role: NodeRole = "all"
    """`web` answers requests, `jobs` works in the background, `all` does both. At least one node must run jobs."""
