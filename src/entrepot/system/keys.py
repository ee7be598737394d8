"""The settings of the registry by Harbor's names, with their kinds, values at first, and what they may be.

Some of Harbor's settings are about parts that this registry does not have, or that its configuration file decides.
Those have the one value that is true here (`fixed`): they are shown, so that Harbor's clients find what they look for,
and setting them to anything else is refused, since it would change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from entrepot.access.faults import Invalid

Value = str | int | bool

_MAX_TEXT = 4096
_MAX_LONG_TEXT = 64 * 1024
_MAX_NUMBER = 2**53
#: Harbor keeps these numbers in 32 bits, and asks no more of them.
_MAX_SPAN = 2**31 - 1


class Kind(StrEnum):
    """What a setting's value is."""

    TEXT = "text"
    FLAG = "flag"
    NUMBER = "number"
    SECRET = "secret"  # noqa: S105 - the kind of a value; written and never shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting."""

    name: str
    kind: Kind
    default: Value
    fixed: bool = False
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = _MAX_NUMBER
    but: tuple[int, ...] = ()  #: numbers between these that mean nothing
    longest: int = _MAX_TEXT

    def checked(self, value: object) -> Value:
        """Return a value in its usual form.

        Raises:
            Invalid: The setting cannot have it; of secrets the message does not repeat the value.
        """
        check: Mapping[Kind, Callable[[object], Value]] = {
            Kind.TEXT: self._text,
            Kind.SECRET: self._text,
            Kind.FLAG: self._flag,
            Kind.NUMBER: self._number,
        }
        return check[self.kind](value)

    def _text(self, value: object) -> str:
        if not isinstance(value, str) or len(value) > self.longest or "\0" in value:
            raise Invalid(f"{self.name} is a text of at most {self.longest} characters")
        if self.choices and value not in self.choices:
            raise Invalid(f"{self.name} is one of {', '.join(choice or repr('') for choice in self.choices)}")
        return value

    def _flag(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise Invalid(f"{self.name} is true or false")
        return value == "true"

    def _number(self, value: object) -> int:
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            value = int(value[:20])
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise Invalid(f"{self.name} is a whole number from {self.least} to {self.most}")
        if value in self.but:
            raise Invalid(f"{self.name} cannot be {value}; -1 stands for no end")
        return value


def _text(name: str, default: str = "", *choices: str, longest: int = _MAX_TEXT) -> Key:
    return Key(name=name, kind=Kind.TEXT, default=default, choices=choices, longest=longest)


def _flag(name: str, *, default: bool = False) -> Key:
    return Key(name=name, kind=Kind.FLAG, default=default)


def _number(name: str, default: int, least: int, most: int, *, but: tuple[int, ...] = ()) -> Key:
    return Key(name=name, kind=Kind.NUMBER, default=default, least=least, most=most, but=but)


def _secret(name: str) -> Key:
    return Key(name=name, kind=Kind.SECRET, default="")


def _fixed(name: str, value: Value) -> Key:
    kind = Kind.FLAG if isinstance(value, bool) else Kind.NUMBER if isinstance(value, int) else Kind.TEXT
    return Key(name=name, kind=kind, default=value, fixed=True, least=-1, longest=_MAX_LONG_TEXT)


def says_who_people_are(name: str) -> bool:
    """Tell whether a setting decides who signs in as whom, and who is an administrator by a group."""
    return name.startswith(("ldap_", "oidc_")) or name in ("auth_mode", "primary_auth_mode")


def _people() -> Iterable[Key]:
    yield _text("auth_mode", "db_auth", "db_auth", "ldap_auth", "oidc_auth")
    yield _flag("primary_auth_mode")
    yield _flag("self_registration")
    yield _text("project_creation_restriction", "adminonly", "everyone", "adminonly")
    yield _number("session_timeout", 60, 1, _MAX_SPAN)
    yield _number("robot_token_duration", 90, -1, 36_500, but=(0,))
    yield _text("robot_name_prefix", "robot$", longest=32)


def _directory() -> Iterable[Key]:
    for name in ("ldap_url", "ldap_search_dn", "ldap_base_dn", "ldap_filter"):
        yield _text(name)
    yield _secret("ldap_search_password")
    yield _text("ldap_uid", "cn")
    yield _number("ldap_scope", 2, 0, 2)
    yield _number("ldap_timeout", 5, 1, _MAX_SPAN)
    yield _flag("ldap_verify_cert", default=True)
    for name in ("ldap_group_base_dn", "ldap_group_search_filter", "ldap_group_admin_dn"):
        yield _text(name)
    yield _text("ldap_group_attribute_name", "cn")
    yield _number("ldap_group_search_scope", 2, 0, 2)
    yield _text("ldap_group_membership_attribute", "memberof")
    yield _flag("ldap_group_attach_parallel")


def _provider() -> Iterable[Key]:
    for name in ("oidc_name", "oidc_endpoint", "oidc_client_id"):
        yield _text(name)
    yield _secret("oidc_client_secret")
    yield _text("oidc_scope", "openid,profile,email")
    for name in ("oidc_groups_claim", "oidc_admin_group", "oidc_group_filter", "oidc_user_claim"):
        yield _text(name)
    yield _flag("oidc_verify_cert", default=True)
    yield _flag("oidc_auto_onboard")
    yield _text("oidc_extra_redirect_parms", "{}")
    yield _flag("oidc_logout")


def _registry() -> Iterable[Key]:
    yield _flag("read_only")
    yield _text("banner_message", longest=_MAX_LONG_TEXT)
    yield _number("token_expiration", 5, 1, _MAX_SPAN)
    yield _fixed("audit_log_forward_endpoint", "")
    yield _fixed("skip_audit_log_database", value=False)
    yield _fixed("disabled_audit_log_event_types", "")
    # Nothing keeps projects from notifying and from counting; Harbor's clients set both unasked.
    yield _fixed("notification_enable", value=True)
    yield _fixed("quota_per_project_enable", value=True)
    yield _number("storage_per_project", -1, -1, 2**62, but=(0,))
    yield _fixed("scanner_skip_update_pulltime", value=False)
    for name in ("pull_audit_log_disable", "pull_count_update_disable", "pull_time_update_disable"):
        yield _fixed(name, value=False)


@cache
def keys() -> Mapping[str, Key]:
    """Return every setting by its name."""
    return {key.name: key for part in (_people, _directory, _provider, _registry) for key in part()}
