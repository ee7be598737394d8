"""`access.ldap`: a directory (LDAP or Active Directory) whose people may sign in. Our own section."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from entrepot.config.section import Section
from entrepot.config.values import NO_SECRET, Count, Duration, Flag, Secret, Text, as_plain_text, refuse

_ATTRIBUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")

Scope = Annotated[Literal["subtree", "onelevel", "base"], BeforeValidator(as_plain_text)]
Kind = Annotated[Literal["generic", "activedirectory"], BeforeValidator(as_plain_text)]
Lookup = Annotated[Literal["", "memberof", "search"], BeforeValidator(as_plain_text)]


def _check_server(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"ldap", "ldaps"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise refuse("must be ldap://HOST[:PORT] or ldaps://HOST[:PORT]; where to search belongs in users.base")
    return f"{parts.scheme}://{parts.netloc}"


def _check_filter(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    text = text if text.startswith("(") else f"({text})"
    if text.count("(") != text.count(")"):
        raise refuse("must be an LDAP filter such as (objectClass=person): its brackets do not pair")
    return text


def _check_attribute(name: str) -> str:
    if name and not _ATTRIBUTE.fullmatch(name):
        raise refuse("must be the name of an attribute, such as uid")
    return name


Attribute = Annotated[Text, AfterValidator(_check_attribute)]
Server = Annotated[Text, AfterValidator(_check_server)]
Filter = Annotated[Text, AfterValidator(_check_filter)]


class LdapUsers(Section):
    """Where people are, and who of them may enter."""

    base: Text = ""
    """DN below which people are searched. Required, unless `userdn` is a DN."""
    scope: Scope = "subtree"
    """How deep to search: `subtree`, `onelevel` or `base`."""
    filter: Filter = ""
    """Who may enter. Empty: every `inetOrgPerson`, or in an Active Directory every user that is no computer."""
    name: Attribute = ""
    """Attribute with the name to sign in by. Empty: `uid`, or `sAMAccountName` in an Active Directory."""
    aliases: tuple[Attribute, ...] = ()
    """More attributes by which one may sign in, such as `mail`. An Active Directory adds `userPrincipalName`."""
    email: Attribute = "mail"
    """Attribute with the e-mail address."""
    realname: Attribute = ""
    """Attribute with the name to show. Empty: `cn`, or `displayName` in an Active Directory."""
    adminfilter: Filter = ""
    """Filter for people who may do everything. Empty: nobody by a filter."""


class LdapGroups(Section):
    """Which groups count. Without `base`, none."""

    base: Text = ""
    """DN below which groups are."""
    scope: Scope = "subtree"
    """How deep to search: `subtree`, `onelevel` or `base`."""
    filter: Filter = ""
    """Which entries are groups. Empty: the usual object classes."""
    name: Attribute = "cn"
    """Attribute with the group's name."""
    member: Attribute = "member"
    """Attribute in which a group names its members: their DNs, or their names where it is `memberUid`."""
    memberof: Attribute = "memberOf"
    """Attribute in which people and groups name the groups that they are in."""
    lookup: Lookup = ""
    """`memberof` follows that attribute, `search` searches groups by their members. Empty: `memberof` in an Active
    Directory, else `search`."""
    nested: Flag = True
    """Whether who is in a group is also in the groups that this group is in."""
    allowed: tuple[Text, ...] = ()
    """DNs of groups; when given, only people in one of them may enter."""
    admins: tuple[Text, ...] = ()
    """DNs of groups whose people may do everything."""


class LdapSync(Section):
    """What is done in the background. It needs `binddn`."""

    enabled: Flag = True
    """Whether the directory is asked regularly about the people known here."""
    interval: Duration = Field(default=180.0, ge=10)
    """Time between two runs. Whoever left the directory is refused at the latest one run later."""
    create: Flag = False
    """Makes accounts for all people of the directory, also for those who never signed in."""
    mostremoved: Count = Field(default=50, ge=1, le=100)
    """Of more than ten accounts, a run disables at most so many per cent: a directory that suddenly knows nobody is
    more likely to be broken. `entrepot directory sync --force` does it anyway."""


