"""Terraform's provider for Harbor manages an unchanged registry of ours: each resource made, read, changed, removed.

The provider itself is not at hand; `tests/support/terraform.py` sends what it sends.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.support import terraform
from tests.support.http_client import Client
from tests.support.server import Server
from tests.support.terraform import Provider

PASSWORD = "seven boats at anchor"
DN = "cn=developers,ou=groups,dc=example,dc=org"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry with accounts."""
    with Server({"auth": "accounts", "storage": {"delete": {"enabled": True}}}, workers=1) as running:
        yield running


@pytest.fixture
def provider(server: Server) -> Provider:
    """Give the provider, signed in as the administrator."""
    return Provider(client=Client.of(server))


def test_a_project(provider: Provider, server: Server) -> None:
    """Made with every default, read without a difference, made public, refused while it holds images, removed."""
    state = provider.create("/projects", terraform.project("tf-project"))
    made = provider.read(state)
    assert state == f"/projects/{made['project_id']}"
    kept = made["metadata"]
    assert (made["name"], kept["public"], kept["auto_scan"], kept["proxy_speed_kb"]) == (
        "tf-project",
        "false",
        "true",
        "-1",
    )
    assert (kept["severity"], kept["prevent_vul"], made["registry_id"]) == ("low", "false", None)
    provider.send("PUT", state, terraform.project("tf-project", public=True, security="high", scanning=False))
    changed = provider.read(state)["metadata"]
    assert (changed["public"], changed["severity"], changed["prevent_vul"], changed["auto_scan"]) == (
        "true",
        "high",
        "true",
        "false",
    )
    assert state in {f"/projects/{each['project_id']}" for each in provider.every("/projects")}
    (found,) = provider.send("GET", "/projects?name=tf-project").json()
    assert found["project_id"] == made["project_id"]

    provider.client.push_image("tf-project/deep/app", "v1")
    (repository,) = provider.send("GET", "/projects/tf-project/repositories?page=1&page_size=100").json()
    assert provider.send("GET", "/projects/tf-project/repositories?page=2&page_size=100").json() == []
    with pytest.raises(terraform.Unexpected, match="412"):
        provider.send("DELETE", state)
    rest = repository["name"].removeprefix("tf-project/").replace("/", "%252F")
    provider.send("DELETE", f"/projects/tf-project/repositories/{rest}")
    provider.send("DELETE", state)
    assert provider.is_gone(state)


def test_a_user(provider: Provider, server: Server) -> None:
    """One body serves for making, changing, the administrator's flag and the password."""
    body = terraform.user("tf-user", PASSWORD, email="tf@example.org", realname="Terra Form")
    state = provider.create("/users", body)
    made = provider.read(state)
    assert (made["username"], made["realname"], made["email"], made["sysadmin_flag"]) == (
        "tf-user",
        "Terra Form",
        "tf@example.org",
        False,
    )
    raised = terraform.user("tf-user", "eight boats at anchor", email="t@example.org", realname="T", admin=True)
    for path in (state, f"{state}/sysadmin", f"{state}/password"):
        provider.send("PUT", path, raised)
    changed = provider.read(state)
    assert (changed["email"], changed["realname"], changed["sysadmin_flag"]) == ("t@example.org", "T", True)
    # Without the flag, which Go leaves out where it is false, the account is an ordinary one again.
    for path in (state, f"{state}/sysadmin"):
        provider.send("PUT", path, body)
    assert provider.read(state)["sysadmin_flag"] is False
    assert state in {f"/users/{each['user_id']}" for each in provider.every("/users")}
    provider.send("DELETE", state)
    assert provider.is_gone(state)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (terraform.group("tf-ours", 4), 4),
        (terraform.group("tf-directory", 1, dn=DN), 1),
    ],
)
def test_a_group(provider: Provider, body: dict[str, object], kind: int) -> None:
    """What is read back has the type that was asked for, so that no plan finds a difference."""
    state = provider.create("/usergroups", body)
    made = provider.read(state)
    assert (made["group_name"], made["group_type"]) == (body["group_name"], kind)
    assert state in {f"/usergroups/{each['id']}" for each in provider.every("/usergroups")}
    provider.send("DELETE", state)
    assert provider.is_gone(state)


def test_a_group_of_a_proxy_is_one_of_ours(provider: Provider) -> None:
    """Harbor's type for a proxy in front is taken; it comes back as 4, which is what to write in its place."""
    state = provider.create("/usergroups", terraform.group("tf-proxy", 2))
    assert provider.read(state)["group_type"] == 4
    provider.send("DELETE", state)


