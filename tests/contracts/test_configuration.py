"""Settings of the registry behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot.access.faults import Forbidden, Invalid, NotFound
from entrepot.metadata import settings
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.tables import metadata
from entrepot.registry import read_only
from entrepot.system.configuration import Configuration
from entrepot.system.keys import Kind, keys
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from tests.support.databases import create_all
from tests.support.events import recorded

BY = Source(name="alice")


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, metadata)
    return database


@pytest.fixture
def configuration(rows: Database, tmp_path: Path) -> Configuration:
    """Give its settings."""
    return Configuration(rows, Vault(rows, KeySource(tmp_path, {})))


async def test_settings_are_what_they_are_at_first(configuration: Configuration) -> None:
    """Everything but the secrets is shown, with whether it can be changed."""
    shown = await configuration.shown()
    assert shown.keys() == {name for name, key in keys().items() if key.kind is not Kind.SECRET}
    assert (shown["auth_mode"].value, shown["auth_mode"].editable) == ("db_auth", True)
    assert (shown["notification_enable"].value, shown["notification_enable"].editable) == (True, False)
    assert {name for name, item in shown.items() if item.value != keys()[name].default} == set()


async def test_a_change_is_kept_and_told(configuration: Configuration, rows: Database) -> None:
    """What was changed is read back, the rest stays, and the audit log has old and new."""
    await configuration.change({"session_timeout": 90, "self_registration": "true", "ldap_uid": "cn"}, by=BY)
    values = await configuration.values()
    assert (values["session_timeout"], values["self_registration"], values["ldap_uid"]) == (90, True, "cn")
    assert await configuration.get("session_timeout") == 90
    assert [(event.kind, event.subject, event.detail) for event in await recorded(rows)] == [
        (
            "configure",
            "configuration",
            {"session_timeout": {"from": 60, "to": 90}, "self_registration": {"from": False, "to": True}},
        )
    ]


async def test_what_is_the_same_changes_nothing(configuration: Configuration, rows: Database) -> None:
    """A client that sends back what it read writes nothing, also where it may not change it."""
    await configuration.change(await configuration.values(), by=BY)
    assert await recorded(rows) == []


async def test_secrets_are_sealed_and_never_shown(configuration: Configuration, rows: Database) -> None:
    """The row holds no plain text, lists leave it out, the log does not tell it; who needs it gets it."""
    await configuration.change({"ldap_search_password": "hunter2-canary"}, by=BY)
    stored = await settings.beginning_with(rows, "configuration.")
    assert all("hunter2" not in text for text in stored.values())
    assert "ldap_search_password" not in await configuration.shown()
    assert await configuration.secret("ldap_search_password") == "hunter2-canary"
    assert [event.detail for event in await recorded(rows)] == [{"ldap_search_password": "changed"}]
    with pytest.raises(NotFound):
        await configuration.get("ldap_search_password")
    with pytest.raises(NotFound):
        await configuration.secret("ldap_url")
    assert await configuration.secret("oidc_client_secret") == ""


@pytest.mark.parametrize(
    "values",
    [
        {"auth_mode": "magic"},
        {"session_timeout": 0},
        {"session_timeout": True},
        {"session_timeout": "ten"},
        {"self_registration": "yes"},
        {"ldap_url": 7},
        {"ldap_url": "x" * 5000},
        {"no_such_setting": 1},
    ],
)
async def test_what_cannot_be_is_refused(
    configuration: Configuration, rows: Database, values: dict[str, object]
) -> None:
    """A wrong value is refused with the whole change, also what was right in it."""
    with pytest.raises(Invalid):
        await configuration.change({"banner_message": "hello", **values}, by=BY)
    assert await settings.beginning_with(rows, "configuration.") == {}


async def test_what_the_file_decides_is_fixed(rows: Database, tmp_path: Path) -> None:
    """The file's value counts, whatever the database says, and cannot be changed."""
    free = Configuration(rows, Vault(rows, KeySource(tmp_path, {})))
    await free.change({"ldap_url": "ldap://old", "ldap_search_password": "old"}, by=BY)
    fixed = {"ldap_url": "ldaps://file", "ldap_search_password": "from the file"}
    configuration = Configuration(rows, Vault(rows, KeySource(tmp_path, {})), fixed)
    assert (await configuration.shown())["ldap_url"].editable is False
    assert await configuration.get("ldap_url") == "ldaps://file"
    assert await configuration.secret("ldap_search_password") == "from the file"
    for values in ({"ldap_url": "ldap://mine"}, {"ldap_search_password": "mine"}, {"notification_enable": False}):
        with pytest.raises(Forbidden):
            await configuration.change(values, by=BY)


async def test_read_only_is_one_switch(configuration: Configuration, rows: Database) -> None:
    """The setting and `entrepot readonly` are the same."""
    await configuration.change({"read_only": True}, by=BY)
    assert await read_only.is_on(rows)
    await read_only.switch(rows, on=False)
    assert await configuration.get("read_only") is False
    assert (await configuration.values())["read_only"] is False
