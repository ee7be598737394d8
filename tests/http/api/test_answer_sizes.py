"""No answer of a list is larger than a bound, however fat the rows are that a member of a project made."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import bindparam

from entrepot.metadata import tables
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.oci import media_type as media_types
from tests.http.pushing import push_blob, put_manifest
from tests.support.api import BASE, Api
from tests.support.app import App, AppOptions, open_app
from tests.support.manifests import digest_of, entry, image, index

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "/projects/own/repositories/app/artifacts"
MIB = 1024 * 1024
#: No answer is larger.
MOST = 16 * MIB
#: Of an answer's rows none may have more, since a page has a hundred.
MOST_OF_A_ROW = MOST // 100
#: Lists that bound the bytes of their pages, not those of each row.
WITHIN_BYTES = re.compile(r"/artifacts$")
#: What stands in the paths of lists for their parts in braces.
PARTS = {
    "project_name": "own",
    "project_name_or_id": "own",
    "repository_name": "app",
    "reference": "fat1",
    "tag_name": "fat1",
    "addition": "build_history",
    "user": "current",
    "retention_id": "1",
}
#: Further parameters of lists.
MORE = {
    "/labels": "&scope=p&project_id=1",
    "/robots": "&q=Level%3Dproject,ProjectID%3D1",
    "/users/search": "&username=m",
    "/usergroups/search": "&groupname=m",
}
#: Lists of what the program itself, its administrator, or a directory says, in numbers and short words.
OTHERS = {
    "/jobs/{job_id}/steps",
    "/jobservice/pools/{pool_id}/workers",
    "/ldap/groups/search",
    "/ldap/users/search",
    "/retentions/{retention_id}/executions/{eid}/tasks",
    "/retentions/{retention_id}/executions/{eid}/tasks/{tid}/verdicts",
    "/usergroups/{group_id}/members",
}
FAT = 3 * MIB + 700 * 1024
NUMBER = 8
#: A character that JSON writes with six.
LONG = "\x01"
_TAG = Query(
    lambda d: d.insert(tables.tags).values(
        repository_id=bindparam("repository"),
        name=bindparam("name"),
        manifest_id=bindparam("manifest"),
        created_at=0,
        updated_at=0,
    ),
    "test.add_tag",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """Give a registry in which `maker` has a project of their own, filled with the fattest things that one may have."""
    options = AppOptions(signed_in=True, registry={"trash_seconds": 86_400})
    async with open_app(tmp_path_factory.mktemp("fat"), options) as app:
        await app.account("admin", ("*", "*"))
        await app.account("maker", ("*", "project:create"))
        await fill(app)
        yield app


async def fill(app: App) -> None:
    """Make the fattest things."""
    maker, client = Api(app.basic("maker")), app.basic("maker")
    await maker.made("/projects", {"project_name": "own", "metadata": {"public": "true"}})
    subject = await _push(client, image(b"{}", b"subject"), b"{}", b"subject")
    for number in range(NUMBER):
        fat = {"annotations": {"fat": f"{number}" + "x" * FAT}}
        await _push(client, image(b"{}", **fat), tag=f"fat{number}")
        await _push(client, image(b"{}", subject=entry(subject), **fat))
        config = json.dumps({"config": {str(n): "x" * 100 for n in range(9_000)}, "n": number}).encode()
        await _push(client, image(config), config, tag=f"config{number}")
    await _push_indexes(client, subject)
    tagged = await _push(client, image(b"{}", b"tagged"), b"tagged")
    for manifest in (subject, tagged):
        await _tag_often(app, manifest)
    await _make_labels(maker)
    await _make_others(maker)
    deleted = await maker.delete(f"/projects/own/repositories/app/artifacts/{digest_of(tagged)}")
    assert deleted.status == 200, deleted.body


async def _push(client: Any, body: bytes, *blobs: bytes, tag: str | None = None, kind: str | None = None) -> bytes:
    for blob in blobs:
        await push_blob(client, blob, "own/app")
    answer = await put_manifest(
        client, body, tag or digest_of(body), name="own/app", media_type=kind or media_types.OCI_MANIFEST
    )
    assert answer.status == 201, (answer.status, answer.body)
    return body


async def _push_indexes(client: Any, listed: bytes) -> None:
    """Push an index that lists the same manifest often, saying much of it once, and one that lists very many."""
    said = {**entry(listed), "annotations": {"fat": "x" * MIB}}
    await _push(client, index(*[entry(listed)] * 100, said), tag="twice", kind=media_types.OCI_INDEX)
    for number in range(3):
        body = index(*[entry(listed)] * 9_000, annotations={"n": f"{number}"})
        await _push(client, body, tag=f"many{number}", kind=media_types.OCI_INDEX)


async def _tag_often(app: App, manifest: bytes) -> None:
    async def work(tx: Transaction) -> None:
        row = await tx.one(_FIND, digest=digest_of(manifest))
        assert row is not None
        names = (f"{'t' * 100}{row[0]:08}{number:020}" for number in range(20_000))
        await tx.many(_TAG, [{"repository": row[1], "manifest": row[0], "name": name} for name in names])

    await app.stores.metadata.write(work)


_FIND = Query(
    lambda _: (
        tables.manifests.select()
        .with_only_columns(tables.manifests.c.id, tables.manifests.c.repository_id)
        .where(tables.manifests.c.digest == bindparam("digest"))
    ),
    "test.find_manifest",
)


async def _make_labels(maker: Api) -> None:
    project = (await maker.found("/projects/own"))["project_id"]
    labels = []
    for number in range(100):
        label = {"name": f"l{number}", "description": LONG * 1024, "scope": "p", "project_id": project}
        made = await maker.made("/labels", label)
        labels.append(int(made.rpartition("/")[2]))
    for name in range(NUMBER):
        path = f"/projects/own/repositories/app/artifacts/fat{name}/labels"
        for label in labels[:30]:
            assert (await maker.post(path, {"id": label})).status == 200


async def _make_others(maker: Api) -> None:
    """Describe, allow, forbid and delete with as many words as are taken."""
    project = (await maker.found("/projects/own"))["project_id"]
    described = await maker.put("/projects/own/repositories/app", {"description": LONG * 16_384})
    assert described.status == 200, described.body
    everything = (await maker.found("/permissions"))["project"]
    patterns = {"repositories": "own/" + "a" * 490, "tags": "a" * 490}
    permission = {"kind": "project", "namespace": "own", "access": everything, **patterns}
    for number in range(4):
        robot = {
            "name": f"r{number}",
            "level": "project",
            "duration": 1,
            "description": LONG * 1024,
            "permissions": [{**permission, "tags": f"{n}" + "a" * 490} for n in range(200)],
        }
        assert (await maker.post("/robots", robot)).status == 400
        await maker.made("/robots", {**robot, "permissions": robot["permissions"][:16]})
    selectors = [{"decoration": "matches", "pattern": "a" * 500, "extras": LONG * 500} for _ in range(20)]
    rule = {
        "tag_selectors": selectors,
        "scope_selectors": {"repository": [{**selectors[0], "decoration": "repoMatches"}]},
    }
    await maker.made("/projects/own/immutabletagrules", rule)
    policy = {
        "algorithm": "or",
        "rules": [{"template": "always", **rule, "tag_selectors": [{"decoration": "matches", "pattern": "a"}]}],
        "trigger": {"kind": "Schedule", "settings": {"cron": ""}},
        "scope": {"level": "project", "ref": project},
    }
    await maker.made("/retentions", policy)


async def lists(app: App) -> list[str]:
    """List the paths of all lists, as the API's own documentation has them."""
    document = (await app.basic("admin").get(f"{BASE}/openapi.json")).json()
    paths = document["paths"].items()
    return [path.removeprefix(BASE) for path, methods in paths if _is_list(methods.get("get", {}))]


