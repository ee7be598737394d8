"""What some routes need for a request that gets as far as the rights: a query, a body, or another path.

A name in angle brackets stands for what `things` says of the row's object. Objects that are named only in a query or a
body are listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from entrepot.oci import media_type as media_types
from entrepot.web.api.artifacts.icons import icon_of
from tests.support.manifests import index

API: Final = "/api/v2.0"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
#: Kinds of projects.
EVERY: Final = ("own", "public", "foreign", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What goes along with a route; per kind of object where that differs."""

    query: str | Mapping[str, str] = ""
    body: str | Mapping[str, str] = ""
    content_type: str = JSON
    path: str = ""  #: where it is not the route's own
    objects: tuple[str, ...] = ()  #: empty: those that the names in the request stand for
    ids: Mapping[str, str] = field(default_factory=dict)  #: what some names stand for, whatever the object

    def path_of(self, path: str) -> str:
        """Return the path of the request."""
        return self.path or path

    def query_of(self, thing: str) -> str:
        """Return the query for one kind of object."""
        return self.query if isinstance(self.query, str) else self.query.get(thing, "")

    def body_of(self, thing: str) -> str:
        """Return the body for one kind of object."""
        return self.body if isinstance(self.body, str) else self.body.get(thing, "")


def _for_each(things: Iterable[str], text: str, **others: str) -> dict[str, str]:
    return dict.fromkeys(things, text) | others


_ROBOT: Final = (
    '{"name": "bot", "level": "%s", "duration": 30, "permissions": [{"kind": "project", "namespace": "%s",'
    ' "access": [{"resource": "repository", "action": "pull"}]}]}'
)
_LABEL: Final = '{"name": "new", "color": "#ffffff", "scope": "p", "project_id": <project_id>}'
_SCOPE: Final = "service=entrepot&scope=repository:<project>/app:pull,push,delete"
_TOKEN_FORM: Final = f"grant_type=password&client_id=matrix&username=<caller>&password=<password>&{_SCOPE}"
_INDEX: Final = index().decode()
_CHILD: Final = {"mediaType": media_types.OCI_MANIFEST, "digest": "<foreign_manifest>", "size": 2}
_FOREIGN_CHILD: Final = index(_CHILD).decode()
_MOUNTS: Final = {
    f"mount{tail}": f"?mount=<blob>&from={project}/other"
    for tail, project in (("", "own"), ("-public", "public"), ("-foreign", "foreign"), ("-missing", "nowhere"))
}
_UPLOAD: Final = Ask(content_type="application/octet-stream")
_EMPTY: Final = Ask(body="{}")
_REPOSITORY: Final = f"{API}/projects/{{project_name}}/repositories/{{repository_name}}"
_RULE: Final = (
    '{"tag_selectors": [{"decoration": "matches", "pattern": "%s"}],'
    ' "scope_selectors": {"repository": [{"decoration": "repoMatches", "pattern": "**"}]}}'
)
_POLICY: Final = '{"rules": [], "scope": {"level": "project", "ref": <project_id>}}'
_TOKEN: Final = Ask(query=f"?{_SCOPE}")
_TOKEN_POST: Final = Ask(body=_TOKEN_FORM, content_type=FORM)

