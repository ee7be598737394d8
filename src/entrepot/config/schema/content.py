"""`catalog`, `tags`, `validation`, `policy`: what may be listed and pushed."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from entrepot.config.section import Section
from entrepot.config.values import Count, Flag, Text, lowered, refuse

USUAL_PAGE = 1000


def _or_usual(count: int) -> int:
    return count if count > 0 else USUAL_PAGE


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error:
        raise refuse("must be a regular expression") from None
    return pattern


PageSize = Annotated[Count, AfterValidator(_or_usual)]
Pattern = Annotated[Text, AfterValidator(_check_pattern)]
Platforms = Annotated[Literal["all", "none", "list"], BeforeValidator(lowered)]


class Catalog(Section):
    """The list of repositories, `/v2/_catalog`."""

    maxentries: PageSize = USUAL_PAGE
    """Most entries of a page; a client that asks for more gets an error. Below 1 means 1000."""


class Tags(Section):
    """The list of tags of a repository."""

    maxtags: PageSize = USUAL_PAGE
    """Most entries of a page; a client that asks for more gets as many. Below 1 means 1000."""


class UrlRules(Section):
    """URLs that manifests may hold for layers kept elsewhere."""

    allow: tuple[Pattern, ...] = ()
    """Regular expressions; each URL must match one. With neither list, no URLs are allowed."""
    deny: tuple[Pattern, ...] = ()
    """Regular expressions that no URL may match."""


class Platform(Section):
    """A platform of an image."""

    architecture: Text = ""
    """Architecture, such as `amd64`."""
    os: Text = ""
    """Operating system, such as `linux`."""


class IndexRules(Section):
    """Whether the images of an index must be there when it is pushed."""

    platforms: Platforms = "all"
    """`all` must be there, `none` need be, or those of the `list` below."""
    platformlist: tuple[Platform, ...] = ()
    """Platforms whose images must be there when `platforms` is `list`."""
    sparse: Flag = False
    """`true` allows every image of an index to be missing, like `platforms: none`. Our own key."""


class ManifestRules(Section):
    """What manifests may hold."""

    urls: UrlRules = UrlRules()
    """URLs for layers kept elsewhere."""
    indexes: IndexRules = IndexRules()
    """Whether the images of an index must be there."""


class Validation(Section):
    """What may be pushed."""

    enabled: Flag = False
    """Old opposite of `disabled`: `true` outweighs it."""
    disabled: Flag = False
    """Switches the rules for URLs off."""
    manifests: ManifestRules = ManifestRules()
    """What manifests may hold."""

    @property
    def active(self) -> bool:
        """Whether the rules for URLs count."""
        return self.enabled or not self.disabled


class RepositoryPolicy(Section):
    """What repositories may hold."""

    classes: tuple[Text, ...] = ()
    """Classes of content to allow. Still to come: stops the start, or everything would be allowed."""


class Policy(Section):
    """What the registry may hold."""

    repository: RepositoryPolicy = RepositoryPolicy()
    """What repositories may hold."""
