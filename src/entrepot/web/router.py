"""From the path as sent to a route, by hand.

Routing looks at `raw_path`: the server's decoded `path` has lost the difference between `/` and `%2f`. Repository
names contain slashes and may contain words such as `blobs`, so a path is read from its end.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from entrepot.oci.errors import Unsupported
from entrepot.web.http import Request
from entrepot.web.plain_paths import plain_path
from entrepot.web.responses import Response

if TYPE_CHECKING:
    from entrepot.web.services import Services

Handler = Callable[[Request, "Services"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of resource: its label in logs and metrics, and who answers which method."""

    label: str
    handlers: Mapping[str, Handler]
    allow: bytes = field(init=False)  #: value of the Allow header

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", ", ".join(sorted(self.handlers)).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRoutes:
    """The routes below `/v2/<name>/`."""

    manifests: Route
    blobs: Route
    uploads: Route
    upload: Route
    tags: Route
    referrers: Route


class PathUnknown(Exception):
    """No resource has this path."""


class PathMoved(Exception):
    """The path has slashes too many; `path` is how the resource is spelt."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the path is {path}")
        self.path = path


class MethodUnknown(Unsupported):
    """This resource does not have that method; the Allow header lists those it has."""


class _Match(NamedTuple):
    """What a path names."""

    route: Route
    name: str = ""
    target: str = ""


#: The same few paths are asked for over and over; longer ones are read each time, so that what is remembered is small.
_REMEMBERED_PATHS = 4096
_REMEMBERED_LENGTH = 512
_SLASHES = re.compile("//+")


class Router:
    """Finds the route of a request; `fixed` are the paths without a repository name."""

    __slots__ = ("_fixed", "_known", "_prefix", "_references", "_repository")

    def __init__(self, fixed: Mapping[str, Route], repository: RepositoryRoutes, prefix: str = "") -> None:
        self._fixed = dict(fixed)
        self._repository = repository
        self._prefix = prefix.rstrip("/")
        self._references = {
            "manifests": repository.manifests,
            "blobs": repository.blobs,
            "referrers": repository.referrers,
        }
        self._known = lru_cache(_REMEMBERED_PATHS)(self._match)

    def route(self, request: Request) -> Route:
        """Return the route of a request; note its label and the parameters of its path on the request.

        Raises:
            NameInvalid: The path is encoded in a way that two programs could read differently.
            PathMoved: There is something at this path without the slashes that are too many.
            PathUnknown: Nothing has this path.
        """
        match = self._known if len(request.raw_path) <= _REMEMBERED_LENGTH else self._match
        route, request.name, request.target = match(request.raw_path)
        request.route = route.label
        request.allow = route.allow
        return route

    def _match(self, raw_path: bytes) -> _Match:
        path = plain_path(raw_path)
        if "//" not in path:
            try:
                return self._resource(path)
            except PathUnknown:
                if not path.endswith("/"):
                    raise
        raise PathMoved(self._without_slashes(path))

    def _without_slashes(self, path: str) -> str:
        """Return the path of what was meant, as registry:2 does. It begins with one slash, so it is of this host.

        Raises:
            PathUnknown: There is nothing.
        """
        path = _SLASHES.sub("/", path)
        for spelling in (path, path.removesuffix("/")):
            with suppress(PathUnknown):
                self._resource(spelling)
                return spelling
        raise PathUnknown

    def _resource(self, path: str) -> _Match:
        path = self._own_path(path)
        route = self._fixed.get(path)
        return self._repository_match(path) if route is None else _Match(route)

    def _own_path(self, path: str) -> str:
        if not self._prefix:
            return path
        if path.startswith(self._prefix + "/"):
            return path[len(self._prefix) :]
        raise PathUnknown

    def _repository_match(self, path: str) -> _Match:
        if not path.startswith("/v2/"):
            raise PathUnknown
        rest, _, last = path[4:].rpartition("/")
        name, _, word = rest.rpartition("/")
        if name and word in self._references and not (word == "blobs" and last == "uploads"):
            return _Match(self._references[word], name, last)
        if name and word == "tags" and last == "list":
            return _Match(self._repository.tags, name)
        return self._upload_match(path[4:])

    def _upload_match(self, path: str) -> _Match:
        # Without a trailing slash the collection is still meant: no digest or tag is spelt "uploads".
        if path.endswith("/blobs/uploads"):
            path += "/"
        name, word, upload = path.rpartition("/blobs/uploads/")
        if not word or not name or "/" in upload:
            raise PathUnknown
        return _Match(self._repository.upload if upload else self._repository.uploads, name, upload)
