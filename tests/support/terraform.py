"""Requests as Terraform's provider for Harbor sends them: what it writes into bodies, and what it makes of answers.

The provider is a program in Go: fields at their zero value are left out of its bodies unless said otherwise, nested
ones are not, and whatever it did not ask to change is sent along. Its state of a thing is the path in `Location`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.support.http_client import Answer, Client

BASE = "/api/v2.0"
GIBIBYTE = 2**30


class Unexpected(AssertionError):
    """An answer at which the provider gives up."""


@dataclass(kw_only=True)
class Provider:
    """The provider, configured with name and password."""

    client: Client

    def send(self, method: str, path: str, body: Any = None, *, wanted: int = 200) -> Answer:
        """Send a request; the provider takes one status and fails at any other."""
        raw = b"" if body is None else json.dumps(body).encode() + b"\n"
        answer = self.client.request(method, f"{BASE}{path}", raw, {"Content-Type": "application/json"})
        if answer.status != wanted:
            raise Unexpected(f"{method} {path}: {answer.status} in place of {wanted}: {answer.body.decode()}")
        return answer

    def create(self, path: str, body: Any) -> str:
        """Make something and return its id in the state: its path."""
        answer = self.send("POST", path, body, wanted=201)
        return answer.headers["location"].replace("/api", "").replace("/v2.0", "")

    def read(self, state_id: str) -> Any:
        """Read something back."""
        return self.send("GET", state_id).json()

    def every(self, path: str) -> list[Any]:
        """Read a list to its end: the provider asks for pages until one is empty."""
        found: list[Any] = []
        number = 1
        while page := self.send("GET", f"{path}?page={number}").json():
            found += page
            number += 1
        return found

    def is_gone(self, state_id: str) -> bool:
        """Tell whether something is not there any more."""
        return self.client.request("GET", f"{BASE}{state_id}").status == 404


def without_zeros(**fields: Any) -> dict[str, Any]:
    """Leave out what Go's `omitempty` leaves out; objects stay."""
    return {name: value for name, value in fields.items() if isinstance(value, dict) or value not in ("", 0, False, [])}


def project(name: str, *, public: bool = False, security: str = "", scanning: bool = True) -> dict[str, Any]:
    """Return the body of `harbor_project`."""
    metadata = without_zeros(
        enable_content_trust="false",
        enable_content_trust_cosign="false",
        auto_scan=_text(scanning),
        severity=security or "low",
        reuse_sys_cve_allowlist="true",
        public=_text(public),
        prevent_vul=_text(bool(security)),
        auto_sbom_generation="false",
        proxy_speed_kb="-1",
        proxy_cache_local_on_not_found="false",
    )
    return without_zeros(project_name=name, registry_id=0, cve_allowlist={}, storage_limit=-1, metadata=metadata)


def user(name: str, password: str, *, email: str, realname: str, admin: bool = False) -> dict[str, Any]:
    """Return the body of `harbor_user`: one for making, changing, the flag and the password."""
    return without_zeros(
        username=name, password=password, sysadmin_flag=admin, email=email, realname=realname, new_password=password
    )


def group(name: str, kind: int, *, dn: str = "") -> dict[str, Any]:
    """Return the body of `harbor_group`."""
    return without_zeros(group_name=name, group_type=kind, ldap_group_dn=dn)


def label(name: str, *, description: str = "", color: str = "false", project_id: int = 0) -> dict[str, Any]:
    """Return the body of `harbor_label`, in which nothing is left out."""
    scope = "p" if project_id else "g"
    fixed = {"deleted": False, "id": 0}
    return {"name": name, "description": description, "color": color, "scope": scope, "project_id": project_id, **fixed}


def member_user(role: int, name: str) -> dict[str, Any]:
    """Return the body of `harbor_project_member_user`."""
    return without_zeros(role_id=role, member_group={}, member_user={"username": name})


