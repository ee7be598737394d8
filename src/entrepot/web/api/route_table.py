"""Which methods each path has, by all routes together; FastAPI knows one route at a time."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.routing import APIRoute

from entrepot.web.api.locations import BASE


class RouteTable:
    """The routes of the API; `/users/current` is itself and never somebody's number."""

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        self._patterns = [(route.path_regex, route.methods or set()) for route in routes]
        self._literal: dict[str, set[str]] = {}
        for route in routes:
            if "{" not in route.path:
                self._literal.setdefault(route.path, set()).update(route.methods or ())

    def lacks(self, path: str, method: str) -> bool:
        """Tell whether a path that is written out in a route has other methods only."""
        known = self._literal.get(path.removeprefix(BASE))
        return known is not None and method not in known

    def methods(self, path: str) -> set[str]:
        """Return the methods of a path; none if there is no such path."""
        inner = path.removeprefix(BASE)
        if inner in self._literal:
            return self._literal[inner]
        return {method for pattern, methods in self._patterns if pattern.fullmatch(inner) for method in methods}
