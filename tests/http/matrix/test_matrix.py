"""Who may do what, on every route of the registry, about every kind of object: `expected.txt`, which people read.

python -m tests.http.matrix.approve    writes it anew, to be looked at before a commit
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.http.matrix.asking import ask_all
from tests.http.matrix.cells import CALLERS, MOUNT, REFUSALS, REFUSED, WRITE, Cell, Row, Table, read_table
from tests.http.matrix.check import problems
from tests.http.matrix.report import changes, differences
from tests.support.databases import registry_database
from tests.support.postgres import PostgresServer

#: Routes that ask nobody who they are: health, signing in and out, and what the API has. `/v2/` is not among them.
OPEN = frozenset(
    (
        "/",
        "/healthz",
        "/ui/",
        "/readyz",
        "/api/v2.0/ping",
        "/api/v2.0/health",
        "/api/v2.0/openapi.json",
        "/c/account",
        "/c/account/codes",
        "/c/account/key",
        "/c/account/password",
        "/c/login",
        "/c/login/key",
        "/c/log_out",
        "/c/oidc/login",
        "/c/oidc/callback",
        "/c/oidc/onboard",
        "/c/pages.css",
        "/c/reset_password",
        "/c/security_keys",
        "/c/security_keys.js",
    )
)
#: Roles on the project `own`, from the least to the most, and the administrator.
LADDER = ("user", "lguest", "guest", "devel", "maint", "padmin", "admin")
#: Who has nothing to do with the project `foreign`.
STRANGERS = ("user", "lguest", "guest", "devel", "maint", "padmin", "probot")
#: Where the administrator gets no further than this, and why.
NO_FURTHER = {
    "GET /api/v2.0/ldap/groups/search -": "412",  # no directory is set up
    "GET /api/v2.0/ldap/users/search -": "412",
    "POST /api/v2.0/ldap/users/import -": "412",
    "POST /api/v2.0/system/oidc/ping -": "400",  # nobody is there
    "GET /api/v2.0/systeminfo/getcert -": "404",  # the registry has no authority of its own
    "DELETE /api/v2.0/projects/{project_name_or_id} own": "412",  # it has repositories
    "DELETE /api/v2.0/projects/{project_name_or_id} public": "412",
    "DELETE /api/v2.0/projects/{project_name_or_id} foreign": "412",
    "DELETE /api/v2.0/roles/{role_id} builtin": "412",  # they stay as they are
    "PUT /api/v2.0/roles/{role_id} builtin": "412",
    "DELETE /api/v2.0/users/{user_id} self": "412",  # nobody locks themselves out
    "PUT /api/v2.0/users/{user_id}/disabled self": "412",
    "PUT /api/v2.0/users/{user_id}/cli_secret self": "412",  # keys take its place
    "PUT /api/v2.0/users/{user_id}/cli_secret other": "412",
    "DELETE /api/v2.0/users/current/sessions/{session_id} other": "404",  # not one's own
    "DELETE /api/v2.0/users/{user_id}/second_factor self": "403",  # one's own goes by one of its codes
    "POST /api/v2.0/users/current/second_factor/confirm -": "409",  # none was begun
    "POST /api/v2.0/users/current/second_factor/disable -": "409",
    "POST /api/v2.0/users/current/second_factor/recovery_codes -": "409",
    "POST /api/v2.0/users/current/second_factor/keys/confirm -": "400",  # no key has said that
    "PUT /api/v2.0/users/current/second_factor/keys/{security_key_id} other": "404",  # not one's own
    "POST /api/v2.0/users/current/second_factor/keys/{security_key_id}/remove other": "404",
    "POST /api/v2.0/users/reset_password -": "403",  # the link was guessed
    "POST /api/v2.0/retentions own": "400",  # the project has a policy
    "POST /api/v2.0/retentions public": "400",
    "POST /api/v2.0/retentions foreign": "400",
    "PUT /v2/{name}/blobs/uploads/{session} own": "400",  # the bytes have another digest
    "PUT /v2/{name}/blobs/uploads/{session} public": "400",
    "PUT /v2/{name}/blobs/uploads/{session} foreign": "400",
}
_NOT_THERE = ("missing", "absent", "crossed", "mount-missing")


def rows(table: Table, thing: str) -> Iterator[tuple[Row, dict[str, str]]]:
    """Yield the rows about one kind of object, with their cells by caller."""
    return ((row, table.line(row)) for row in table.rows if row.object == thing)


def test_every_cell_is_as_expected(table: Table) -> None:
    """No cell changes unseen, and there are enough of them to mean something."""
    assert differences(table, read_table()) == []
    assert len(table.cells) >= 5_000


@pytest.mark.full
async def test_every_cell_is_the_same_on_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    """Who may do what does not depend on where it is written down."""
    async with registry_database(postgres) as database:
        assert differences(await ask_all(tmp_path, database), read_table()) == []


def test_a_route_without_a_row_is_noticed(table: Table) -> None:
    """The check that `make check` runs names a new route, and a row whose route is gone."""
    routes = [*{(row.method, row.path) for row in table.rows}, ("POST", "/api/v2.0/projects/{project_name}/webhooks")]
    known = {*table.rows, Row("/api/v2.0/gone", "GET", "-")}
    assert problems(routes, known) == [
        *(f"no row for POST /api/v2.0/projects/{{project_name}}/webhooks {thing}" for thing in ("foreign", "missing")),
        *(f"no row for POST /api/v2.0/projects/{{project_name}}/webhooks {thing}" for thing in ("own", "public")),
        "no route for GET /api/v2.0/gone -",
    ]


def test_a_changed_cell_is_noticed(table: Table) -> None:
    """The comparison can fail: a status that changed, a cell that was not asked, and one without a row."""
    cell, other, *_ = sorted(table.cells, key=str)
    changed = Table({**table.cells, cell: "200 or so"})
    assert differences(changed, table) == [f"{cell}: 200 or so, expected {table.cells[cell]}"]
    fewer = Table({known: status for known, status in table.cells.items() if known != other})
    assert "not asked" in differences(fewer, table)[0]
    assert "it has no row" in differences(table, fewer)[0]


def test_nobody_without_credentials_changes_anything(table: Table) -> None:
    """Neither the anonymous nor who comes with credentials that count no more."""
    assert [str(cell) for cell in changes(table) if cell.caller in ("anon", *REFUSED)] == []


def test_refused_credentials_get_401_everywhere(table: Table) -> None:
    """A wrong password, an expired key, a token from before and a closed account are never taken for nobody."""
    for row in table.rows:
        for caller in REFUSED:
            expected = table.line(row)["anon"] if row.path in OPEN else "401"
            assert table.line(row)[caller] == expected, (str(row), caller)


def test_what_is_open_is_the_same_for_everybody(table: Table) -> None:
    """Routes that ask nobody who they are answer all alike; only a session can be ended there."""
    for row in table.rows:
        if row.path in OPEN:
            others = {status for caller, status in table.line(row).items() if caller != "cookie"}
            assert len(others) == 1, str(row)


def test_somebody_elses_password_is_good_for_changing_it(table: Table) -> None:
    """Until they change it, a person can do nothing else, whatever roles they have; a client's login tells them so."""
    allowed = {cell.row for cell, status in table.cells.items() if cell.caller == "unver" and status not in REFUSALS}
    assert {str(row) for row in allowed if row.path not in OPEN} == {
        "PUT /api/v2.0/users/{user_id}/password self",
        *(f"{method} {path} -" for method in ("GET", "HEAD") for path in ("/v2", "/v2/", "/v2/_oci/ext/discover")),
        *(f"{method} {path} {thing}" for method, path, thing in _tokens()),
    }
    assert {table.line(row)["unver"] for row in allowed if row.path.endswith("/token")} == {"none"}