def member_group(role: int, name: str, kind: int, *, group_id: int = 0, dn: str = "") -> dict[str, Any]:
    """Return the body of `harbor_project_member_group`."""
    named = without_zeros(group_type=kind, group_name=name, id=group_id, ldap_group_dn=dn)
    return without_zeros(role_id=role, member_group=named, member_user={})


def robot(
    name: str, level: str, permissions: list[dict[str, Any]], *, disable: bool = False, description: str = ""
) -> dict[str, Any]:
    """Return the body of `harbor_robot_account`."""
    return without_zeros(
        name=name, level=level, description=description, duration=-1, disable=disable, permissions=permissions
    )


def config_system(**changed: Any) -> dict[str, Any]:
    """Return the body of `harbor_config_system`, with the provider's defaults."""
    body = {
        "project_creation_restriction": "adminonly",
        "read_only": False,
        "robot_token_duration": 30,
        "token_expiration": 30,
        "session_timeout": 60,
        "quota_per_project_enable": True,
        "robot_name_prefix": "robot$",
        "storage_per_project": -1,
        "scanner_skip_update_pulltime": False,
        "skip_audit_log_database": False,
        "banner_message": "",
        "notification_enable": True,
    }
    return {**body, **changed}


def config_auth(mode: str, **said: Any) -> dict[str, Any]:
    """Return the body of `harbor_config_auth`: flags and numbers of every mode, texts of the one that is meant."""
    always = {
        "oidc_verify_cert": False,
        "oidc_auto_onboard": False,
        "oidc_logout": False,
        "self_registration": False,
        "scan_all_policy": {"parameter": {}},
        "ldap_scope": 0,
        "ldap_group_search_scope": 0,
        "ldap_verify_cert": False,
    }
    return {"auth_mode": mode, **always, **said}


def retention_rule(
    template: str,
    value: int,
    *,
    tags: tuple[str, str] = ("matches", "**"),
    repositories: tuple[str, str] = ("repoMatches", "**"),
    untagged: bool = True,
) -> dict[str, Any]:
    """Return a rule of `harbor_retention_policy`; names are compared by decoration and pattern."""
    extras = f'{{"untagged":{_text(untagged)}}}'
    return {
        "disabled": False,
        "action": "retain",
        "scope_selectors": {"repository": [_selector(repositories)]},
        "tag_selectors": [{**_selector(tags), "extras": extras}],
        "params": {template: value} if value else {},
        "template": template,
    }


def retention(project_id: int, rules: list[dict[str, Any]], *, cron: str = "") -> dict[str, Any]:
    """Return the body of `harbor_retention_policy`."""
    trigger = {"kind": "Schedule", "references": {}, "settings": {"cron": cron}}
    return {
        "algorithm": "or",
        "rules": rules,
        "trigger": trigger,
        "scope": {"level": "project", "ref": project_id},
    }


def shown_rules(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the provider compares of the rules of a policy."""
    return [
        {
            "disabled": rule["disabled"],
            "template": rule["template"],
            "value": rule["params"].get(rule["template"]),
            "tags": (rule["tag_selectors"][0]["decoration"], rule["tag_selectors"][0]["pattern"]),
            "repositories": [
                (each["decoration"], each["pattern"]) for each in rule["scope_selectors"]["repository"][:1]
            ],
            "untagged": "true" in rule["tag_selectors"][0]["extras"],
        }
        for rule in policy["rules"]
    ]


def immutable_rule(pattern: str) -> dict[str, Any]:
    """Return the body of `harbor_immutable_tag_rule`."""
    return {
        "disabled": False,
        "scope_selectors": {"repository": [_selector(("repoMatches", "**"))]},
        "tag_selectors": [_selector(("matches", pattern))],
        "action": "immutable",
        "template": "immutable_template",
    }


def _selector(wanted: tuple[str, str]) -> dict[str, Any]:
    return {"kind": "doublestar", "decoration": wanted[0], "pattern": wanted[1]}


def _text(flag: object) -> str:
    return "true" if flag else "false"