def _is_list(operation: dict[str, Any]) -> bool:
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    return any(each.get("schema", {}).get("type") == "array" for each in content.values())


async def test_no_page_of_a_list_is_larger_than_a_bound(app: App) -> None:
    """Every list that the documentation has is asked; one that is new says here how, or why it has nothing fat."""
    admin = Api(app.basic("admin"))
    paths = set(await lists(app))
    assert paths >= OTHERS
    for path in sorted(paths - OTHERS):
        query = "?page_size=100&with_label=true" + MORE.get(path, "")
        answer = await admin.get(path.format_map(PARTS) + query)
        assert answer.status == 200, (path, answer.status, answer.body)
        assert len(answer.body) <= MOST, (path, len(answer.body))
        if not WITHIN_BYTES.search(path):
            longest = max((len(json.dumps(row)) for row in answer.json()), default=0)
            assert longest <= MOST_OF_A_ROW, (path, longest)


@pytest.mark.parametrize("query", ["", "&with_accessory=false", "&q=base%3D*", "&sort=push_time", "&q=tags%3D~many"])
async def test_pages_of_artifacts_are_bounded(app: App, query: str) -> None:
    """The first artifact of a page tells everything, later ones what there is room for, and say where that is less."""
    anonymous = Api(app.client())
    answer = await anonymous.get(f"/projects/own/repositories/app/artifacts?page_size=100&with_label=true{query}")
    assert answer.status == 200
    assert len(answer.body) <= MOST
    fat = [artifact for artifact in answer.json() if _tags(artifact)[:1] in (["fat1"], ["fat3"])]
    assert all(("fat" in artifact["annotations"]) != artifact.get("truncated", False) for artifact in fat)


async def test_an_artifact_alone_tells_everything(app: App) -> None:
    """What a page leaves out is told of the artifact itself."""
    maker = Api(app.basic("maker"))
    (listed,) = (a for a in await maker.found(f"{APP}?page_size=100") if _tags(a) == ["fat0"])
    assert (listed["annotations"], listed["truncated"]) == ({}, True)
    alone = await maker.found(f"{APP}/fat0")
    assert len(alone["annotations"]["fat"]) == FAT + 1
    assert "truncated" not in alone


async def test_an_entry_that_an_index_lists_twice_is_told_once(app: App) -> None:
    """An index lists one manifest a hundred times and says much of it once; the answer says that once, too."""
    answer = await Api(app.basic("maker")).get(f"{APP}/twice?with_tag=false")
    assert len(answer.body) < 2 * MIB
    references = answer.json()["references"]
    assert len(references) == 101
    assert [len(reference["annotations"]) for reference in references] == [0] * 100 + [1]


async def test_the_trash_names_some_of_very_many_tags(app: App) -> None:
    """Of a deleted manifest with twenty thousand tags a list shows hundreds, and says so; all of them are restored."""
    maker = Api(app.basic("maker"))
    (item,) = await maker.found("/projects/own/trash")
    assert 100 < len(item["tags"]) <= 1000
    assert item["truncated"]
    assert set(map(len, item["tags"])) == {128}
    alone = await maker.found(f"/trash/{item['id']}")
    assert (len(alone["tags"]), alone["truncated"]) == (1000, True)


def _tags(artifact: dict[str, Any]) -> list[str]:
    return [tag["name"] for tag in artifact["tags"]]
