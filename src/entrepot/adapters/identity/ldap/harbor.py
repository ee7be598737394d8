"""The settings of a directory by Harbor's names."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from entrepot.access.errors import SetupError
from entrepot.accounts.directory.model import NoDirectory
from entrepot.adapters.identity.ldap.settings import LdapSettings, from_config
from entrepot.config.schema.ldap import Ldap
from entrepot.system.keys import Value

_SCOPES = {0: "base", 1: "onelevel", 2: "subtree"}


def from_harbor(values: Mapping[str, Value], password: str) -> LdapSettings:
    """Read the settings `ldap_*`.

    As in Harbor, servers may be named without `ldap://`, and passwords go to such a server in the clear.

    Raises:
        NoDirectory: They cannot be used; the message says why.
    """
    url = str(values["ldap_url"]).strip().rstrip("/")
    section = {
        "servers": [url if "://" in url else f"ldap://{url}"],
        # What it allows in a file is how Harbor does it; whether certificates are looked at is said below.
        "insecure": url.startswith("ldap://") or "://" not in url or not values["ldap_verify_cert"],
        "binddn": values["ldap_search_dn"],
        "bindpassword": password,
        "timeout": f"{values['ldap_timeout']}s",
        "users": {
            "base": values["ldap_base_dn"],
            "filter": values["ldap_filter"] or "(objectClass=*)",
            "name": values["ldap_uid"],
            "scope": _SCOPES[int(values["ldap_scope"])],
        },
        "groups": {
            "base": values["ldap_group_base_dn"],
            "filter": values["ldap_group_search_filter"],
            "name": values["ldap_group_attribute_name"],
            "scope": _SCOPES[int(values["ldap_group_search_scope"])],
            "memberof": values["ldap_group_membership_attribute"] or "memberof",
            "lookup": "memberof",
            "admins": [values["ldap_group_admin_dn"]] if values["ldap_group_admin_dn"] else [],
        },
    }
    try:
        return from_config(Ldap.model_validate(section))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "ldap"
        raise NoDirectory(f"the settings of the directory cannot be used: {where}: {problem['msg']}") from None
    except SetupError as error:
        raise NoDirectory(str(error)) from None
