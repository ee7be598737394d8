"""Harbor's published client for Python manages a registry of ours: every call of it that is about the parts we have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed, Unauthorized
from harborapi.models import (
    Access,
    Configurations,
    Label,
    LdapConf,
    Project,
    ProjectMetadata,
    ProjectReq,
    Repository,
    RobotCreate,
    RobotPermission,
    Tag,
    UserCreationReq,
    UserGroup,
    UserProfile,
)

from tests.support.http_client import Client
from tests.support.server import Server

PASSWORD = "seven boats at anchor"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry with accounts and an image."""
    with Server({"auth": "accounts", "storage": {"delete": {"enabled": True}}}, workers=1) as running:
        Client.of(running).push_image("library/deep/app", "v1")
        yield running


@asynccontextmanager
async def signed_in(server: Server, name: str, secret: str) -> AsyncIterator[HarborAsyncClient]:
    """Give the client, as somebody."""
    client = HarborAsyncClient(url=f"{server.url}/api/v2.0", username=name, secret=secret, timeout=30, retry=None)
    try:
        yield client
    finally:
        await client.client.aclose()


@pytest.fixture
async def harbor(server: Server) -> AsyncIterator[HarborAsyncClient]:
    """Give the client, as the administrator."""
    async with signed_in(server, "admin", server.admin_password) as client:
        yield client


def number(place: str) -> int:
    """Return the number at the end of a Location."""
    return int(place.rpartition("/")[2])


async def test_what_the_registry_is(harbor: HarborAsyncClient) -> None:
    """Ping, health, information, figures, disks, and everything that can be allowed."""
    assert await harbor.ping() == "Pong"
    health = await harbor.health_check()
    assert health.status == "healthy"
    parts = {part.name: part.status for part in health.components or []}
    assert parts == dict.fromkeys(("core", "database", "jobservice", "registry", "storage"), "healthy")
    info = await harbor.get_system_info()
    assert (info.auth_mode, info.self_registration, info.has_ca_root) == ("db_auth", False, False)
    assert info.harbor_version
    assert info.harbor_version.startswith("v2.")
    assert (await harbor.get_statistics()).total_repo_count == 1
    (disk,) = (await harbor.get_system_volume_info()).storage or []
    assert disk.total
    assert disk.total > 0
    permissions = await harbor.get_permissions()
    assert {"repository", "artifact", "robot"} <= {each.resource for each in permissions.project or []}
    # The client takes whatever comes for the file; here it is the sentence that there is none.
    assert b"makes no certificates of its own" in bytes((await harbor.get_system_certificate()).content)


async def test_projects(harbor: HarborAsyncClient) -> None:
    """Made, found, changed, summed up, and removed, with their settings one by one."""
    place = await harbor.create_project(
        ProjectReq(project_name="py-project", metadata=ProjectMetadata(public="false", auto_scan="true"))
    )
    assert await harbor.project_exists("py-project")
    assert not await harbor.project_exists("py-nothing")
    project = await harbor.get_project("py-project")
    assert place == "/api/v2.0/projects/py-project"  # the client asks for the name in place of the number
    assert (project.name, project.owner_name) == ("py-project", "admin")
    assert project.metadata
    assert (project.metadata.public, project.metadata.auto_scan) == ("false", "true")
    with pytest.raises(Conflict):
        await harbor.create_project(ProjectReq(project_name="py-project"))
    await harbor.update_project("py-project", ProjectReq(metadata=ProjectMetadata(public="true")))
    assert [each.name for each in await harbor.get_projects(name="py-pro", public=True)] == ["py-project"]
    assert (await harbor.get_project_summary("py-project")).project_admin_count == 1
    assert (await harbor.get_project_deletable("py-project")).deletable is True

    await harbor.set_project_metadata("py-project", ProjectMetadata(severity="high"))
    assert (await harbor.get_project_metadata("py-project")).severity
    assert await harbor.get_project_metadata_entry("py-project", "severity") == {"severity": "high"}
    await harbor.update_project_metadata_entry("py-project", "severity", {"severity": "low"})
    assert await harbor.get_project_metadata_entry("py-project", "severity") == {"severity": "low"}
    await harbor.delete_project_metadata_entry("py-project", "severity")
    with pytest.raises(NotFound):
        await harbor.get_project_metadata_entry("py-project", "severity")

    assert {log.operation for log in await harbor.get_project_logs("py-project")} >= {"create", "update"}
    await harbor.delete_project("py-project")
    with pytest.raises(NotFound):
        await harbor.get_project("py-project")
    with pytest.raises(PreconditionFailed):
        await harbor.delete_project("library")


