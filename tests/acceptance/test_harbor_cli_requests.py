"""Harbor's own command line manages an unchanged registry of ours: what each command asks for, in its order.

The program cannot be built here without its many modules; `tests/support/harbor_cli.py` sends what it sends.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.harbor_cli import OF_PROJECT, HarborCli, Refused, part
from tests.support.http_client import Client
from tests.support.server import Server

PASSWORD = "seven boats at anchor"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry with accounts."""
    with Server({"auth": "accounts", "storage": {"delete": {"enabled": True}}}, workers=1) as running:
        Client.of(running).push_image("shipyard/deep/app", "v1")
        yield running


@pytest.fixture
def harbor(server: Server) -> HarborCli:
    """Give the command line, signed in as the administrator."""
    return HarborCli(client=Client.of(server))


def test_login(server: Server, harbor: HarborCli) -> None:
    """`login` asks who it is, `health`, `info` and `ping` how the registry is; wrong credentials are 401."""
    assert harbor.get("/users/current")["username"] == "admin"
    assert harbor.send("GET", "/ping").body
    assert harbor.get("/health")["status"] == "healthy"
    assert harbor.get("/systeminfo")["harbor_version"]
    assert harbor.get("/statistics")["total_project_count"] >= 1
    with pytest.raises(Refused, match="401"):
        HarborCli(client=Client(url=server.url, headers={"Authorization": "Basic YWRtaW46YQ=="})).get("/users/current")


def test_project(harbor: HarborCli) -> None:
    """`project create`, `list`, `view`, `summary`, `search`, `logs`, `config list`, `config update`, `delete`."""
    body = {"project_name": "cli", "public": True, "storage_limit": 1 << 30, "metadata": {"public": "true"}}
    harbor.send("POST", "/projects", body)
    assert "cli" in {each["name"] for each in harbor.list("/projects", page=1, page_size=100, name="")}
    assert "cli" not in {
        each["name"] for each in harbor.list("/projects", page=1, page_size=100, name="", public="false")
    }
    made = harbor.get("/projects/cli", by_name=True)
    assert harbor.get(f"/projects/{made['project_id']}", by_name=False)["name"] == "cli"
    assert harbor.get("/projects/cli/summary", by_name=True)["repo_count"] == 0
    assert [each["name"] for each in harbor.get("/search", q="cli")["project"]] == ["cli"]
    assert harbor.list("/projects/cli/auditlog-exts", page=1, page_size=10)[0]["resource_type"]
    assert harbor.get("/projects/cli/metadatas/", by_name=True)["public"] == "true"
    harbor.send("PUT", "/projects/cli", {"metadata": {"public": "false", "auto_scan": "true"}}, by_name=True)
    assert harbor.get("/projects/cli/metadatas/", by_name=True)["public"] == "false"
    harbor.send("DELETE", "/projects/cli", by_name=True)
    with pytest.raises(Refused, match="404"):
        harbor.get("/projects/cli", by_name=True)


def test_project_with_contents(harbor: HarborCli) -> None:
    """`project delete --force` takes the rules and the repositories away one by one, and then the project."""
    harbor.client.push_image("wreck/app", "v1")
    rule = {
        "scope_selectors": {"repository": [{"decoration": "repoMatches", "pattern": "**"}]},
        "tag_selectors": [{"decoration": "matches", "pattern": "kept*"}],
    }
    harbor.send("POST", "/projects/wreck/immutabletagrules", rule)
    for each in harbor.get("/projects/wreck/immutabletagrules", by_name=True):
        harbor.send("DELETE", f"/projects/wreck/immutabletagrules/{each['id']}", by_name=True)
    for each in harbor.list("/projects/wreck/repositories"):
        harbor.send("DELETE", f"/projects/wreck/repositories/{part(each['name'].partition('/')[2])}")
    harbor.send("DELETE", "/projects/wreck", by_name=True)


def test_repository_and_artifact(harbor: HarborCli) -> None:
    """`repo list`, `view`, `search`, `update`; `artifact list`, `view`, `tags create` to `delete`, `label add`."""
    (repository,) = harbor.list("/projects/shipyard/repositories", page=1, page_size=10)
    one = f"/projects/shipyard/repositories/{part('deep/app')}"
    assert harbor.get(one)["name"] == repository["name"] == "shipyard/deep/app"
    harbor.send("PUT", one, {**repository, "description": "Ships"})
    assert harbor.get(one)["description"] == "Ships"
    assert [each["repository_name"] for each in harbor.get("/search", q="deep")["repository"]] == ["shipyard/deep/app"]
    (artifact,) = harbor.list(f"{one}/artifacts", page=1, page_size=10)
    digest = f"{one}/artifacts/{part(artifact['digest'])}"
    assert harbor.get(digest, with_label="true")["digest"] == artifact["digest"]
    assert harbor.get(f"{one}/artifacts/v1", with_label="false")["digest"] == artifact["digest"]
    harbor.send("POST", f"{digest}/tags", {"name": "v2"})
    assert {each["name"] for each in harbor.get(f"{digest}/tags")} == {"v1", "v2"}
    harbor.send("DELETE", f"{digest}/tags/v2")
    harbor.send("POST", "/labels", {"name": "stuck", "color": "#FFFFFF", "scope": "g"})
    label = next(each for each in harbor.list("/labels", page=1, page_size=20, scope="g", project_id=0))
    harbor.send("POST", f"{digest}/labels", label)
    assert [each["name"] for each in harbor.get(digest, with_label="true")["labels"]] == ["stuck"]
    harbor.send("DELETE", f"{digest}/labels/{label['id']}")