def test_members(provider: Provider) -> None:
    """A user and groups get roles; the bodies name both kinds, one of them empty."""
    project = provider.create("/projects", terraform.project("tf-members"))
    user = provider.create("/users", terraform.user("tf-member", PASSWORD, email="m@example.org", realname="M"))
    group = provider.create("/usergroups", terraform.group("tf-group", 4))
    group_id = int(group.rpartition("/")[2])
    for body, changed, name in (
        (terraform.member_user(2, "tf-member"), terraform.member_user(4, "tf-member"), "tf-member"),
        (
            terraform.member_group(3, "tf-group", 2, group_id=group_id),
            terraform.member_group(1, "tf-group", 2, group_id=group_id),
            "tf-group",
        ),
        (terraform.member_group(5, "devs", 1, dn=DN), terraform.member_group(2, "devs", 1, dn=DN), "devs"),
    ):
        state = provider.create(f"{project}/members", body)
        made = provider.read(state)
        assert (made["role_id"], made["entity_name"]) == (body["role_id"], name)
        assert f"/projects/{made['project_id']}" == project
        provider.send("PUT", state, changed)
        assert provider.read(state)["role_id"] == changed["role_id"]
        assert name in {each["entity_name"] for each in provider.every(f"{project}/members")}
        provider.send("DELETE", state)
        assert provider.is_gone(state)
    for state in (group, user, project):
        provider.send("DELETE", state)


def test_a_label(provider: Provider) -> None:
    """For all projects and for one; the provider's own default for the colour is a word."""
    project = provider.create("/projects", terraform.project("tf-labels"))
    number = int(project.rpartition("/")[2])
    for body, scope in ((terraform.label("tf-label"), "g"), (terraform.label("tf-label", project_id=number), "p")):
        state = provider.create("/labels", body)
        made = provider.read(state)
        assert (made["name"], made["color"], made["description"], made["scope"]) == ("tf-label", "false", "", scope)
        provider.send("PUT", state, {**body, "color": "#00AB9A", "description": "Ready"})
        changed = provider.read(state)
        assert (changed["color"], changed["description"]) == ("#00AB9A", "Ready")
        provider.send("DELETE", state)
        assert provider.is_gone(state)
    provider.send("DELETE", project)


def test_a_robot_of_a_project(provider: Provider, server: Server) -> None:
    """Made, given a secret, closed, opened by leaving the flag out, and removed; its short name can be cut out."""
    project = provider.create("/projects", terraform.project("tf-robots"))
    access = [{"action": "pull", "resource": "repository"}, {"action": "push", "resource": "repository"}]
    permissions = [{"access": access, "kind": "project", "namespace": "tf-robots"}]
    state = provider.create("/robots", terraform.robot("ci", "project", permissions, description="Builds"))
    made = provider.read(state)
    assert made["name"].split(made["permissions"][0]["namespace"] + "+")[1] == "ci"
    assert (made["level"], made["duration"], made["disable"], made["description"]) == ("project", -1, False, "Builds")
    given = {(each["resource"], each["action"]) for each in made["permissions"][0]["access"]}
    assert given == {("repository", "pull"), ("repository", "push")}

    provider.send("PATCH", f"/robots/{made['id']}", {"secret": "Given-secret-4711"})
    signed_in = Client(url=server.url, headers={"Authorization": _basic(made["name"], "Given-secret-4711")})
    signed_in.push_image("tf-robots/app", "v1")
    closed = terraform.robot(made["name"], "project", permissions, disable=True, description="Builds")
    provider.send("PUT", state, closed)
    assert provider.read(state)["disable"] is True
    provider.send("PUT", state, terraform.robot(made["name"], "project", permissions))
    opened = provider.read(state)
    assert (opened["disable"], opened["description"], opened["name"]) == (False, "", made["name"])
    provider.send("DELETE", state)
    assert provider.is_gone(state)
    provider.send("DELETE", "/projects/tf-robots/repositories/app")
    provider.send("DELETE", project)


def test_a_robot_of_the_registry(provider: Provider) -> None:
    """The provider cuts the prefix off its name, which it reads from the settings; what is not named comes back."""
    permissions = [
        {
            "access": [{"action": "pull", "resource": "repository", "effect": "allow"}],
            "kind": "project",
            "namespace": "*",
        },
        {"access": [{"action": "list", "resource": "project"}], "kind": "system", "namespace": "/"},
    ]
    state = provider.create("/robots", terraform.robot("tf-system", "system", permissions))
    made = provider.read(state)
    prefix = provider.read("/configurations")["robot_name_prefix"]["value"]
    assert made["name"].removeprefix(prefix) == "tf-system"
    assert {(each["kind"], each["namespace"]) for each in made["permissions"]} == {("project", "*"), ("system", "/")}
    assert state in {f"/robots/{each['id']}" for each in provider.every("/robots")}
    provider.send("DELETE", state)
    assert provider.is_gone(state)