class Ldap(Section):
    """A directory whose people may sign in. It is on when `servers` is set; accounts of our own still count first."""

    servers: tuple[Server, ...] = ()
    """Where the directory is: `ldaps://HOST` or `ldap://HOST`. The second is asked when the first does not answer."""
    kind: Kind = "generic"
    """`activedirectory` sets what an Active Directory calls things and takes its forms of names."""
    starttls: Flag = False
    """Encrypts connections to `ldap://` servers before anything is said."""
    ca: Text = ""
    """PEM file with the authorities that sign the servers' certificates. Empty: the system's."""
    insecure: Flag = False
    """Takes any certificate, and sends passwords to `ldap://` servers without `starttls`. For trying out only."""
    binddn: Text = ""
    """DN (in an Active Directory also `name@domain`) of the account that searches. Empty: anonymously."""
    bindpassword: Secret = NO_SECRET
    """Password of that account."""
    bindpasswordfile: Text = ""
    """File with the password, in place of `bindpassword`; it is read at each new connection."""
    userdn: Text = ""
    """For signing in without a search: the person's DN with `{name}` in it, or `{name}@domain` or `DOMAIN\\{name}`."""
    domain: Text = ""
    """NetBIOS name of the Active Directory's domain: lets `DOMAIN\\name` sign in."""
    timeout: Duration = Field(default=5.0, gt=0, le=60)
    """Longest wait for one answer of one server. A sign-in as a whole takes at most three times as long."""
    patience: Duration = Field(default=2.0, gt=0)
    """Longest wait for the directory when the same name and password were right within `offline`."""
    remember: Duration = Field(default=60.0, ge=0, le=300)
    """Time for which a password that was right is not asked again. At most 5m."""
    offline: Duration = Field(default=3600.0, ge=0, le=24 * 3600)
    """Time for which a password that was right counts while the directory is down or slow. At most 24h."""
    users: LdapUsers = LdapUsers()
    """Where people are, and who of them may enter."""
    groups: LdapGroups = LdapGroups()
    """Which groups count."""
    sync: LdapSync = LdapSync()
    """What is done in the background."""

    @property
    def enabled(self) -> bool:
        """Whether a directory is asked at all."""
        return bool(self.servers)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in self._problems() if self.enabled else ():
            raise refuse(problem)
        return self

    def _problems(self) -> list[str]:
        """List what is wrong with a section that is on."""
        plain = any(server.startswith("ldap://") for server in self.servers)
        template = "{name}" in self.userdn
        own_dn = template and "=" in self.userdn
        checks = {
            "passwords would go to an ldap:// server in the clear: use ldaps:// or starttls (insecure, for trying)": (
                plain and not self.starttls and not self.insecure
            ),
            "starttls is for ldap:// servers; an ldaps:// server is encrypted already": self.starttls and not plain,
            "users.base is required: the DN below which people are": not self.users.base and not own_dn,
            "userdn must contain {name}, in place of the name that signs in": bool(self.userdn) and not template,
            "bindpassword and bindpasswordfile are both set; keep one": bool(
                self.bindpassword.get_secret_value() and self.bindpasswordfile
            ),
            "binddn needs bindpassword or bindpasswordfile: without a password the bind would be anonymous": bool(
                self.binddn and not self.bindpassword.get_secret_value() and not self.bindpasswordfile
            ),
            "groups.allowed and groups.admins need groups.base": bool(
                (self.groups.allowed or self.groups.admins) and not self.groups.base
            ),
        }
        return [message for message, applies in checks.items() if applies]

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named here, by their keys."""
        named = {"ca": self.ca, "bindpasswordfile": self.bindpasswordfile}
        return {f"access.ldap.{key}": Path(path) for key, path in named.items() if path}
