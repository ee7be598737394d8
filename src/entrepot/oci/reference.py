"""Repository names, tags, and what follows ``/manifests/`` (OCI distribution specification, "Pulling manifests")."""

import re
from functools import lru_cache

from entrepot.oci.digest import Digest
from entrepot.oci.errors import NameInvalid, TagInvalid

MAX_NAME_LENGTH = 255

#: The project of repositories whose name has one part only.
DEFAULT_PROJECT = "library"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

#: Longer texts are cut in messages.
_SHOWN = 100


class RepositoryName(str):
    """The specification's ``<name>``: lower-case parts separated by slashes. Build it with ``parse``."""

    __slots__ = ()

    @staticmethod
    def parse(text: str) -> "RepositoryName":
        """Read a repository name, strictly.

        Raises:
            NameInvalid: Longer than 255 characters, or not of the specification's form.
        """
        return _parse_name(text)

    @property
    def project(self) -> str:
        """The project that owns the repository: the first of several parts, or ``library``."""
        first, slash, _ = self.partition("/")
        return first if slash else DEFAULT_PROJECT


class Tag(str):
    """A movable name for one manifest of a repository. Build it with ``parse``."""

    __slots__ = ()

    @staticmethod
    def parse(text: str) -> "Tag":
        """Read a tag, strictly.

        Raises:
            TagInvalid: Not of the specification's form.
        """
        if _TAG.fullmatch(text) is None:
            raise TagInvalid(
                f"invalid tag {text[:_SHOWN]!a}: use 1 to 128 letters, digits, '_', '.' and '-', "
                "beginning with a letter, a digit or '_'"
            )
        return Tag(text)


Reference = Tag | Digest


def parse_reference(text: str) -> Reference:
    """Read a tag or a digest; only a digest can contain a colon.

    Raises:
        DigestInvalid: There is a colon, but this is no digest.
        TagInvalid: There is no colon, and this is no tag.
    """
    return Digest.parse(text) if ":" in text else Tag.parse(text)


def sort_key(name: str) -> str:
    """Give the text whose bytewise order is the catalog's order: part by part, so that ``/`` sorts first."""
    return name.replace("/", "\x01")


@lru_cache(maxsize=16_384)
def _parse_name(text: str) -> RepositoryName:
    if len(text) > MAX_NAME_LENGTH:
        raise NameInvalid(f"invalid repository name: {len(text)} characters, at most {MAX_NAME_LENGTH} are allowed")
    if _NAME.fullmatch(text) is None:
        raise NameInvalid(
            f"invalid repository name {text[:_SHOWN]!a}: use parts of lower-case letters and digits, "
            "joined inside by '.', '_', '__' or '-' and separated by '/'"
        )
    return RepositoryName(text)