#: What the routes need that more than their path says something.
ASKS: Final[Mapping[str, Ask]] = {
    f"PUT {API}/configurations": Ask(body='{"session_timeout": 45}'),
    f"POST {API}/grants": Ask(
        body=_for_each(
            EVERY,
            '{"principal_id": <newcomer>, "role_id": 1, "project_name": "<project>"}',
            system='{"principal_id": <newcomer>, "role_id": 100}',
        ),
        objects=(*EVERY, "system"),
    ),
    f"POST {API}/jobs": Ask(body='{"kind": "upload-purging"}'),
    f"PUT {API}/jobs/schedules/{{kind}}": Ask(body='{"cron": "@daily"}'),
    f"PUT {API}/nodes/{{node_name}}/drained": Ask(body='{"drained": true}'),
    f"PUT {API}/jobservice/queues/{{job_type}}": Ask(body='{"action": "pause"}'),
    f"GET {API}/labels": Ask(
        query=_for_each(EVERY, "?scope=p&project_id=<project_id>", system="?scope=g"), objects=(*EVERY, "system")
    ),
    f"POST {API}/labels": Ask(
        body=_for_each(EVERY, _LABEL, system='{"name": "new", "color": "#ffffff", "scope": "g"}'),
        objects=(*EVERY, "system"),
    ),
    f"PUT {API}/quotas/{{quota_id}}": Ask(body='{"hard": {"artifacts": 5000}}'),
    f"PUT {API}/labels/{{label_id}}": Ask(body='{"name": "renamed", "color": "#ffffff"}'),
    f"GET {API}/ldap/groups/search": Ask(query="?groupname=crew"),
    f"GET {API}/ldap/users/search": Ask(query="?username=victim"),
    f"POST {API}/ldap/ping": Ask(body="{}"),
    f"POST {API}/ldap/users/import": Ask(body='{"ldap_uid_list": ["victim"]}'),
    f"GET {API}/permissions/explain": Ask(
        query={"self": "?action=pull&target=own/app", "other": "?action=pull&target=own/app&user=<victim>"},
        objects=("self", "other"),
    ),
    f"GET {API}/users/current/permissions": Ask(
        query=_for_each(EVERY, "?scope=/project/<project>"), objects=(*EVERY, "system")
    ),
    f"HEAD {API}/projects": Ask(query="?project_name=<project>"),
    f"POST {API}/projects": Ask(body='{"project_name": "fresh"}'),
    f"PUT {API}/projects/{{project_name_or_id}}": Ask(body='{"metadata": {"auto_scan": "false"}}'),
    f"POST {API}/projects/{{project_name_or_id}}/members": Ask(
        body='{"role_id": 3, "member_user": {"user_id": <newcomer>}}'
    ),
    f"PUT {API}/projects/{{project_name_or_id}}/members/{{mid}}": Ask(body='{"role_id": 5}'),
    f"POST {API}/projects/{{project_name_or_id}}/metadatas": Ask(body='{"severity": "high"}'),
    f"PUT {API}/projects/{{project_name_or_id}}/metadatas/{{meta_name}}": Ask(
        body='{"<meta_name>": "<meta_value>"}', ids={"meta_value": "false"}
    ),
    f"PUT {API}/projects/{{project_name}}/repositories/{{repository_name}}": Ask(body='{"description": "new"}'),
    f"POST {API}/projects/{{project_name}}/repositories/{{repository_name}}/artifacts": Ask(
        query=_for_each((*EVERY, "absent"), "?from=<source>", crossed="?from=foreign/other:v1"),
        objects=(*EVERY, "absent", "crossed"),
    ),
    f"POST {API}/projects/{{project_name}}/repositories/{{repository_name}}/artifacts/{{reference}}/labels": Ask(
        body='{"id": <loose_label>}'
    ),
    f"POST {API}/projects/{{project_name}}/repositories/{{repository_name}}/artifacts/{{reference}}/tags": Ask(
        body='{"name": "v2"}'
    ),
    f"GET {API}/robots": Ask(
        query=_for_each(EVERY, "?q=Level%3Dproject,ProjectID%3D<project_id>"), objects=(*EVERY, "system")
    ),
    f"POST {API}/robots": Ask(
        body=_for_each(EVERY, _ROBOT % ("project", "<project>"), system=_ROBOT % ("system", "*")),
        objects=(*EVERY, "system"),
    ),
    f"PUT {API}/robots/{{robot_id}}": Ask(body='{"description": "changed"}'),
    f"PATCH {API}/robots/{{robot_id}}": Ask(body='{"secret": ""}'),
    f"POST {API}/retentions": Ask(body=_POLICY),
    f"PUT {API}/retentions/{{retention_id}}": Ask(body=_POLICY),
    f"POST {API}/retentions/{{retention_id}}/executions": Ask(body='{"dry_run": true}'),
    f"PATCH {API}/retentions/{{retention_id}}/executions/{{eid}}": Ask(body='{"action": "stop"}'),
    f"POST {API}/roles": Ask(
        body='{"name": "giver", "permissions": [{"resource": "repository", "action": "push"}]}', objects=("system",)
    ),
    f"PUT {API}/roles/{{role_id}}": Ask(
        body='{"name": "taker", "permissions": [{"resource": "repository", "action": "push"}]}'
    ),
    f"POST {API}/projects/{{project_name_or_id}}/immutabletagrules": Ask(body=_RULE % "x*"),
    f"PUT {API}/projects/{{project_name_or_id}}/immutabletagrules/{{immutable_rule_id}}": Ask(body=_RULE % "y*"),
    f"POST {API}/projects/{{project_name_or_id}}/purge": _EMPTY,
    f"POST {_REPOSITORY}/purge": _EMPTY,
    f"POST {_REPOSITORY}/artifacts/{{reference}}/purge": _EMPTY,
    f"POST {_REPOSITORY}/tags/{{tag_name}}/restore": Ask(body='{"digest": "<reference>"}'),
    f"POST {API}/trash/{{trash_id}}/restore": _EMPTY,
    f"POST {API}/usage/would-free": Ask(body='{"projects": ["own"]}'),
    f"POST {API}/projects/{{project_name_or_id}}/usage/would-free": Ask(body='{"everything": true}'),
    f"GET {API}/search": Ask(query="?q=app"),
    **{
        f"{method} {API}/system/{part}/schedule": Ask(body='{"schedule": {"type": "Daily"}}')
        for method in ("POST", "PUT")
        for part in ("gc", "purgeaudit")
    },
    **{
        f"{method} {API}/system/{part}/{{run_id}}{tail}": Ask(path=f"{API}/system/{part}/<{run}>{tail}")
        for part, run in (("gc", "gc_run"), ("purgeaudit", "purge_run"))
        for method, tail in (("GET", ""), ("PUT", ""), ("GET", "/log"))
    },
    f"POST {API}/system/oidc/ping": Ask(body='{"url": "https://127.0.0.1:9"}'),
    f"POST {API}/usergroups": Ask(body='{"group_name": "fresh", "group_type": 4}'),
    f"PUT {API}/usergroups/{{group_id}}": Ask(body='{"group_name": "renamed"}'),
    f"GET {API}/usergroups/search": Ask(query="?groupname=crew"),
    f"POST {API}/usergroups/{{group_id}}/members": Ask(body='{"user_id": <newcomer>}'),
    f"POST {API}/users": Ask(body='{"username": "fresh", "password": "seven boats at anchor"}'),
    f"POST {API}/users/current/second_factor/confirm": Ask(body='{"code": "123456"}'),
    f"POST {API}/users/current/second_factor/disable": Ask(body='{"code": "123456"}'),
    f"POST {API}/users/current/second_factor/recovery_codes": Ask(body='{"code": "123456"}'),
    f"POST {API}/users/current/second_factor/keys": Ask(body='{"password": "<password>"}'),
    f"POST {API}/users/current/second_factor/keys/confirm": Ask(
        body='{"name": "new", "client_data": "e30", "attestation_object": "oA"}'
    ),
    f"PUT {API}/users/current/second_factor/keys/{{security_key_id}}": Ask(body='{"name": "renamed"}'),
    f"POST {API}/users/current/second_factor/keys/{{security_key_id}}/remove": Ask(body='{"password": "<password>"}'),
    f"POST {API}/users/reset_password": Ask(body='{"token": "guessed", "new_password": "seven boats at anchor"}'),
    f"GET {API}/icons/{{digest}}": Ask(path=f"{API}/icons/{icon_of('IMAGE')}"),
    f"GET {API}/users/search": Ask(query="?username=victim"),
    f"PUT {API}/users/{{user_id}}": Ask(body='{"realname": "New"}'),
    f"PUT {API}/users/{{user_id}}/disabled": Ask(body='{"disabled": true}'),
    f"PUT {API}/users/{{user_id}}/password": Ask(
        body='{"old_password": "<password>", "new_password": "seven boats at anchor"}'
    ),
    f"PUT {API}/users/{{user_id}}/sysadmin": Ask(body='{"sysadmin_flag": true}'),
    f"POST {API}/users/{{user}}/keys": Ask(body='{"name": "new"}'),
    f"PUT {API}/users/{{user}}/keys/{{key_id}}": Ask(body='{"name": "renamed"}'),
    f"POST {API}/users/{{user}}/keys/{{key_id}}/rotate": Ask(body="{}"),
    "GET /token": _TOKEN,
    "GET /service/token": _TOKEN,
    "POST /token": _TOKEN_POST,
    "POST /service/token": _TOKEN_POST,
    "POST /c/login": Ask(body="principal=victim&password=a+wrong+guess", content_type=FORM),
    "POST /c/login/key": Ask(body="credential=a&client_data=e30&authenticator_data=a&signature=a", content_type=FORM),
    "POST /c/account": Ask(body="principal=victim&password=a+wrong+guess", content_type=FORM),
    "POST /c/account/codes": Ask(body="token=guessed&do=begin", content_type=FORM),
    "POST /c/account/password": Ask(body="token=guessed&old=a&new=seven+boats&again=seven+boats", content_type=FORM),
    "POST /c/account/key": Ask(body="token=guessed&do=make&name=fresh&days=90", content_type=FORM),
    "GET /c/reset_password": Ask(query="?token=guessed"),
    "POST /c/reset_password": Ask(body="token=guessed&password=seven+boats&again=seven+boats", content_type=FORM),
    "POST /c/oidc/onboard": Ask(body="token=guessed&username=fresh", content_type=FORM),
    "PUT /v2/{name}/manifests/{reference}": Ask(
        body=_for_each(
            EVERY, _INDEX, absent=_FOREIGN_CHILD.replace("foreign_manifest", "nothing"), crossed=_FOREIGN_CHILD
        ),
        content_type=media_types.OCI_INDEX,
        objects=(*EVERY, "absent", "crossed"),
        ids={"reference": "v2"},
    ),
    "POST /v2/{name}/blobs/uploads/": Ask(query=_MOUNTS, objects=(*EVERY, *_MOUNTS)),
    # The files of a session go before its row: this one is asked for nothing else.
    "DELETE /v2/{name}/blobs/uploads/{session}": Ask(path="/v2/{name}/blobs/uploads/{ending}"),
    "PATCH /v2/{name}/blobs/uploads/{session}": _UPLOAD,
    "PUT /v2/{name}/blobs/uploads/{session}": replace(_UPLOAD, query="?digest=<nothing>"),
    "DELETE /v2/{name}/blobs/{digest}": Ask(path="/v2/{name}/blobs/{loose}"),
}