def test_a_retention_policy(provider: Provider) -> None:
    """Made, read without a difference, changed, and emptied when it is destroyed; made again over what is left."""
    project = provider.create("/projects", terraform.project("tf-retention"))
    number = int(project.rpartition("/")[2])
    rules = [
        terraform.retention_rule("nDaysSinceLastPull", 5, repositories=("repoMatches", "**")),
        terraform.retention_rule("always", 0, tags=("excludes", "dev-*"), repositories=("repoExcludes", "lab/**")),
    ]
    body = terraform.retention(number, rules, cron="0 0 * * * *")
    state = provider.create("/retentions", body)
    made = provider.read(state)
    assert terraform.shown_rules(made) == terraform.shown_rules(body)
    assert (made["scope"]["ref"], made["trigger"]["settings"]["cron"]) == (number, "0 0 * * * *")
    assert provider.read(project)["metadata"]["retention_id"] == state.rpartition("/")[2]
    changed = terraform.retention(number, [terraform.retention_rule("latestPushedK", 7, untagged=False)])
    provider.send("PUT", state, changed)
    assert terraform.shown_rules(provider.read(state)) == terraform.shown_rules(changed)
    provider.send("PUT", state, {**terraform.retention(number, []), "id": made["id"]})
    assert provider.read(state)["rules"] == []
    # The provider's `create` over a policy that is there: it is refused, and the one of the project is changed.
    with pytest.raises(terraform.Unexpected, match="400"):
        provider.create("/retentions", body)
    provider.send("PUT", f"/retentions/{provider.read(project)['metadata']['retention_id']}", body)
    assert terraform.shown_rules(provider.read(state)) == terraform.shown_rules(body)
    provider.send("DELETE", project)
    assert provider.is_gone(state)


def test_immutable_tags(provider: Provider) -> None:
    """A rule of a project: made, read from the project's list, changed, removed."""
    project = provider.create("/projects", terraform.project("tf-immutable"))
    rules = f"{project}/immutabletagrules"
    state = provider.create(rules, terraform.immutable_rule("v*"))
    number = int(state.rpartition("/")[2])
    (made,) = provider.send("GET", f"{rules}").json()
    assert (made["id"], made["tag_selectors"][0]["pattern"], made["disabled"]) == (number, "v*", False)
    provider.send("PUT", state, {**terraform.immutable_rule("release-*"), "id": number, "disabled": True})
    (changed,) = provider.send("GET", rules).json()
    assert (changed["tag_selectors"][0]["pattern"], changed["disabled"]) == ("release-*", True)
    provider.send("DELETE", state)
    assert provider.send("GET", rules).json() == []
    provider.send("DELETE", project)


def test_the_settings_of_the_system(provider: Provider) -> None:
    """Every default of the provider is taken and read back as it was sent."""
    banner = json.dumps({"closable": True, "message": "moving on Friday", "type": "info", "fromDate": "", "toDate": ""})
    for body in (
        terraform.config_system(),
        terraform.config_system(session_timeout=90, token_expiration=10, robot_token_duration=7, banner_message=banner),
    ):
        provider.send("PUT", "/configurations", body)
        kept = provider.read("/configurations")
        assert {name: kept[name]["value"] for name in body} == body
    provider.send("PUT", "/configurations", terraform.config_system())


@pytest.mark.parametrize(
    "body",
    [
        terraform.config_auth(
            "oidc_auth",
            oidc_name="idp",
            oidc_endpoint="https://id.example.org",
            oidc_client_id="entrepot",
            oidc_client_secret="not to be read again",
            oidc_scope="openid,profile,email",
            oidc_groups_claim="groups",
            oidc_admin_group="admins",
            oidc_user_claim="preferred_username",
        ),
        terraform.config_auth(
            "ldap_auth",
            ldap_url="ldaps://ldap.example.org",
            ldap_base_dn="ou=people,dc=example,dc=org",
            ldap_uid="uid",
            ldap_search_dn="cn=reader,dc=example,dc=org",
            ldap_search_password="not to be read again",
            ldap_group_membership_attribute="memberof",
            ldap_scope=2,
            ldap_group_search_scope=2,
        ),
        terraform.config_auth("db_auth"),
    ],
    ids=["oidc", "ldap", "db"],
)
def test_the_settings_of_signing_in(provider: Provider, body: dict[str, object]) -> None:
    """Each mode is taken with the leftovers of the others; what is no secret is read back."""
    provider.send("PUT", "/configurations", body)
    kept = provider.read("/configurations")
    secrets = {"oidc_client_secret", "ldap_search_password"}
    wanted = {name: value for name, value in body.items() if name not in secrets | {"scan_all_policy"}}
    assert {name: kept[name]["value"] for name in wanted} == wanted
    assert not secrets & kept.keys()


def _basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()
