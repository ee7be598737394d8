"""What can be asked for: the same things in each project, and what each kind of object means in a request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.access.roles import GUEST
from entrepot.metadata.lifecycle import retention_tasks
from entrepot.metadata.people import security_keys
from entrepot.metadata.people.security_keys import SecurityKeyRecord
from entrepot.web.application import Application
from tests.http.matrix.deployed import ADMIN, ADMIN_PASSWORD, NODE
from tests.http.matrix.people import Registrar, basic, client, number
from tests.http.pushing import push_blob, push_image, start_upload
from tests.support.manifests import digest_of

PROJECTS: Final = ("own", "public", "foreign")
NOWHERE: Final = "999999"
#: What lies in a project and is named by a number or digest of its own: it must not be found below another's path.
CROSSABLE: Final = (
    "mid",
    "label_id",
    "loose_label",
    "reference",
    "digest",
    "loose",
    "session",
    "ending",
    "key_id",
    "immutable_rule_id",
    "eid",
    "tid",
)
#: What lies in a project, the outermost first.
CHILDREN: Final = ("repository_name", "name", "meta_name", *CROSSABLE, "tag_name", "source")

_RULE: Final = {
    "tag_selectors": [{"decoration": "matches", "pattern": "kept"}],
    "scope_selectors": {"repository": [{"decoration": "repoMatches", "pattern": "**"}]},
}

_POLICY: Final = {
    "algorithm": "or",
    "rules": [{"template": "always", **_RULE}],
    "trigger": {"kind": "Schedule", "settings": {"cron": ""}},
}

Ids = dict[str, str]


@dataclass(frozen=True)
class Things:
    """By kind of object, what stands in its requests for the parts in braces."""

    ids: dict[str, Ids]

    def of(self, thing: str, named: list[str], own: Ids) -> Ids:
        """Return what stands for the names in a request about one kind of object, by somebody with `own`."""
        base = self.ids["own"] | self.ids["common"] | _of_person(own) | own
        children = [name for name in named if name in CHILDREN]
        crossable = [name for name in children if name in CROSSABLE]
        match thing:
            case "-" | "own" | "self" | "mount":
                return base
            case "absent":
                return base | {children[-1]: "own/none" if children == ["name"] else self.ids["missing"][children[-1]]}
            case "crossed":
                return base | {name: self.ids["foreign"][name] for name in crossable[-1:]}
            case "mount-public" | "mount-foreign" | "mount-missing":
                return base | {"blob": self.ids[thing.removeprefix("mount-")]["blob"]}
        return base | self.ids[thing]


def _of_person(own: Ids) -> Ids:
    """Return what stands for somebody's own account and what belongs to it."""
    return {
        "user": "current",
        "user_id": own.get("self", NOWHERE),
        "key_id": own.get("self_key", NOWHERE),
        "session_id": own.get("self_session", "none"),
    }


async def make_things(application: Application, registrar: Registrar) -> Things:
    """Make everything but the callers."""
    for project in PROJECTS:
        document = {"project_name": project, "metadata": {"auto_scan": "true"}, "public": project == "public"}
        await registrar.admin.made("/projects", document)
    ids = {project: await _in_project(application, registrar, project) for project in PROJECTS}
    ids["missing"] = dict.fromkeys(ids["own"], NOWHERE) | _missing()
    ids["other"] = await _another_person(application, registrar)
    ids["foreign"]["key_id"] = ids["other"]["key_id"]
    ids["system"] = await _of_all(registrar, ids["other"]["user_id"])
    ids["common"] = await _of_everybody(registrar, ids)
    ids["builtin"] = {"role_id": str(GUEST)}
    return Things(ids)


async def _in_project(application: Application, registrar: Registrar, project: str) -> Ids:
    """Make what a project can hold."""
    api = registrar.admin
    pusher = client(application, basic(ADMIN, ADMIN_PASSWORD))
    layer = f"layer of {project}".encode()
    manifest = await push_image(pusher, "v1", layer, name=f"{project}/app")
    await push_image(pusher, "v1", f"another of {project}".encode(), name=f"{project}/other")
    digest = digest_of(manifest)
    project_id = (await api.found(f"/projects/{project}"))["project_id"]
    label, loose = [await _label(registrar, project_id, name) for name in ("stuck", "loose")]
    answer = await api.post(f"/projects/{project}/repositories/app/artifacts/v1/labels", {"id": label})
    assert answer.status == 200, answer.body
    await registrar.stranger(f"mate-{project}")
    member = await registrar.member(f"mate-{project}", GUEST, project)
    robot, _ = await registrar.robot("spare", "project", project)
    await push_image(pusher, "gone", layer, name=f"{project}/app")
    answer = await api.delete(f"/projects/{project}/repositories/app/artifacts/gone/tags/gone")
    assert answer.status == 200, answer.body
    return {
        "project_name_or_id": project,
        "project_name": project,
        "project": project,
        "project_id": str(project_id),
        "quota_id": str(project_id),
        "repository_name": "app",
        "name": f"{project}/app",
        "reference": digest,
        "tag_name": "v1",
        "digest": digest_of(layer),
        "blob": digest_of(f"another of {project}".encode()),
        "loose": await push_blob(pusher, f"in no image of {project}".encode(), f"{project}/app"),
        "source": f"{project}/other:v1",
        "addition": "build_history",
        "meta_name": "auto_scan",
        "label_id": str(label),
        "loose_label": str(loose),
        "mid": str(member),
        "trash_id": str((await api.found(f"/projects/{project}/trash"))[0]["id"]),
        "immutable_rule_id": str(number(await api.made(f"/projects/{project}/immutabletagrules", _RULE))),
        **await _retention(application, registrar, project_id),
        "grant_id": str(member),
        "robot_id": str(robot),
        "session": await _upload(application, project),
        "ending": await _upload(application, project),
    }


