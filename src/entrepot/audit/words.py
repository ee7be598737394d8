"""Harbor's words for events: it has fewer than we have, and its clients look for those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from entrepot.metadata import events
from entrepot.metadata.audit_log import EventRecord

#: What Harbor's clients may ask for, as operation and type in one word.
TYPES: Final = (
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "update_project",
    "delete_project",
    "delete_repository",
    "login_user",
    "logout_user",
    "create_user",
    "update_user",
    "delete_user",
    "create_robot",
    "delete_robot",
    "update_configuration",
    "create_member",
    "delete_member",
)
_OPERATIONS: Final[Mapping[str, str]] = {
    events.PUSH: "create",
    events.CONFIGURE: "update",
    events.SIGN_IN: "login",
    events.SIGN_OUT: "logout",
}
#: A role given or taken in a project.
_MEMBERS: Final[Mapping[str, str]] = {events.GRANT: "create", events.REVOKE: "delete"}


def operation_of(event: EventRecord) -> str:
    """Return what was done in Harbor's word, or in ours where Harbor has none."""
    return _MEMBERS[event.kind] if _is_about_member(event) else _OPERATIONS.get(event.kind, event.kind)


def resource_type_of(event: EventRecord) -> str:
    """Return to what kind of thing it was done."""
    if event.repository is not None:
        return "artifact" if event.digest else "tag" if event.tag else "repository"
    return "member" if _is_about_member(event) else (event.subject or "project:").partition(":")[0]


def _is_about_member(event: EventRecord) -> bool:
    return event.kind in _MEMBERS and event.project is not None
