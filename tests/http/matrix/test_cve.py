"""Published faults of registries in who may do what, found again, or not, in the authorisation matrix."""

from __future__ import annotations

import re

import pytest

from tests.http.matrix.cells import REFUSALS, WRITE, Row, Table
from tests.http.matrix.things import CROSSABLE

API = "/api/v2.0"
_PROJECT = {"project_name", "project_name_or_id", "retention_id"}
_ROLES = ("user", "lguest", "guest", "devel", "maint", "padmin")


def nested(table: Table) -> list[Row]:
    """Return the routes with a number of something below the path of a project, once each."""
    found = {
        row.on("crossed") for row in table.rows if _PROJECT & set(_names(row.path)) and _numbers(row.path) - _PROJECT
    }
    return sorted(found)


def _names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _numbers(path: str) -> set[str]:
    """Return the names that stand for numbers: `mid`, `webhook_policy_id`, `immutable_rule_id`, ..."""
    return {name for name in _names(path) if name.endswith("id")}


def test_cve_2022_31666_to_31671_a_number_of_another_project_is_not_found(table: Table) -> None:
    """Every route with a number below a project's path has rows that cross projects, and all of them are 404 or less.

    In Harbor these were the numbers of webhook policies (31666), robots (31667), distribution policies (31668),
    immutability rules (31669), retention rules (31670) and logs of jobs (31671).
    """
    routes = nested(table)
    assert {name for row in routes for name in _numbers(row.path) - _PROJECT} == {
        "mid",
        "label_id",
        "immutable_rule_id",
        "eid",
        "tid",
    }
    for row in routes:
        assert _numbers(row.path) - _PROJECT <= set(CROSSABLE), f"{row}: name it in tests/http/matrix/things.py"
        assert table.line(row)["padmin"] == "404", str(row)
        assert set(table.line(row).values()) <= REFUSALS, str(row)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_cve_2022_31667_a_robot_of_another_project(table: Table, method: str) -> None:
    """Its number helps nobody who has no role in its project; with one, the role decides."""
    row = Row(f"{API}/robots/{{robot_id}}", method, "foreign")
    assert {table.line(row)[caller] for caller in _ROLES} == {"404"}
    assert table.line(row.on("own"))["padmin"] not in REFUSALS


@pytest.mark.parametrize("path", ["logs", "auditlog-exts"])
def test_cve_2022_31671_the_log_of_another_project(table: Table, path: str) -> None:
    """Who is no member reads none of it, not even where the project is public."""
    row = Row(f"{API}/projects/{{project_name_or_id}}/{path}", "GET", "foreign")
    assert {table.line(row)[caller] for caller in _ROLES} == {"404"}
    assert {table.line(row.on("public"))[caller] for caller in _ROLES} == {"403"}


def test_cve_2024_22278_a_maintainer_changes_no_settings(table: Table) -> None:
    """What a project is set to, its members and its robots are for its administrators."""
    changing = [
        row
        for row in table.rows
        if row.object == "own"
        and row.method not in ("GET", "HEAD")
        and re.search(r"{project_name_or_id}($|/(metadatas|members))|/robots", row.path)
    ]
    assert len(changing) == 12
    for row in changing:
        assert table.line(row)["maint"] == "403", str(row)
        assert table.line(row)["padmin"] in (WRITE, "412"), str(row)


def test_cve_2019_16919_a_robot_is_made_for_ones_own_project(table: Table) -> None:
    """Who administers one project makes no robot of another, nor one of the whole registry."""
    row = Row(f"{API}/robots", "POST", "own")
    found = {thing: table.line(row.on(thing))["padmin"] for thing in ("own", "public", "foreign", "system")}
    assert found == {"own": WRITE, "public": "403", "foreign": "404", "system": "403"}


def test_cve_2020_29662_the_catalog_has_one_way_in(table: Table) -> None:
    """Lists of repositories that cross projects: the anonymous get none on `/v2/`, and on the API what is public."""
    for method in ("GET", "HEAD"):
        assert table.line(Row("/v2/_catalog", method, "-"))["anon"] == "401"
    assert table.line(Row(f"{API}/repositories", "GET", "-"))["wrong"] == "401"


def test_cve_2020_13794_nobody_lists_people_without_a_reason(table: Table) -> None:
    """The search is for people who have signed in, that of groups for who gives roles; all accounts for administrators.

    Harbor answered whoever came by.
    """
    giving = {"padmin", "admin", "cookie", "tenant"}
    for noun, who in (("users", giving | {"user", "lguest", "guest", "devel", "maint"}), ("usergroups", giving)):
        search = table.line(Row(f"{API}/{noun}/search", "GET", "-"))
        assert {caller for caller, got in search.items() if got == "200"} == who
        every = table.line(Row(f"{API}/{noun}", "GET", "-"))
        assert {caller for caller, got in every.items() if got == "200"} == {"admin", "cookie"}


def test_cve_2019_19030_the_name_of_a_hidden_project_is_free(table: Table) -> None:
    """Asking for a name tells who cannot read the project, and could not make it either, that there is none."""
    row = Row(f"{API}/projects", "HEAD", "foreign")
    assert {table.line(row)[caller] for caller in _ROLES} == {"404"}
    assert table.line(row)["admin"] == "200"


def test_cve_2019_19023_nobody_elses_account_is_changed(table: Table) -> None:
    """Profile, password, keys, sessions and second factor: of others, they are the administrator's."""
    rows = [row for row in table.rows if row.object == "other" and row.method not in ("GET", "HEAD")]
    assert len(rows) > 8
    for row in rows:
        assert {table.line(row)[caller] for caller in _ROLES} <= {"403", "404"}, str(row)


def test_cve_2022_47747_no_route_is_for_tests_or_debugging(table: Table) -> None:
    """All that is answered at belongs to the registry, to signing in, to health or to the API: nothing was left in."""
    firsts = {row.path.split("/")[1] for row in table.rows}
    assert firsts == {"", "v2", "api", "c", "token", "service", "healthz", "readyz", "ui"}
    words = {word for row in table.rows for word in re.split(r"[/{}_.-]", row.path)}
    assert not words & {"debug", "test", "testing", "pprof", "fs", "file", "files", "exec", "eval", "metrics", "docs"}


def test_cve_2024_4142_cve_2025_59345_nobody_raises_themselves(table: Table) -> None:
    """What changes roles, grants, settings or jobs of the whole registry is the administrator's, and never nobody's."""
    nouns = r"/(roles|grants|configurations|jobs|jobservice|system|users/{user_id}/sysadmin)\b"
    rows = [row for row in table.rows if re.search(nouns, row.path) and row.method not in ("GET", "HEAD")]
    assert len(rows) > 20
    for row in rows:
        line = table.line(row)
        if row.object not in ("own", "public", "foreign"):  # grants on one's own project are one's own to give
            assert {line[caller] for caller in (*_ROLES, "anon", "probot", "srobot")} <= REFUSALS, str(row)
