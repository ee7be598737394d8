"""The resource-action list: everything that can be allowed, by Harbor's names where it has one.

A permission is written `resource:action`. Roles, robots and keys hold sets of them; `*` stands for every resource or
every action, also those to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

ANY = "*"


class Permission(str):
    """One thing that can be allowed: an action on a kind of resource."""

    __slots__ = ()

    @classmethod
    def of(cls, resource: str, action: str) -> Permission:
        """Put a permission together."""
        return cls(f"{resource}:{action}")

    @property
    def resource(self) -> str:
        """The kind of resource."""
        return self.partition(":")[0]

    @property
    def action(self) -> str:
        """What is done to it."""
        return self.partition(":")[2]


class PermissionUnknown(ValueError):
    """There is no such resource, or no such action on it."""


_CRUD = ("create", "read", "update", "delete")
_ALL = (*_CRUD, "list")

#: What can be allowed within a project.
PROJECT: Mapping[str, tuple[str, ...]] = {
    "project": ("read", "update", "delete"),
    "repository": ("create", "read", "update", "delete", "list", "pull", "push"),
    "artifact": ("create", "read", "delete", "list"),
    "artifact-addition": ("read",),
    "artifact-label": ("create", "delete"),
    "tag": ("create", "delete", "list"),
    "accessory": ("list",),
    "label": _ALL,
    "member": _ALL,
    "metadata": _ALL,
    "robot": _ALL,
    "log": ("list",),
    "quota": ("read",),
    "configuration": ("read", "update"),
    "tag-retention": (*_ALL, "operate"),
    "immutable-tag": _ALL,
    "trash": ("list", "read", "restore", "purge", "empty"),
    "notification-policy": _ALL,
    "scan": ("create", "read", "stop"),
    "sbom": ("create", "read", "stop"),
    "scanner": ("create", "read"),
    "preheat-policy": _ALL,
    "export-cve": ("create", "read", "list"),
}

#: What can be allowed on the registry as a whole.
SYSTEM: Mapping[str, tuple[str, ...]] = {
    "catalog": ("read",),
    "project": ("create", "list"),
    "user": _ALL,
    "user-group": _ALL,
    "role": _ALL,
    "robot": _ALL,
    "audit-log": ("list", "read"),
    "purge-audit": (*_ALL, "stop"),
    "configuration": ("read", "update"),
    "ldap-user": ("create", "list"),
    "label": _ALL,
    "registry": _ALL,
    "replication": _ALL,
    "replication-policy": _ALL,
    "replication-adapter": ("list",),
    "garbage-collection": (*_ALL, "stop"),
    "scan-all": (*_ALL, "stop"),
    "scanner": _ALL,
    "system-volumes": ("read",),
    "preheat-instance": _ALL,
    "quota": ("read", "update", "list"),
    "trash": ("list", "read", "restore", "purge", "empty"),
    "jobservice-monitor": ("list", "stop"),
    "job": ("create", "read", "update", "list", "stop"),
    "security-hub": ("read", "list"),
    "node": ("list", "read", "update"),
}

PULL = Permission("repository:pull")
PUSH = Permission("repository:push")
#: Removing a tag, a manifest or a blob by the distribution protocol.
DELETE = Permission("artifact:delete")
CATALOG = Permission("catalog:read")
CREATE_PROJECT = Permission("project:create")
EVERYTHING = Permission("*:*")

#: What whoever may read a project that is open to them may do there.
READING = frozenset(
    Permission(text)
    for text in (
        "project:read",
        "repository:list",
        "repository:read",
        "repository:pull",
        "artifact:list",
        "artifact:read",
        "artifact-addition:read",
        "tag:list",
        "accessory:list",
        "label:list",
        "label:read",
        "metadata:list",
        "metadata:read",
        "scan:read",
        "scanner:read",
        "sbom:read",
    )
)


@cache
def known() -> frozenset[Permission]:
    """Return every permission that there is."""
    return frozenset(
        Permission.of(resource, action)
        for table in (PROJECT, SYSTEM)
        for resource, actions in table.items()
        for action in actions
    )


@cache
def within_project() -> frozenset[Permission]:
    """Return every permission that means something within a project."""
    return frozenset(Permission.of(resource, action) for resource, actions in PROJECT.items() for action in actions)


def parse(texts: Iterable[str]) -> frozenset[Permission]:
    """Read permissions as written, wildcards included.

    Raises:
        PermissionUnknown: One of them names nothing; the message says which.
    """
    found = frozenset(Permission(text) for text in texts)
    for permission in sorted(found):
        if not _matches(permission):
            raise PermissionUnknown(
                f"there is no permission {permission[:100]!a}; GET /api/v2.0/permissions lists them all"
            )
    return found


def expand(permissions: Iterable[str]) -> frozenset[Permission]:
    """Return the known permissions that a set stands for, with its wildcards spelt out; unknown ones give nothing."""
    return _expanded(frozenset(permissions))


@lru_cache(maxsize=1024)
def _expanded(permissions: frozenset[str]) -> frozenset[Permission]:
    return frozenset[Permission]().union(*(_matches(Permission(permission)) for permission in permissions))


@lru_cache(maxsize=1024)
def _matches(wanted: Permission) -> frozenset[Permission]:
    if wanted in known():
        return frozenset((wanted,))
    return frozenset(p for p in known() if wanted.resource in (ANY, p.resource) and wanted.action in (ANY, p.action))
