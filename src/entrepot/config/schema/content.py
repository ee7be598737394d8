"""`catalog`, `tags`, `validation`, `policy`: what may be listed and pushed."""

import re
import warnings
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from entrepot.config.section import Section
from entrepot.config.values import Count, Flag, Text, lowered, refuse

USUAL_PAGE = 1000
#: Longer ones are refused before any pattern sees them: matching may take time that grows with the square.
LONGEST_URL = 2048


def _or_usual(count: int) -> int:
    return count if count > 0 else USUAL_PAGE


def _any_matches(patterns: Iterable[str], text: str) -> bool:
    return any(re.search(pattern, text) for pattern in patterns)


def _check_pattern(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            # Python warns where it reads a pattern otherwise than Go does, such as [[:alpha:]].
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, Warning):
        raise refuse("must be a regular expression that Go and Python read alike") from None
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
    """Regular expressions; each URL must match one. With neither list every URL is allowed, as the OCI conformance
    suite wants it, unless `validation.enabled` is `true`: then none is, as in registry:2. Nothing here fetches them."""
    deny: tuple[Pattern, ...] = ()
    """Regular expressions that no URL may match."""

    def permit(self, url: str) -> bool:
        """Whether a manifest may hold the URL. As in Go, a pattern matches anywhere unless it says otherwise."""
        if len(url) > LONGEST_URL or not (self.allow or self.deny):
            return False
        return _any_matches(self.allow or ("",), url) and not _any_matches(self.deny, url)


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

    def require(self, architecture: str, os: str) -> bool:
        """Whether the image for a platform must be there; one without a platform must be, unless none need be."""
        if self.sparse or self.platforms == "none":
            return False
        listed = self.platforms == "list" and self.platformlist and (architecture or os)
        return not listed or Platform(architecture=architecture, os=os) in self.platformlist


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

    def permits_url(self, url: str) -> bool:
        """Whether a manifest may hold the URL for a layer kept elsewhere."""
        rules = self.manifests.urls
        if not (rules.allow or rules.deny):
            return not self.enabled
        return not self.active or rules.permit(url)


class RepositoryPolicy(Section):
    """What repositories may hold."""

    classes: tuple[Text, ...] = ()
    """Classes of content to allow, `image` and `plugin`, by the type of a manifest's configuration; without any,
    everything is. Manifests of other types are refused then: Helm charts, signatures, artifacts."""


class Policy(Section):
    """What the registry may hold."""

    repository: RepositoryPolicy = RepositoryPolicy()
    """What repositories may hold."""