async def _retention(application: Application, registrar: Registrar, project_id: int) -> Ids:
    """Make a policy, and a run of it that has ended so that others can be started."""
    place = await registrar.admin.made("/retentions", _POLICY | {"scope": {"level": "project", "ref": project_id}})
    run = await registrar.admin.made(f"{place}/executions", {"dry_run": True})
    assert (await registrar.admin.send("PATCH", run, {"action": "stop"})).status == 200
    begin = partial(retention_tasks.begin, run=number(run), repository_id=1, repository="app")
    task = await application._services.registry.manifests.metadata.write(begin)
    return {"retention_id": str(number(place)), "eid": str(number(run)), "tid": str(task.id)}


def _missing() -> Ids:
    nothing = digest_of(b"nothing")
    return {
        "project_name_or_id": "nowhere",
        "project_name": "nowhere",
        "project": "nowhere",
        "name": "nowhere/app",
        "repository_name": "none",
        "reference": nothing,
        "digest": nothing,
        "blob": nothing,
        "loose": nothing,
        "tag_name": "none",
        "source": "nowhere/app:v1",
        "meta_name": "prevent_vul",
        "node_name": "nowhere",
        **dict.fromkeys(("session", "ending"), "0b0b0b0b-0000-4000-8000-000000000000"),
        **dict.fromkeys(("group_id", "role_id", "user_id", "user", "key_id", "security_key_id"), NOWHERE),
        "session_id": "none",
    }


async def _label(registrar: Registrar, project_id: int | None, name: str) -> int:
    scope = {"scope": "g"} if project_id is None else {"scope": "p", "project_id": project_id}
    return number(await registrar.admin.made("/labels", {"name": name, "color": "#ffffff", **scope}))


async def _upload(application: Application, project: str) -> str:
    """Open an upload session of the administrator's."""
    location = await start_upload(client(application, basic(ADMIN, ADMIN_PASSWORD)), f"{project}/app")
    return location.partition("?")[0].rpartition("/")[2]


async def _another_person(application: Application, registrar: Registrar) -> Ids:
    """Make somebody who is no caller, with a key, a session and a security key."""
    victim = await registrar.person("victim")
    own = victim.own
    key = SecurityKeyRecord(
        principal_id=int(own["self"]),
        name="theirs",
        credential="victims",
        public_key="",
        host="registry.test",
        sign_count=0,
        aaguid="",
        transports="",
        backed_up=False,
    )
    metadata = application._services.registry.manifests.metadata
    return {
        "security_key_id": str(await metadata.write(partial(security_keys.add, key=key))),
        "user": own["self"],
        "user_id": own["self"],
        "key_id": own["self_key"],
        "session_id": own["self_session"],
    }


async def _of_all(registrar: Registrar, victim: str) -> Ids:
    """Make what belongs to the registry as a whole."""
    api = registrar.admin
    group = number(await api.made("/usergroups", {"group_name": "crew"}))
    mate = await registrar.stranger("mate")
    await api.made(f"/usergroups/{group}/members", {"user_id": mate})
    role = {"name": "taker", "permissions": [{"resource": "repository", "action": "pull"}]}
    grant = {"principal_id": int(victim), "role_id": GUEST, "repositories": "none/**"}
    robot, _ = await registrar.robot("spare", "system", "*")
    return {
        "label_id": str(await _label(registrar, None, "everywhere")),
        "robot_id": str(robot),
        "grant_id": str(number(await api.made("/grants", grant))),
        "group_id": str(group),
        "role_id": str(number(await api.made("/roles", role))),
        "user_id": str(mate),
    }


async def _jobs(registrar: Registrar) -> Ids:
    """Make a run of each place that shows runs, all of them ended so that others can be started, and a schedule."""
    api = registrar.admin
    ids = {}
    for name, path in (("job_id", "/jobs"), ("gc_run", "/system/gc"), ("purge_run", "/system/purgeaudit")):
        location = await api.made(path, {"kind": "upload-purging"} if path == "/jobs" else {})
        ids[name] = str(number(location))
        assert (await api.post(f"/jobs/{ids[name]}/stop")).status == 200
    assert (await api.put("/jobs/schedules/purge-audit-log", {"cron": "@daily"})).status == 200
    return ids


async def _of_everybody(registrar: Registrar, ids: dict[str, Ids]) -> Ids:
    """Return what means the same in every request."""
    return {
        "newcomer": str(await registrar.stranger("newcomer")),
        "victim": "victim",
        "kind": "purge-audit-log",
        "job_type": "all",
        "pool_id": "all",
        "node_name": NODE,
        **await _jobs(registrar),
        "nothing": digest_of(b"nothing"),
        "foreign_manifest": ids["foreign"]["reference"],
    }
