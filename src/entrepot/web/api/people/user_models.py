"""How people are written in requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.access.model import Principal
from entrepot.metadata import clock
from entrepot.metadata.people.users import UserRecord
from entrepot.web.api.values import moment

_EXAMPLE: Final[dict[str, Any]] = {
    "user_id": 3,
    "username": "alice",
    "email": "alice@example.org",
    "realname": "Alice Liddell",
    "comment": "",
    "sysadmin_flag": False,
    "admin_role_in_auth": False,
    "provider": "local",
    "disabled": False,
    "state": "active",
    "works_until": None,
    "provider_asked_at": None,
    "creation_time": "2026-01-02T03:04:05Z",
    "update_time": "2026-01-02T03:04:05Z",
}

_Short = Annotated[str, Field(max_length=255)]
_Long = Annotated[str, Field(max_length=4096)]
_Password = Annotated[str, Field(max_length=1024)]


class User(BaseModel):
    """A person; `provider` says who knows their password, and `comment` is left out where there is none.

    Administrators have `sysadmin_flag` where somebody made them one here, `admin_role_in_auth` where a group of their
    directory or sign-in provider did.

    `state` is `active`, `disabled` (by an administrator here) or `closed` (the provider no longer vouches for them, or
    could not be asked for too long). `works_until` is when the account of a provider's person ends without another
    answer; without `provider_asked_at` the provider gave nothing to ask it with again.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    user_id: int
    username: str
    email: str = ""
    realname: str = ""
    comment: Annotated[str, Field(exclude_if=lambda text: not text)] = ""
    sysadmin_flag: bool = False
    admin_role_in_auth: bool = False
    provider: str = ""
    disabled: bool = False
    state: str = "active"
    works_until: datetime | None = None
    provider_asked_at: datetime | None = None
    creation_time: datetime | None = None
    update_time: datetime | None = None

    @classmethod
    def of(cls, record: UserRecord) -> User:
        """Return what is shown of a person."""
        return cls(
            user_id=record.id,
            username=record.name,
            email=record.email or "",
            realname=record.realname,
            comment=record.comment,
            sysadmin_flag=record.made_admin,
            admin_role_in_auth=record.provider_says_admin,
            provider=record.provider,
            disabled=record.disabled,
            state=record.state(clock.now()),
            works_until=None if record.expires_at is None else moment(record.expires_at),
            provider_asked_at=None if record.checked_at is None else moment(record.checked_at),
            creation_time=moment(record.created_at),
            update_time=moment(record.updated_at),
        )

    @classmethod
    def of_name(cls, principal: Principal) -> User:
        """Return what is shown of somebody whose name is all that is known here."""
        return cls(user_id=principal.id or 0, username=principal.name)


class UserFound(BaseModel):
    """A person as searches show them."""

    model_config = ConfigDict(json_schema_extra={"example": {"user_id": 3, "username": "alice"}})

    user_id: int
    username: str


class UserRequest(BaseModel):
    """A person to be made; whatever else Harbor's clients send, `sysadmin_flag` before all, is left alone."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                "username": "alice",
                "email": "alice@example.org",
                "realname": "Alice",
                "password": "seven boats at anchor",
            }
        },
    )

    username: _Short
    password: _Password | None = None
    email: _Short = ""
    realname: _Short = ""
    comment: _Long = ""


class ProfileRequest(BaseModel):
    """What people may change of themselves; the rest that clients send back is left alone."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"email": "a@example.org"}})

    email: _Short = ""
    realname: _Short = ""
    comment: _Long = ""


class SysadminRequest(BaseModel):
    """Whether somebody administers the registry.

    Some of Harbor's clients send all that they know of the person, and leave the flag out where it is false.
    """

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"sysadmin_flag": True}})

    sysadmin_flag: StrictBool = False


class DisabledRequest(BaseModel):
    """Whether an account is closed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"disabled": True}})

    disabled: StrictBool


class PasswordRequest(BaseModel):
    """A new password; the old one too, where it is one's own. The rest that clients send is left alone."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"example": {"old_password": "six boats at anchor", "new_password": "seven boats at anchor"}},
    )

    old_password: _Password = ""
    new_password: _Password
    must_change: StrictBool = False  #: set by an administrator: the person must choose another one


class ResetLinkMade(BaseModel):
    """What to hand to somebody who is to choose a password; good once. `link` leads to a page to do it on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "token": "w1c...",
                "link": "https://registry.example.org/c/reset_password?token=w1c...",
                "expires_at": "2026-01-02T03:34:05Z",
            }
        }
    )

    token: str
    link: str
    expires_at: datetime


class ResetRequest(BaseModel):
    """A new password, and what allows to set it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"token": "w1c...", "new_password": "seven boats at anchor"}}
    )

    token: _Short
    new_password: _Password
