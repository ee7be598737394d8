"""What a project can be set to: Harbor's names and values, checked.

The values are texts, as in Harbor's API. `public` and `visibility` say who may read the project without a grant and are
no settings of their own; the rest are kept for the parts of the registry that they are about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.access.model import Visibility
from entrepot.config.durations import format_duration, parse_duration
from entrepot.metadata.lifecycle.trash import SETTING as TRASH

PUBLIC: Final = "public"
VISIBILITY: Final = "visibility"
TRUE: Final = "true"
FALSE: Final = "false"

_FLAGS: Final = frozenset(
    (
        "enable_content_trust",
        "enable_content_trust_cosign",
        "prevent_vul",
        "auto_scan",
        "auto_sbom_generation",
        "reuse_sys_cve_allowlist",
        "proxy_referrer_api",
        "proxy_cache_local_on_not_found",
    )
)
_NUMBERS: Final = frozenset(("retention_id", "proxy_speed_kb", "max_upstream_conn"))
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "severity": ("none", "low", "medium", "high", "critical"),
    "proxy_cache_filter_kind": ("doublestar", "regex"),
}
_TEXTS: Final = frozenset(("proxy_cache_filter_pattern",))
#: Durations as Go writes them; our own.
_DURATIONS: Final = frozenset((TRASH,))
_MAX_TEXT: Final = 1024
KNOWN: Final = _FLAGS | _NUMBERS | _CHOICES.keys() | _TEXTS | _DURATIONS


def checked(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings with their values in their usual form; those about visibility are left out.

    Raises:
        Invalid: There is no such setting, or it cannot have this value.
    """
    rest = {key: value for key, value in settings.items() if key not in (PUBLIC, VISIBILITY)}
    return {key: _checked(key, value) for key, value in rest.items()}


def _checked(key: str, value: str) -> str:
    if key in _FLAGS:
        return _flag(key, value)
    if key in _NUMBERS:
        if re.fullmatch(r"-?[0-9]{1,15}", value) is None:
            raise Invalid(f"{key} is a whole number")
        return str(int(value))
    if key in _CHOICES:
        if value.lower() not in _CHOICES[key]:
            raise Invalid(f"{key} is one of {', '.join(_CHOICES[key])}")
        return value.lower()
    if key in _DURATIONS:
        return _duration(key, value)
    if key in _TEXTS and len(value) <= _MAX_TEXT:
        return value
    raise Invalid(f"a project has no setting {key[:50]!a} with that value; there are {', '.join(sorted(KNOWN))}")


def _duration(key: str, value: str) -> str:
    try:
        seconds = parse_duration(value)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise Invalid(f"{key} is a duration like 24h or 168h, or 0 for none")
    return format_duration(seconds)


def _flag(key: str, value: str) -> str:
    lower = value.lower()
    if lower not in (TRUE, FALSE, "1", "0"):
        raise Invalid(f"{key} is true or false")
    return TRUE if lower in (TRUE, "1") else FALSE


def visibility_asked(settings: Mapping[str, str], current: Visibility = Visibility.PRIVATE) -> Visibility:
    """Return who shall be able to read a project; `current` where nothing is said.

    Harbor's clients know `public` alone, and send back what they have read with one thing changed. So where `public`
    and `visibility` disagree, the one that asks for a change is meant.

    Raises:
        Invalid: A value is none, or both ask for a change, each for another.
    """
    given = settings.get(VISIBILITY)
    if given is not None and given not in list(Visibility):
        raise Invalid(f"visibility is one of {', '.join(Visibility)}")
    wanted = {Visibility(given)} if given is not None else set[Visibility]()
    if PUBLIC in settings:
        wanted.add(_of_flag(current, public=_flag(PUBLIC, settings[PUBLIC]) == TRUE, explicit=given))
    changes = wanted - {current}
    if len(changes) > 1:
        raise Invalid("public and visibility say different things; send one of them")
    return changes.pop() if changes else current


def _of_flag(current: Visibility, *, public: bool, explicit: str | None) -> Visibility:
    """Return what `public` alone asks for; false says nothing against an internal project that is also named so."""
    if public:
        return Visibility.PUBLIC
    if explicit == Visibility.INTERNAL:
        return Visibility.INTERNAL
    return Visibility.PRIVATE if explicit is None or current is Visibility.PUBLIC else current


def shown(visibility: Visibility, settings: Mapping[str, str]) -> dict[str, str]:
    """Return all settings of a project as they are shown."""
    public = TRUE if visibility is Visibility.PUBLIC else FALSE
    return {PUBLIC: public, VISIBILITY: str(visibility), **settings}
