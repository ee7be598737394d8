"""What the API tells of the registry as a whole: settings, figures, search, permissions."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot import __version__
from entrepot.access.permissions import PROJECT, SYSTEM, known
from entrepot.system.configuration import Configuration
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from tests.http.pushing import push_image
from tests.support.api import Api, refusal
from tests.support.app import App


@pytest.fixture
async def contents(app: App, admin: Api) -> None:
    """Push an image into a private, an internal and a public project."""
    for name, metadata in (("hidden", {}), ("inside", {"visibility": "internal"}), ("open", {"public": "true"})):
        await admin.made("/projects", {"project_name": name, "metadata": metadata})
        await push_image(app.basic("admin"), "v1", name=f"{name}/app")
    await push_image(app.basic("admin"), "v1", name="open/tools/one")


async def test_system_information(admin: Api, anonymous: Api) -> None:
    """A stranger learns how to sign in and no more."""
    assert await anonymous.found("/systeminfo") == {
        "banner_message": "",
        "auth_mode": "db_auth",
        "primary_auth_mode": False,
        "self_registration": False,
    }
    info = await admin.found("/systeminfo")
    assert info["harbor_version"].endswith(__version__)
    assert (info["registry_url"], info["external_url"]) == ("registry.test", "http://registry.test")
    assert (info["read_only"], info["has_ca_root"]) == (False, False)


async def test_volumes(admin: Api, nobody: Api) -> None:
    """The disk's size and free space are for who may know them."""
    (volume,) = (await admin.found("/systeminfo/volumes"))["storage"]
    assert volume["total"] >= volume["free"] > 0
    assert refusal(await nobody.get("/systeminfo/volumes")) == (403, "FORBIDDEN")


async def test_permissions(nobody: Api, anonymous: Api) -> None:
    """Everything that can be allowed is listed."""
    listed = await nobody.found("/permissions")
    assert {f"{each['resource']}:{each['action']}" for kind in listed.values() for each in kind} == known()
    assert len(listed["system"]) == sum(map(len, SYSTEM.values()))
    assert len(listed["project"]) == sum(map(len, PROJECT.values()))
    assert refusal(await anonymous.get("/permissions")) == (401, "UNAUTHORIZED")


async def test_settings_are_read_and_changed(admin: Api) -> None:
    """In Harbor's form: each with its value and whether it can be changed."""
    assert (await admin.put("/configurations", {"session_timeout": 90, "self_registration": None})).status == 200
    settings = await admin.found("/configurations")
    assert settings["session_timeout"] == {"value": 90, "editable": True}
    assert settings["self_registration"] == {"value": False, "editable": True}
    assert settings["quota_per_project_enable"] == {"value": True, "editable": False}


async def test_numbers_may_be_what_harbor_allows(admin: Api) -> None:
    """As large as 32 bits hold; robots without an end; no quota of nothing."""
    wide = {"session_timeout": 100_000, "token_expiration": 1440, "robot_token_duration": -1, "ldap_timeout": 600}
    assert (await admin.put("/configurations", wide | {"pull_time_update_disable": False})).status == 200
    settings = await admin.found("/configurations")
    assert {name: settings[name]["value"] for name in wide} == wide
    for refused in ({"session_timeout": 2**31}, {"storage_per_project": 0}, {"robot_token_duration": 0}):
        assert refusal(await admin.put("/configurations", refused)) == (400, "BAD_REQUEST")


async def test_settings_are_for_who_may(nobody: Api, anonymous: Api) -> None:
    """Reading and changing take a permission each."""
    for method, document in (("GET", None), ("PUT", {"self_registration": True})):
        assert refusal(await nobody.send(method, "/configurations", document)) == (403, "FORBIDDEN")
        assert refusal(await anonymous.send(method, "/configurations", document)) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"no_such": 1}, 400),
        ({"auth_mode": "magic"}, 400),
        ({"quota_per_project_enable": False}, 403),
        ({"session_timeout": 1.5}, 400),
        ({"session_timeout": [1]}, 400),
        ({"banner_message": {"a": 1}}, 400),
        ([1], 422),
    ],
)
async def test_odd_settings_are_refused(admin: Api, document: Any, status: int) -> None:
    """A wrong name or value changes nothing."""
    assert refusal(await admin.put("/configurations", document))[0] == status