def _tokens() -> Iterator[tuple[str, str, str]]:
    for thing in ("own", "public", "foreign", "missing"):
        yield from ((method, path, thing) for method in ("GET", "POST") for path in ("/token", "/service/token"))


def test_what_one_may_not_see_looks_as_if_it_were_not_there(table: Table) -> None:
    """A foreign private thing and one that does not exist have the same answer: 404, on `/v2/` 401."""
    for row, line in rows(table, "foreign"):
        if row.path.startswith("/api/v2.0/users/current"):
            continue  # a list of one's own rights, which are none
        missing = table.line(row.on("missing"))
        for caller in STRANGERS:
            assert line[caller] == missing[caller], (str(row), caller)
            unseen = (
                {"none"} if row.path.endswith("/token") else {"401"} if row.path.startswith("/v2") else {"403", "404"}
            )
            assert line[caller] in unseen, (str(row), caller)


def test_below_a_projects_path_the_unseen_is_404(table: Table) -> None:
    """Where the path names the project, 403 would say that there is one."""
    for row, line in rows(table, "foreign"):
        if "{project_name" in row.path:
            assert {line[caller] for caller in STRANGERS} == {"404"}, str(row)


def test_another_projects_thing_is_not_there_below_ones_own(table: Table) -> None:
    """Asked for below the path of one's own project or account, it looks like what does not exist."""
    crossed = list(rows(table, "crossed"))
    assert len(crossed) > 30
    for row, line in crossed:
        for caller, status in line.items():
            if (caller, status) != ("admin", MOUNT):  # who may read both sides copies from one to the other
                assert status == table.line(row.on("absent"))[caller], (str(row), caller)


