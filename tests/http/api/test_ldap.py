"""`/ldap`: a real directory is tried, searched and taken from, by its settings in Harbor's names."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.throttle import Throttle
from entrepot.accounts.directory.model import NoDirectory
from entrepot.accounts.directory.sign_in import DirectoryPasswords
from entrepot.adapters.identity.ldap.source import SetDirectory
from entrepot.metadata.people import users
from entrepot.system.configuration import Configuration
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from tests.support.api import Api, refusal
from tests.support.app import App
from tests.support.slapd import GROUPS, PEOPLE, READER, READER_PASSWORD, Slapd, group_dn, password_of, slapd, user_dn


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Run a directory that nobody changes."""
    with slapd(tmp_path_factory.mktemp("slapd") / "slapd", people=150) as server:
        yield server


@pytest.fixture
def settings(directory: Slapd) -> dict[str, Any]:
    """Give the settings for it."""
    return {
        "auth_mode": "ldap_auth",
        "ldap_url": directory.url,
        "ldap_search_dn": READER,
        "ldap_search_password": READER_PASSWORD,
        "ldap_base_dn": PEOPLE,
        "ldap_filter": "objectClass=inetOrgPerson",
        "ldap_uid": "uid",
        "ldap_group_base_dn": GROUPS,
        "ldap_group_search_filter": "objectClass=groupOfNames",
        "ldap_group_admin_dn": group_dn("leads"),
    }


@pytest.fixture
async def set_up(admin: Api, settings: dict[str, Any]) -> Api:
    """Set the registry to it, as an administrator does."""
    assert (await admin.put("/configurations", settings)).status == 200
    return admin


async def test_settings_are_tried_before_they_count(admin: Api, settings: dict[str, Any]) -> None:
    """A ping with settings says what they find; nothing is kept of them."""
    del settings["auth_mode"]
    trial = {name: value for name, value in settings.items() if "group" not in name}
    answer = (await admin.post("/ldap/ping", trial)).json()
    assert answer["success"] is True
    assert "154 people" in answer["message"]
    shown = await admin.found("/configurations")
    assert shown["ldap_url"]["value"] == ""
    for change, said in (
        ({"ldap_search_password": "wrong"}, "refuses the account that searches"),
        ({"ldap_search_password": None}, "give ldap_search_password"),
        ({"ldap_base_dn": "ou=nowhere,dc=example,dc=org"}, "No such object"),
        ({"ldap_filter": "(uid=nobody)"}, "nobody fits"),
        ({"ldap_filter": "((("}, "brackets"),
        ({"ldap_url": "http://example.org"}, "ldap://"),
        ({"ldap_url": "ldap://127.0.0.1:1", "ldap_connection_timeout": 1}, "cannot"),
    ):
        answer = (await admin.post("/ldap/ping", trial | change)).json()
        assert answer["success"] is False
        assert said in answer["message"], answer
        assert READER_PASSWORD not in answer["message"]


async def test_the_password_that_is_kept_is_not_sent_elsewhere(set_up: Api, directory: Slapd) -> None:
    """A ping of the present settings uses it; one of another server or account must bring its own."""
    assert (await set_up.post("/ldap/ping")).json()["success"] is True
    assert (await set_up.post("/ldap/ping", {"ldap_filter": "(uid=alice)"})).json()["success"] is True
    for change in ({"ldap_url": directory.tls_url}, {"ldap_search_dn": user_dn("alice")}):
        answer = (await set_up.post("/ldap/ping", change)).json()
        assert answer["success"] is False
        assert "the one that is set is not sent" in answer["message"]