async def test_people(harbor: HarborAsyncClient, server: Server) -> None:
    """Made, found, changed, made administrators and back; their own password is theirs."""
    place = await harbor.create_user(
        UserCreationReq(username="py-user", email="py@example.org", realname="Py", password=PASSWORD)
    )
    user_id = number(place)
    user = await harbor.get_user(user_id)
    assert (user.username, user.email, user.realname, user.sysadmin_flag) == ("py-user", "py@example.org", "Py", False)
    assert (await harbor.get_user_by_username("py-user")).user_id == user_id
    assert [each.user_id for each in await harbor.search_users_by_username("py-us")] == [user_id]
    assert "py-user" in {each.username for each in await harbor.get_users(sort="-username", query="username=~py")}
    await harbor.update_user(user_id, UserProfile(email="other@example.org", realname="Other", comment="moved"))
    assert (await harbor.get_user(user_id)).comment == "moved"
    for flag in (True, False):
        await harbor.set_user_admin(user_id, is_admin=flag)
        assert (await harbor.get_user(user_id)).sysadmin_flag is flag

    async with signed_in(server, "py-user", PASSWORD) as own:
        assert (await own.get_current_user()).username == "py-user"
        with pytest.raises(Forbidden):
            await own.get_users()
        assert [each.username for each in await own.search_users_by_username("py-us")] == ["py-user"]
        with pytest.raises(PreconditionFailed):
            await own.set_user_cli_secret(user_id, "Abc123456789")
        await own.set_user_password(user_id, "eight boats at anchor", PASSWORD)
    async with signed_in(server, "py-user", "eight boats at anchor") as own:
        assert (await own.get_current_user()).user_id == user_id
    async with signed_in(server, "py-user", "ten boats at anchor") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.get_current_user()
    assert "project" in {each.resource for each in await harbor.get_current_user_permissions("", relative=True)}
    await harbor.set_user_password(user_id, "nine boats at anchor", "")
    await harbor.delete_user(user_id)
    with pytest.raises(NotFound):
        await harbor.get_user(user_id)


async def test_groups_and_members(harbor: HarborAsyncClient) -> None:
    """Groups of ours and of a directory; people and groups get roles, other roles, and none."""
    dn = "cn=py,ou=groups,dc=example,dc=org"
    ours = number(await harbor.create_usergroup(UserGroup(group_name="py-group", group_type=4)))
    theirs = number(await harbor.create_usergroup(UserGroup(group_name="py-ldap", group_type=1, ldap_group_dn=dn)))
    group = await harbor.get_usergroup(theirs)
    assert (group.group_type, group.ldap_group_dn) == (1, dn)
    await harbor.update_usergroup(ours, UserGroup(group_name="py-crew"))
    assert [each.group_name for each in await harbor.search_usergroups("py-cr")] == ["py-crew"]
    assert {each.id for each in await harbor.get_usergroups()} >= {ours, theirs}
    assert [each.id for each in await harbor.get_usergroups(ldap_group_dn=dn)] == [theirs]

    user = number(
        await harbor.create_user(UserCreationReq(username="py-member", email="m@example.org", password=PASSWORD))
    )
    await harbor.create_project(ProjectReq(project_name="py-members"))
    by_name = await harbor.add_project_member_user("py-members", "py-member", 2)
    with pytest.raises(Conflict):
        await harbor.add_project_member_user("py-members", user, 2)
    by_dn = await harbor.add_project_member_group("py-members", dn, 3)
    by_id = await harbor.add_project_member_group("py-members", ours, 4)
    members = {each.entity_name: each.role_id for each in await harbor.get_project_members("py-members")}
    assert members == {"admin": 1, "py-member": 2, "py-ldap": 3, "py-crew": 4}
    await harbor.update_project_member_role("py-members", number(by_name), 5)
    assert (await harbor.get_project_member("py-members", number(by_name))).role_name == "limitedGuest"
    for place in (by_name, by_dn, by_id):
        await harbor.remove_project_member("py-members", number(place))
    assert [each.entity_name for each in await harbor.get_project_members("py-members")] == ["admin"]
    await harbor.delete_project("py-members")
    for number_of_group in (ours, theirs):
        await harbor.delete_usergroup(number_of_group)
    await harbor.delete_user(user)


