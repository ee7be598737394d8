"""Settings of a project, one at a time."""

from __future__ import annotations

import pytest

from tests.support.api import Api, refusal


@pytest.fixture(autouse=True)
async def project(admin: Api) -> None:
    """Make a public project with one setting."""
    metadata = {"public": "true", "auto_scan": "true"}
    await admin.made("/projects", {"project_name": "demo", "metadata": metadata})


@pytest.mark.parametrize("slash", ["", "/"])
async def test_all_of_them(nobody: Api, slash: str) -> None:
    """They are listed for whoever may read the project, with Harbor's slash or without."""
    expected = {"public": "true", "visibility": "public", "auto_scan": "true"}
    assert await nobody.found(f"/projects/demo/metadatas{slash}") == expected


async def test_one_of_them(admin: Api) -> None:
    """It is added, read, changed and taken away."""
    assert (await admin.post("/projects/demo/metadatas/", {"severity": "low"})).status == 200
    assert await admin.found("/projects/demo/metadatas/severity") == {"severity": "low"}
    assert (await admin.put("/projects/demo/metadatas/severity", {"severity": "high"})).status == 200
    assert await admin.found("/projects/demo/metadatas/severity") == {"severity": "high"}
    assert (await admin.delete("/projects/demo/metadatas/severity")).status == 200
    assert refusal(await admin.get("/projects/demo/metadatas/severity")) == (404, "NOT_FOUND")
    assert refusal(await admin.delete("/projects/demo/metadatas/severity")) == (404, "NOT_FOUND")


async def test_visibility_is_one_of_them(admin: Api, anonymous: Api) -> None:
    """It can be changed here, and not taken away."""
    assert (await admin.put("/projects/demo/metadatas/public", {"public": "false"})).status == 200
    assert (await anonymous.get("/projects/demo")).status == 401
    assert refusal(await admin.delete("/projects/demo/metadatas/public")) == (400, "BAD_REQUEST")


async def test_what_is_there_is_not_added(admin: Api) -> None:
    """A second value for a setting conflicts."""
    assert refusal(await admin.post("/projects/demo/metadatas", {"auto_scan": "false"})) == (409, "CONFLICT")
    assert (await admin.found("/projects/demo/metadatas"))["auto_scan"] == "true"


@pytest.mark.parametrize("document", [{}, {"severity": "low"}, {"auto_scan": "true", "severity": "low"}])
async def test_the_path_says_which(admin: Api, document: dict[str, str]) -> None:
    """A body about another setting is refused."""
    assert refusal(await admin.put("/projects/demo/metadatas/auto_scan", document)) == (400, "BAD_REQUEST")


async def test_reading_is_not_changing(nobody: Api) -> None:
    """Who may only read the project may not set it."""
    assert refusal(await nobody.post("/projects/demo/metadatas", {"severity": "low"})) == (403, "FORBIDDEN")
    assert refusal(await nobody.put("/projects/demo/metadatas/public", {"public": "false"})) == (403, "FORBIDDEN")
    assert refusal(await nobody.delete("/projects/demo/metadatas/auto_scan")) == (403, "FORBIDDEN")