def test_label(harbor: HarborCli) -> None:
    """`label create`, `list`, `update`, `delete`, of all projects and of one."""
    project = harbor.get("/projects/shipyard", by_name=True)["project_id"]
    for scope, of in (("g", 0), ("p", project)):
        body = {"name": "ready", "color": "#FFFFFF", "scope": scope, **({"project_id": of} if of else {})}
        harbor.send("POST", "/labels", body)
        found = harbor.list("/labels", page=1, page_size=20, scope=scope, project_id=of)
        number = next(each["id"] for each in found if each["name"] == "ready")
        changed = {"name": "ready", "color": "#00AB9A", "description": "Done", "scope": scope}
        harbor.send("PUT", f"/labels/{number}", changed)
        assert harbor.get(f"/labels/{number}")["description"] == "Done"
        harbor.send("DELETE", f"/labels/{number}")


def test_user(harbor: HarborCli) -> None:
    """`user create`, `list`, `elevate`, `password`, `delete`: names are looked up in a list without pages."""
    body = {"username": "sailor", "password": PASSWORD, "email": "s@example.org", "realname": "S", "comment": "x"}
    harbor.send("POST", "/users", body)
    assert "sailor" in {each["username"] for each in harbor.list("/users", page=1, page_size=100)}
    number = harbor.number_of("/users", "username", "sailor", "user_id")
    harbor.send("PUT", f"/users/{number}/sysadmin", {"sysadmin_flag": True})
    harbor.send("PUT", f"/users/{number}/password", {"new_password": "eight boats at anchor"})
    assert harbor.list("/users", q="username=~sail")[0]["sysadmin_flag"] is True
    harbor.send("DELETE", f"/users/{number}")


def test_member(harbor: HarborCli) -> None:
    """`project member create`, `list`, `update`, `delete`: the body has a group also where a user is meant."""
    harbor.send("POST", "/users", {"username": "mate", "password": PASSWORD, "email": "m@example.org", "realname": "M"})
    members = "/projects/shipyard/members"
    body = {"role_id": 2, "member_user": {"username": "mate"}, "member_group": {}}
    harbor.send("POST", members, body, by_name=True)
    found = harbor.get(members, by_name=True, page=1, page_size=10, entityname="")
    number = next(each["id"] for each in found if each["entity_name"] == "mate")
    assert [each["id"] for each in harbor.get(members, by_name=True, entityname="mate")] == [number]
    harbor.send("PUT", f"{members}/{number}", {"role_id": 4}, by_name=True)
    assert harbor.get(f"{members}/{number}", by_name=True)["role_id"] == 4
    harbor.send("DELETE", f"{members}/{number}", by_name=True)


def test_robot(harbor: HarborCli) -> None:
    """`project robot create`, `list`, `view`, `update`, `refresh`, `delete`: its query is escaped twice."""
    project = harbor.get("/projects/shipyard", by_name=True)["project_id"]
    assert {"resource": "repository", "action": "pull"} in harbor.get("/permissions")["project"]
    access = [{"resource": "repository", "action": action} for action in ("pull", "push")]
    body = {
        "name": "ci",
        "level": "project",
        "duration": -1,
        "permissions": [{"access": access, "kind": "project", "namespace": "shipyard"}],
    }
    made = harbor.send("POST", "/robots", body).json()
    assert made["secret"]
    robot = harbor.get(f"/robots/{made['id']}")
    assert harbor.get("/configurations")["robot_name_prefix"]["value"] == "robot$"
    found = harbor.list("/robots", page=1, page_size=10, q=f"{OF_PROJECT}{project}")
    assert [each["id"] for each in found] == [made["id"]]
    by_name = harbor.list("/robots", q=f"{OF_PROJECT}{project}%2Cname=shipyard%2Bci")
    assert [each["id"] for each in by_name] == [made["id"]]
    harbor.send("PUT", f"/robots/{made['id']}", {**robot, "description": "Builds"})
    assert harbor.get(f"/robots/{made['id']}")["description"] == "Builds"
    assert harbor.send("PATCH", f"/robots/{made['id']}", {}).json()["secret"]
    harbor.send("DELETE", f"/robots/{made['id']}")


def test_quota(harbor: HarborCli) -> None:
    """`quota list`, `view`, `update`: without a number, it looks for the project among all."""
    project = harbor.get("/projects/shipyard", by_name=True)["project_id"]
    every = harbor.get("/quotas", page=1, page_size=100, reference="", reference_id="", sort="")
    quota = next(each for each in every if each["ref"]["id"] == project)
    harbor.send("PUT", f"/quotas/{quota['id']}", {"hard": {"storage": 50 << 30}})
    assert harbor.get(f"/quotas/{quota['id']}")["hard"]["storage"] == 50 << 30


def test_jobs_and_log(harbor: HarborCli) -> None:
    """`jobservice queues list`, `pause`, `resume`, `schedule list`, `logs`, `config view`."""
    queues = harbor.get("/jobservice/queues")
    assert queues
    for action in ("pause", "resume"):
        harbor.send("PUT", f"/jobservice/queues/{queues[0]['job_type']}", {"action": action})
    assert isinstance(harbor.get("/schedules", page=1, page_size=10), list)
    assert harbor.list("/auditlog-exts", page=1, page_size=10)
    assert harbor.get("/auditlog-exts/events")
    assert harbor.get("/configurations")["auth_mode"]["value"] == "db_auth"