async def test_searches(set_up: Api) -> None:
    """People and groups by the beginning of their names, groups by DN; 100 at most; signs of filters mean nothing."""
    assert await set_up.found("/ldap/users/search?username=ali") == [
        {"username": "alice", "realname": "Alice A", "email": "alice@example.org"}
    ]
    assert await set_up.found("/ldap/users/search?username=*") == []
    assert len(await set_up.found("/ldap/users/search")) == 100
    dev = {"id": 0, "group_name": "devs", "group_type": 1, "ldap_group_dn": group_dn("devs")}
    assert await set_up.found("/ldap/groups/search?groupname=dev") == [dev]
    assert await set_up.found(f"/ldap/groups/search?groupdn={group_dn('DEVS')}") == [dev]
    assert await set_up.found(f"/ldap/groups/search?groupdn={PEOPLE}") == []
    assert refusal(await set_up.get("/ldap/groups/search?groupdn=nothing"))[0] == 400


async def test_people_are_taken_in(set_up: Api, app: App) -> None:
    """Accounts with groups for those whom the directory knows; the others are listed with the reason."""
    assert (await set_up.post("/ldap/users/import", {"ldap_uid_list": ["alice", "alice", "bob"]})).status == 200
    await app.account("carol")
    answer = await set_up.post("/ldap/users/import", {"ldap_uid_list": ["carol", "nobody", "dave"]})
    assert answer.status == 404
    assert {failure["uid"]: failure["error"].split()[0] for failure in answer.json()} == {
        "carol": "there",
        "nobody": "the",
    }
    for name in ("alice", "bob", "dave"):
        user = await users.find(app.stores.metadata, name)
        assert user is not None
        assert user.provider == "ldap"
    [found] = await set_up.found("/ldap/groups/search?groupname=dev")
    assert found["id"] > 0


async def test_who_signs_in_follows_the_settings(set_up: Api, app: App, settings: dict[str, Any]) -> None:
    """The directory counts once it is set, with what it says of administrators, and no more when it is taken away."""
    configuration = Configuration(app.stores.metadata, Vault(app.stores.metadata, KeySource(app.folder, {})))
    now = [0.0]
    source = SetDirectory(configuration, clock=lambda: now[0])
    passwords = DirectoryPasswords(app.stores.metadata, source, Throttle())
    person = await passwords.verify(Basic("carol", password_of("carol")), "192.0.2.1")
    assert person is not None
    carol = await users.find(app.stores.metadata, "carol")
    assert carol is not None
    assert carol.sysadmin
    with pytest.raises(CredentialsRefused):
        await passwords.verify(Basic("bob", "wrong"), "192.0.2.1")
    assert (await set_up.put("/configurations", {"auth_mode": "db_auth"})).status == 200
    now[0] += 6
    assert await passwords.verify(Basic("carol", password_of("carol")), "192.0.2.1") is None
    await source.close()


@pytest.mark.usefixtures("set_up")
async def test_a_password_that_cannot_be_opened_is_a_fault_of_the_settings(app: App, tmp_path: Path) -> None:
    """With another secret key, say: whoever asks for the directory is told so each time, and nothing else stops."""
    vault = Vault(app.stores.metadata, KeySource(tmp_path / "other", {}))
    source = SetDirectory(Configuration(app.stores.metadata, vault))
    for _ in range(2):
        with pytest.raises(NoDirectory, match="key"):
            await source.current()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/ldap/ping", {}),
        ("GET", "/ldap/users/search?username=a", None),
        ("GET", "/ldap/groups/search?groupname=a", None),
        ("POST", "/ldap/users/import", {"ldap_uid_list": ["alice"]}),
    ],
)
async def test_only_administrators(
    set_up: Api, as_user: Callable[[str], Api], anonymous: Api, method: str, path: str, body: Any
) -> None:
    """Nobody else looks into the directory (CVE-2019-19030): not a stranger, not somebody who may make projects."""
    assert refusal(await anonymous.send(method, path, body))[0] == 401
    for name in ("nobody", "maker"):
        assert refusal(await as_user(name).send(method, path, body))[0] == 403


async def test_without_a_directory(admin: Api) -> None:
    """Each call says that none is configured."""
    assert "no directory is configured" in (await admin.post("/ldap/ping")).json()["message"]
    for path in ("/ldap/users/search", "/ldap/groups/search"):
        answer = await admin.get(path)
        assert refusal(answer)[0] == 412
        assert "no directory is configured" in answer.json()["errors"][0]["message"]