def test_a_role_never_has_less_than_the_one_below_it(table: Table) -> None:
    """From a stranger to the administrator: what one may, the next may, too."""
    for row in table.rows:
        line = table.line(row)
        for lower, higher in pairwise(LADDER):
            assert line[lower] in REFUSALS or line[higher] not in REFUSALS, (str(row), lower, higher)
            assert line[lower] != WRITE or line[higher] in (WRITE, MOUNT, "412"), (str(row), lower, higher)


def test_tenants_are_alike_and_strangers_to_each_other(table: Table) -> None:
    """What an administrator of one project may there, that of another may in theirs; elsewhere both are anybody."""
    for row, line in rows(table, "own"):
        assert line["tenant"] == line["user"], str(row)
        if row.on("foreign") in table.rows:
            assert table.line(row.on("foreign"))["tenant"] == line["padmin"], str(row)
    for row, line in rows(table, "public"):
        assert line["tenant"] == line["padmin"] == line["user"], str(row)


def test_a_narrow_key_does_what_it_names(table: Table) -> None:
    """It changes nothing, though its owner may everything, and reads its one project, by pulling and on the API."""
    assert [str(cell) for cell in changes(table) if cell.caller == "narrow"] == []
    for row in table.rows:
        line = table.line(row)
        if row.object in ("public", "foreign", "missing") and line["narrow"] not in REFUSALS and row.path not in OPEN:
            assert line["narrow"] == "none" or "/users/current/permissions" in row.path, str(row)
        assert line["narrow"] in REFUSALS or line["admin"] not in REFUSALS, str(row)


def test_robots_stay_where_they_are_put(table: Table) -> None:
    """A project's robot changes things in its project alone, and neither kind changes anything but images."""
    for cell in changes(table):
        if cell.caller in ("probot", "srobot") and not cell.row.path.startswith("/v2/"):
            assert cell.row.path.startswith("/api/v2.0/users/{user}/keys"), str(cell)
            assert cell.row.object == "self", str(cell)
        if cell.caller == "probot":
            assert cell.row.object in ("own", "self", "mount", "mount-public", "mount-foreign", "mount-missing"), str(
                cell
            )


def test_a_blob_comes_only_from_where_one_may_read(table: Table) -> None:
    """A mount of what one cannot read becomes an ordinary upload, as for what does not exist."""
    uploads = Row("/v2/{name}/blobs/uploads/", "POST", "own")
    for caller in ("devel", "maint", "padmin", "probot"):
        found = {thing: table.line(uploads.on(thing))[caller] for thing in ("mount", "mount-foreign", "mount-missing")}
        assert found == {"mount": MOUNT, "mount-foreign": WRITE, "mount-missing": WRITE}, caller


def test_a_cookie_alone_changes_nothing(table: Table) -> None:
    """CVE-2019-19025: without the session's token each change is 403; `/v2/` and `/token` do not read cookies."""
    for row in table.rows:
        line = table.line(row)
        if row.path.startswith("/api/") and row.method not in ("GET", "HEAD"):
            assert line["cookie"] == "403", str(row)
        if row.path.startswith("/v2") or row.path.endswith("/token"):
            assert line["cookie"] == line["anon"], str(row)


def test_every_row_reaches_what_it_is_about(table: Table) -> None:
    """The administrator is let through to whatever is there: so each other refusal is one of rights."""
    for row in table.rows:
        got = table.line(row)["admin"]
        if row.object not in _NOT_THERE and row.path not in OPEN:
            assert got == NO_FURTHER.get(str(row), got if got not in REFUSALS and got[0] != "4" else "through"), str(
                row
            )


@pytest.mark.parametrize("caller", CALLERS)
def test_no_cell_is_a_failure_of_the_server(table: Table, caller: str) -> None:
    """Whoever asks, and whatever about, the answer is meant."""
    assert [str(row) for row in table.rows if table.cells[Cell(row, caller)].startswith("5")] == []