async def test_repositories_and_artifacts(harbor: HarborAsyncClient, server: Server) -> None:
    """Found by project, search and query; described, tagged, labelled, copied and removed."""
    assert [each.name for each in await harbor.get_repositories("library")] == ["library/deep/app"]
    assert [each.name for each in await harbor.get_repositories()] == ["library/deep/app"]
    await harbor.update_repository("library", "deep/app", Repository(description="The shop"))
    assert (await harbor.get_repository("library", "deep/app")).description == "The shop"
    found = await harbor.search("deep")
    assert [each.repository_name for each in found.repository or []] == ["library/deep/app"]

    (artifact,) = await harbor.get_artifacts("library", "deep/app", query="tags=v1", with_label=True)
    assert artifact.digest
    assert [tag.name for tag in artifact.tags or []] == ["v1"]
    assert (await harbor.get_artifact("library", "deep/app", artifact.digest)).id == artifact.id
    assert [each.digest for each in await harbor.get_project_artifacts("library")] == [artifact.digest]
    assert await harbor.get_artifact_accessories("library", "deep/app", "v1") == []
    await harbor.create_artifact_tag("library", "deep/app", "v1", Tag(name="stable"))
    assert [tag.name for tag in await harbor.get_artifact_tags("library", "deep/app", "v1", sort="name")] == [
        "stable",
        "v1",
    ]
    await harbor.delete_artifact_tag("library", "deep/app", "v1", "stable")
    with pytest.raises(BadRequest):
        await harbor.get_artifact_build_history("library", "deep/app", "v1")

    label = number(await harbor.create_label(Label(name="py-label", color="#00AB9A", scope="g")))
    await harbor.add_artifact_label("library", "deep/app", "v1", await harbor.get_label(label))
    (labelled,) = await harbor.get_artifacts("library", "deep/app", with_label=True)
    assert [each.name for each in labelled.labels or []] == ["py-label"]
    await harbor.delete_artifact_label("library", "deep/app", "v1", label)
    await harbor.update_label(label, Label(name="py-renamed", scope="g"))
    assert [each.name for each in await harbor.get_labels(scope="g", name="py-")] == ["py-renamed"]
    await harbor.delete_label(label)

    assert await harbor.get_artifacts("library", "no/such") == []
    await harbor.create_artifact_tag("library", "deep/app", "v1", Tag(name="v1.0"))
    await harbor.copy_artifact("library", "copied/app", "library/deep/app:v1")
    (copied,) = await harbor.get_artifacts("library", "copied/app", sort="-size", with_accessory=True)
    assert {tag.name for tag in copied.tags or []} == {"v1", "v1.0"}
    assert copied.accessories is None
    assert (await harbor.get_icon(copied.icon or "")).content_type == "image/svg+xml"
    await harbor.delete_artifact_tag("library", "deep/app", "v1", "v1.0")
    await harbor.delete_artifact("library", "copied/app", "v1")
    await harbor.delete_repository("library", "copied/app")
    assert len(await harbor.get_repositories("library")) == 1


async def test_robots(harbor: HarborAsyncClient, server: Server) -> None:
    """Made for a project, listed, changed, given another secret, and removed."""
    pull = RobotPermission(kind="project", namespace="library", access=[Access(resource="repository", action="pull")])
    made = await harbor.create_robot(
        RobotCreate(name="py-robot", level="project", duration=7, description="Pulls", permissions=[pull])
    )
    assert made.id
    assert made.secret
    assert made.name == "robot$library+py-robot"
    robot = await harbor.get_robot(made.id)
    assert (robot.level, robot.duration, robot.disable, robot.description) == ("project", 7, False, "Pulls")
    project = await harbor.get_project("library")
    assert isinstance(project, Project)
    query = f"Level=project,ProjectID={project.project_id}"
    assert [each.id for each in await harbor.get_robots(query=query)] == [made.id]
    robot.disable = True
    await harbor.update_robot(made.id, robot)
    assert (await harbor.get_robot(made.id)).disable is True
    fresh = await harbor.refresh_robot_secret(made.id, "")
    assert fresh.secret != made.secret
    await harbor.delete_robot(made.id)
    with pytest.raises(NotFound):
        await harbor.get_robot(made.id)


async def test_settings_and_the_log(harbor: HarborAsyncClient) -> None:
    """What the registry is set to, a change of it, and who did that."""
    before = await harbor.get_config()
    assert before.session_timeout
    assert before.session_timeout.value == 60
    await harbor.update_config(Configurations(session_timeout=120, robot_token_duration=45))
    after = await harbor.get_config()
    assert after.session_timeout
    assert after.session_timeout.value == 120
    await harbor.update_config(Configurations(session_timeout=60, robot_token_duration=90))
    logs = await harbor.get_audit_logs(query="operation=configure", limit=10)
    assert [log.username for log in logs] == ["admin", "admin"]
    assert {(log.operation, log.resource_type) for log in logs} == {("update", "configuration")}
    pushed = await harbor.get_audit_logs(query="operation=create,resource_type=artifact,resource=~deep", sort="id")
    assert [(log.operation, log.resource) for log in pushed][:1] == [("create", "library/deep/app:v1")]


async def test_directories_and_providers_that_are_not_there(harbor: HarborAsyncClient) -> None:
    """Trying one says what is wrong with it; searching in none is refused with what to set."""
    tried = await harbor.ping_ldap(LdapConf(ldap_url="ldap://127.0.0.1:9", ldap_base_dn="dc=example,dc=org"))
    assert tried.success is False
    for call in (
        harbor.search_ldap_users("a"),
        harbor.search_ldap_groups(group_name="a"),
        harbor.import_ldap_users(["a"]),
    ):
        with pytest.raises(PreconditionFailed):
            await call
