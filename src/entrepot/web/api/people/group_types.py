"""Groups as Harbor names them: by number, by name, or by what a directory calls them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid, NotFound
from entrepot.accounts.directory.model import PROVIDER
from entrepot.accounts.directory.names import DnInvalid, first_value, fold_dn
from entrepot.metadata.events import Source
from entrepot.metadata.people.groups import GroupRecord
from entrepot.web.api.services import ApiServices

#: Harbor's numbers for where a group comes from: a directory, a proxy in front, a provider. Ours for groups of our own.
LDAP: Final = 1
HTTP: Final = 2
OIDC: Final = 3
LOCAL: Final = 4


class GroupNamed(BaseModel):
    """A group, by number, by name, or by its name in the directory."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"group_name": "developers"}})

    id: Annotated[int, Field(ge=0, lt=2**63)] = 0
    group_name: Annotated[str, Field(max_length=255)] = ""
    group_type: Annotated[int, Field(ge=0, le=LOCAL)] = 0
    ldap_group_dn: Annotated[str, Field(max_length=1024)] = ""

    @property
    def says(self) -> bool:
        """Whether it names any."""
        return bool(self.id or self.group_name or self.ldap_group_dn)


def type_of(group: GroupRecord) -> int:
    """Return Harbor's number for where a group comes from."""
    if group.provider == PROVIDER:
        return LDAP
    return OIDC if group.provider.startswith("oidc:") else LOCAL


def folded(dn: str) -> str:
    """Return the spelling by which a directory's name for a group is kept.

    Raises:
        Invalid: It is no distinguished name.
    """
    try:
        return fold_dn(dn)
    except DnInvalid as error:
        raise Invalid(f"ldap_group_dn: {error}") from None


async def group_for(named: GroupNamed, services: ApiServices, by: Source) -> GroupRecord:
    """Return the group that a request names; one of a directory that is not known yet is made, as Harbor does.

    Raises:
        Invalid: The directory's name for it is none.
        NotFound: There is none.
    """
    groups = services.accounts.groups
    if named.id:
        return await groups.get(named.id)
    if named.ldap_group_dn:
        subject = folded(named.ldap_group_dn)
        known = await groups.of_provider(PROVIDER, subject)
        name = named.group_name or first_value(named.ldap_group_dn)
        return known or await groups.create(name, by=by, provider=PROVIDER, subject=subject)
    found = await groups.find(named.group_name)
    if found is None:
        raise NotFound(f"there is no group {named.group_name!a}; make it with POST /api/v2.0/usergroups first")
    return found