async def test_secrets_go_in_and_never_out(admin: Api) -> None:
    """No answer of the API holds one, neither of settings nor of the log, nor the refusal of one."""
    canary = "hunter2-canary"
    assert (await admin.put("/configurations", {"ldap_search_password": canary})).status == 200
    refused = await admin.put("/configurations", {"ldap_search_password": [canary]})
    assert refused.status == 400
    for answer in (refused, await admin.get("/configurations"), await admin.get("/auditlog-exts")):
        assert canary not in answer.body.decode()


async def test_search_finds_what_the_caller_may_see(contents: None, admin: Api, nobody: Api, anonymous: Api) -> None:
    """A part of the name is enough; what is hidden is not found."""
    found = {
        name: [each["repository_name"] for each in (await api.found("/search?q=AP"))["repository"]]
        for name, api in (("admin", admin), ("nobody", nobody), ("anonymous", anonymous))
    }
    assert found == {
        "admin": ["hidden/app", "inside/app", "open/app"],
        "nobody": ["inside/app", "open/app"],
        "anonymous": ["open/app"],
    }
    (project,) = (await nobody.found("/search?q=ope"))["project"]
    assert (project["name"], project["repo_count"]) == ("open", 2)
    assert (await nobody.found("/search?q=hidden")) == {"project": [], "repository": []}
    (tool,) = (await nobody.found("/search?q=open%2Ftools"))["repository"]
    assert tool == {
        "project_id": project["project_id"],
        "project_name": "open",
        "project_public": True,
        "repository_name": "open/tools/one",
        "pull_count": 0,
        "artifact_count": 1,
    }


async def test_statistics(contents: None, app: App, admin: Api, anonymous: Api) -> None:
    """Everybody counts what they may see; the totals are for who may read everything."""
    await app.account("reader", ("project:hidden", "project:read"))
    own = await Api(app.basic("reader")).found("/statistics")
    assert own == {
        "private_project_count": 1,
        "private_repo_count": 1,
        "public_project_count": 1,
        "public_repo_count": 2,
        "total_project_count": 0,
        "total_repo_count": 0,
        "total_storage_consumption": 0,
    }
    whole = await admin.found("/statistics")
    assert (whole["private_project_count"], whole["private_repo_count"]) == (2, 2)
    assert (whole["total_project_count"], whole["total_repo_count"]) == (3, 4)
    assert whole["total_storage_consumption"] > 0
    assert refusal(await anonymous.get("/statistics")) == (401, "UNAUTHORIZED")


async def test_who_people_are_is_for_who_may_do_everything(app: App, admin: Api) -> None:
    """The right to change settings alone makes nobody an administrator by way of another directory or provider."""
    await app.account("tuner", ("*", "configuration:read,configuration:update"))
    tuner = Api(app.basic("tuner"))
    for change in (
        {"auth_mode": "ldap_auth"},
        {"ldap_url": "ldap://evil.test"},
        {"ldap_search_password": "x"},
        {"ldap_group_admin_dn": "cn=all"},
        {"oidc_endpoint": "https://evil.test"},
        {"oidc_admin_group": "all"},
    ):
        assert refusal(await tuner.put("/configurations", change)) == (403, "FORBIDDEN")
    assert refusal(await tuner.post("/ldap/ping", {"ldap_url": "ldap://127.0.0.1:1"})) == (403, "FORBIDDEN")
    unchanged = {"auth_mode": "db_auth", "ldap_url": "", "session_timeout": 30}
    assert (await tuner.put("/configurations", unchanged)).status == 200
    assert (await admin.found("/configurations"))["session_timeout"]["value"] == 30


async def test_a_secret_is_forgotten_with_the_server_it_is_for(app: App, admin: Api) -> None:
    """What was given for one directory is not sent to another, unless it is given with it."""
    secret = "hidden"

    async def kept() -> str:
        configuration = Configuration(app.stores.metadata, Vault(app.stores.metadata, KeySource(app.folder, {})))
        return await configuration.secret("ldap_search_password")

    first = {"ldap_url": "ldap://one.test", "ldap_search_password": secret}
    assert (await admin.put("/configurations", first)).status == 200
    assert (await admin.put("/configurations", {"ldap_url": "ldap://one.test", "ldap_uid": "uid"})).status == 200
    assert await kept() == secret
    assert (await admin.put("/configurations", {"ldap_url": "ldap://two.test"})).status == 200
    assert await kept() == ""
    assert (await admin.put("/configurations", first)).status == 200
    assert await kept() == secret
