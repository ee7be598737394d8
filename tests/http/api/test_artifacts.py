"""Artifacts through the API: images, indexes, charts and what belongs to them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from entrepot.metadata.people import grants
from entrepot.oci import media_type as media_types
from entrepot.projects.contents.pulls import PullCounter
from entrepot.registry.manifests import Manifests
from tests.http.pushing import push_blob, push_image, put_manifest
from tests.http.transport import AsgiClient
from tests.support.api import Api, refusal
from tests.support.app import App, Opener
from tests.support.events import recorded
from tests.support.manifests import descriptor, digest_of, entry, image, index
from tests.support.rights import permissions_of

AsUser = Callable[[str], Api]
APP = "/projects/demo/repositories/app/artifacts"
NEVER = "0001-01-01T00:00:00Z"
CONFIG = json.dumps(
    {
        "architecture": "arm64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": {"Cmd": ["/bin/sh"], "Labels": {"maintainer": "alice"}},
        "history": [{"created_by": "ADD rootfs"}, {"created_by": "CMD", "empty_layer": True}],
        "rootfs": {"type": "layers", "diff_ids": []},
    }
).encode()
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


async def push(
    client: AsgiClient,
    reference: str | None,
    body: bytes,
    *blobs: bytes,
    name: str = "demo/app",
    kind: str = media_types.OCI_MANIFEST,
) -> bytes:
    """Push a manifest after its blobs, by digest when no tag is given."""
    for blob in blobs:
        await push_blob(client, blob, name)
    answer = await put_manifest(client, body, reference or digest_of(body), name=name, media_type=kind)
    assert answer.status == 201, (answer.status, answer.body)
    return body


@pytest.fixture
def client(app: App) -> AsgiClient:
    """Give somebody who pushes and pulls."""
    return app.basic("admin")


@pytest.fixture
async def an_image(client: AsgiClient) -> bytes:
    """Push an image of two layers as demo/app:v1."""
    body = image(CONFIG, b"layer one", b"layer two", annotations={"org.opencontainers.image.title": "app"})
    return await push(client, "v1", body, CONFIG, b"layer one", b"layer two")


def chart_archive(**files: str) -> bytes:
    """Pack a Helm chart named `app`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"app/{name.replace('_', '.')}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


async def push_chart(client: AsgiClient, archive: bytes) -> bytes:
    """Push a chart as Helm does, as demo/app:chart."""
    config = json.dumps(
        {"name": "app", "version": "1.0.0", "dependencies": [{"name": "redis", "version": "^1"}]}
    ).encode()
    body = image(config, config=descriptor(config, CHART_CONFIG), layers=[descriptor(archive, CHART_LAYER)])
    return await push(client, "chart", body, config, archive)


async def test_an_image_has_harbors_fields(admin: Api, an_image: bytes) -> None:
    """Numbers, types, sizes with everything, attributes out of the configuration, tags and links."""
    (artifact,) = await admin.found(APP)
    assert artifact == await admin.found(f"{APP}/v1") == await admin.found(f"{APP}/{digest_of(an_image)}")
    assert artifact["digest"] == digest_of(an_image)
    assert artifact["type"] == "IMAGE"
    assert artifact["media_type"] == artifact["artifact_type"] == "application/vnd.oci.image.config.v1+json"
    assert artifact["manifest_media_type"] == media_types.OCI_MANIFEST
    assert artifact["size"] == len(an_image) + len(CONFIG) + 2 * len(b"layer one")
    assert artifact["extra_attrs"] == {
        "architecture": "arm64",
        "author": "alice",
        "config": {"Cmd": ["/bin/sh"], "Labels": {"maintainer": "alice"}},
        "created": "2026-01-02T03:04:05Z",
        "os": "linux",
    }
    assert artifact["annotations"] == {"org.opencontainers.image.title": "app"}
    assert artifact["repository_name"] == "demo/app"
    assert artifact["pull_time"] == NEVER
    assert artifact["push_time"].endswith("Z")
    (tag,) = artifact["tags"]
    assert (tag["name"], tag["artifact_id"], tag["immutable"]) == ("v1", artifact["id"], False)
    assert tag["repository_id"] == artifact["repository_id"]
    assert (artifact["labels"], artifact["accessories"], artifact["references"]) == ([], None, [])
    link = artifact["addition_links"]["build_history"]
    assert link["absolute"] is False
    history = await admin.found(link["href"].removeprefix("/api/v2.0"))
    assert [step["created_by"] for step in history] == ["ADD rootfs", "CMD"]


async def test_an_index_shows_its_images_by_platform(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """The list has the index alone and the tagged entry; sizes add up; each entry has its number and platform."""
    other = await push(client, None, image(b"{}", b"other"), b"{}", b"other")
    arm = {"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "1.2", "os.features": ["x"]}
    entries = [{**entry(an_image), "platform": arm, "annotations": {"a": "b"}}, entry(other)]
    body = await push(client, "multi", index(*entries), kind=media_types.OCI_INDEX)
    found = await admin.found(APP)
    assert [a["digest"] for a in found] == [digest_of(body), digest_of(an_image)]
    both = {a["digest"]: a for a in await admin.found(f"{APP}?q=base%3D*")}
    assert set(both) == {digest_of(body), digest_of(an_image), digest_of(other)}
    listed = found[0]
    assert (listed["type"], listed["media_type"], listed["artifact_type"]) == ("IMAGE", media_types.OCI_INDEX, "")
    assert listed["size"] == len(body) + both[digest_of(an_image)]["size"] + both[digest_of(other)]["size"]
    first, second = listed["references"]
    assert (first["child_digest"], first["child_id"]) == (digest_of(an_image), both[digest_of(an_image)]["id"])
    assert first["parent_id"] == listed["id"]
    assert first["platform"] == {
        "architecture": "arm64", "os": "linux", "variant": "v8", "'os.version'": "1.2", "'os.features'": ["x"],
    }  # fmt: skip
    assert (first["annotations"], first["urls"]) == ({"a": "b"}, [])
    assert "platform" not in second
    assert listed["addition_links"] == {}


async def test_what_refers_to_an_image_is_its_accessory(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """A signature is no artifact of its own in lists, but can be read by its digest; filters go by its kind."""
    cosign = "application/vnd.dev.cosign.artifact.sig.v1+json"
    signature = image(b"{}", config=descriptor(b"{}", cosign), subject=entry(an_image))
    await push(client, None, signature, b"{}")
    sbom = image(b"{}", artifactType="application/spdx+json", subject=entry(an_image))
    await push(client, None, sbom)
    (artifact,) = await admin.found(APP)
    kinds = {a["digest"]: a["type"] for a in artifact["accessories"]}
    assert kinds == {digest_of(signature): "signature.cosign", digest_of(sbom): "subject.accessory"}
    listed = await admin.get(f"{APP}/v1/accessories?q=type%3Dsignature.cosign")
    (only,) = listed.json()
    assert listed["X-Total-Count"] == "1"
    assert (only["subject_artifact_digest"], only["subject_artifact_id"]) == (digest_of(an_image), artifact["id"])
    assert (only["subject_artifact_repo"], only["size"]) == ("demo/app", len(signature) + 2)
    assert (await admin.found(f"{APP}/{digest_of(signature)}"))["media_type"] == cosign
    assert (await admin.found(f"{APP}?with_accessory=false"))[0]["accessories"] is None


async def test_a_signature_by_its_tag_is_an_accessory(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """As cosign keeps it without a subject: listed under its image and not beside it, and deleted with it."""
    prefix = digest_of(an_image).replace(":", "-")
    pushed = {}
    for kind in ("sig", "att", "sbom"):
        layer = kind.encode()
        pushed[kind] = digest_of(await push(client, f"{prefix}.{kind}", image(b"{}", layer), b"{}", layer))
    (artifact,) = await admin.found(APP)
    kinds = {a["digest"]: a["type"] for a in artifact["accessories"]}
    assert kinds == {
        pushed["sig"]: "signature.cosign",
        pushed["att"]: "subject.accessory",
        pushed["sbom"]: "subject.accessory",
    }
    assert {a["subject_artifact_digest"] for a in artifact["accessories"]} == {digest_of(an_image)}
    assert len(await admin.found(f"{APP}/v1/accessories")) == 3
    assert (await admin.found("/projects/demo/repositories/app"))["artifact_count"] == 1
    await admin.post(f"{APP}/{pushed['att']}/tags", {"name": "mine"})
    assert len(await admin.found(APP)) == 2  # it stands for itself, too
    await admin.delete(f"{APP}/{pushed['att']}/tags/mine")
    stray = await push(client, f"sha256-{'0' * 64}.sig", image(b"{}", b"stray"), b"{}", b"stray")
    assert [a["digest"] for a in await admin.found(APP)] == [digest_of(stray), digest_of(an_image)]
    assert (await admin.delete(f"{APP}/v1")).status == 200
    assert [a["digest"] for a in await admin.found(APP)] == [digest_of(stray)]
    for digest in pushed.values():
        assert refusal(await admin.get(f"{APP}/{digest}")) == (404, "NOT_FOUND")


async def test_a_missing_repository_has_no_artifacts(app: App, admin: Api, as_user: AsUser, anonymous: Api) -> None:
    """An empty list, as in Harbor, for whoever may list in the project; others learn nothing."""
    await push_image(app.basic("admin"), "v1", b"one", name="demo/app")
    missing = "/projects/demo/repositories/missing/artifacts"
    await app.account("reader", ("project:demo", "artifact:list,project:read"))
    for who in (admin, as_user("reader")):
        answer = await who.get(missing)
        assert (answer.status, answer.json(), answer["X-Total-Count"]) == (200, [], "0")
    assert refusal(await admin.get("/projects/missing/repositories/missing/artifacts"))[0] == 404
    assert refusal(await as_user("nobody").get(missing)) == (404, "NOT_FOUND")
    assert refusal(await anonymous.get(missing)) == (401, "UNAUTHORIZED")
    await app.publish("demo")
    assert await anonymous.found(missing) == []
    assert refusal(await admin.get(f"{missing}/v1")) == (404, "NOT_FOUND")


async def test_every_icon_can_be_read(admin: Api, anonymous: Api, an_image: bytes) -> None:
    """The one that an artifact names is a picture; one that nobody names is not there."""
    icon = (await admin.found(f"{APP}/v1"))["icon"]
    found = await anonymous.found(f"/icons/{icon}")
    assert found["content-type"] == "image/svg+xml"
    assert base64.b64decode(found["content"]).startswith(b"<svg")
    assert f"sha256:{hashlib.sha256(base64.b64decode(found['content'])).hexdigest()}" == icon
    assert refusal(await admin.get(f"/icons/sha256:{'0' * 64}")) == (404, "NOT_FOUND")


async def test_a_chart_shows_what_is_in_it(admin: Api, client: AsgiClient) -> None:
    """Its description as attributes; values, readme and dependencies as additions."""
    await push_chart(client, chart_archive(values_yaml="a: 1\n", README_md="# App", Chart_yaml="name: app"))
    artifact = await admin.found(f"{APP}/chart")
    assert (artifact["type"], artifact["media_type"]) == ("CHART", CHART_CONFIG)
    assert artifact["extra_attrs"]["version"] == "1.0.0"
    assert set(artifact["addition_links"]) == {"values.yaml", "readme.md", "dependencies"}
    values = await admin.get(f"{APP}/chart/additions/values.yaml")
    assert (values.body, values["Content-Type"]) == (b"a: 1\n", "text/plain; charset=utf-8")
    readme = await admin.get(f"{APP}/chart/additions/readme.md")
    assert (readme.body, readme["Content-Type"]) == (b"# App", "text/markdown; charset=utf-8")
    assert await admin.found(f"{APP}/chart/additions/dependencies") == [{"name": "redis", "version": "^1"}]
    assert refusal(await admin.get(f"{APP}/chart/additions/build_history")) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "archive",
    [
        b"no archive",
        chart_archive(Chart_yaml="name: app"),
        gzip.compress(b"\0" * 200_000_000),
        chart_archive(values_yaml="a")[:-20],
    ],
    ids=["nonsense", "without values", "bomb", "cut off"],
)
async def test_a_broken_chart_has_no_values(admin: Api, client: AsgiClient, archive: bytes) -> None:
    """What cannot be unpacked, or only at a price, is not found; the rest of the artifact is shown."""
    await push_chart(client, archive)
    answer = await admin.get(f"{APP}/chart/additions/values.yaml")
    assert answer.status in (200, 404)
    assert (answer.status, answer.body) == (200, b"a") or refusal(answer) == (404, "NOT_FOUND")
    assert (await admin.found(f"{APP}/chart"))["type"] == "CHART"


@pytest.mark.parametrize(
    "config", [b"[]", b"no json", b'{"config": [1], "author": 7}', b"{" * 5000, b'{"a":"' + b"x" * 2_000_000 + b'"}']
)
async def test_an_image_with_an_odd_configuration_is_still_listed(
    admin: Api, client: AsgiClient, config: bytes
) -> None:
    """Configurations are what clients sent: nonsense, deep nesting and huge ones hide no artifact."""
    await push(client, "odd", image(config, b"layer"), config, b"layer")
    (artifact,) = await admin.found(APP)
    assert artifact["type"] == "IMAGE"
    assert set(artifact["extra_attrs"]) <= {"architecture", "author", "config", "created", "os"}


async def test_q_chooses_by_tag_type_label_and_digest(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """Harbor's special words for tags, kinds and digests; what cannot be asked is said."""
    untagged = await push(client, None, image(b"{}", b"bare"), b"{}", b"bare")
    await push_chart(client, chart_archive(values_yaml="a"))

    async def digests(q: str) -> set[str]:
        return {artifact["digest"] for artifact in await admin.found(f"{APP}?q={q}")}

    everything = await digests("")
    assert len(everything) == 3
    assert await digests("tags%3Dv1") == await digests("tags%3D~V") == {digest_of(an_image)}
    assert await digests("tags%3Dnil") == {digest_of(untagged)}
    assert await digests("tags%3D*") == everything - {digest_of(untagged)}
    assert await digests("type%3DIMAGE,tags%3D*") == {digest_of(an_image)}
    assert await digests("type%3D{IMAGE CHART}".replace(" ", "%20")) == everything
    assert await digests(f"digest%3D{digest_of(an_image)}") == {digest_of(an_image)}
    assert await digests("push_time%3D[2020-01-01~2020-02-01]") == set()
    label = int((await admin.made("/labels", {"name": "good", "scope": "g"})).rpartition("/")[2])
    assert (await admin.post(f"{APP}/v1/labels", {"id": label})).status == 200
    assert await digests(f"labels%3D({label})") == {digest_of(an_image)}
    (labelled,) = await admin.found(f"{APP}?q=tags%3Dv1&with_label=true")
    assert [(one["id"], one["name"], one["scope"]) for one in labelled["labels"]] == [(label, "good", "g")]
    for wrong in ("q=size%3D5", "q=type%3DROCKET", "q=base%3Dx", "sort=labels", "q=labels%3D~x", "page_size=101"):
        assert (await admin.get(f"{APP}?{wrong}")).status in (400, 422), wrong


async def test_pages_go_from_the_newest_push_to_the_oldest(admin: Api, client: AsgiClient) -> None:
    """Or the other way with sort=push_time; the total counts all."""
    pushed = [digest_of(await push(client, f"t{n}", image(b"{}", b"%d" % n), b"{}", b"%d" % n)) for n in range(5)]
    answer = await admin.get(f"{APP}?page=2&page_size=2")
    assert [artifact["digest"] for artifact in answer.json()] == [pushed[2], pushed[1]]
    assert answer["X-Total-Count"] == "5"
    assert 'rel="prev"' in answer["Link"]
    assert 'rel="next"' in answer["Link"]
    upwards = await admin.found(f"{APP}?sort=push_time&page_size=2")
    assert [artifact["digest"] for artifact in upwards] == pushed[:2]


async def test_a_project_shows_the_artifacts_of_all_its_repositories(
    admin: Api, client: AsgiClient, an_image: bytes
) -> None:
    """The newest push first; with latest_in_repository one of each."""
    second = await push(client, "v2", image(b"{}", b"2"), b"{}", b"2")
    deep = await push(client, "v1", image(b"{}", b"3"), b"{}", b"3", name="demo/a/b")
    found = await admin.found("/projects/demo/artifacts")
    assert [(a["repository_name"], a["digest"]) for a in found] == [
        ("demo/a/b", digest_of(deep)),
        ("demo/app", digest_of(second)),
        ("demo/app", digest_of(an_image)),
    ]
    latest = await admin.get("/projects/demo/artifacts?latest_in_repository=true")
    assert [a["digest"] for a in latest.json()] == [digest_of(deep), digest_of(second)]
    assert latest["X-Total-Count"] == "2"
    assert "%252F" in found[0]["addition_links"]["build_history"]["href"]


async def test_tags_are_added_listed_and_taken_off(admin: Api, client: AsgiClient, an_image: bytes, app: App) -> None:
    """A new tag pulls at once; a name in use is a conflict; the manifest outlives its tags."""
    assert (await admin.made(f"{APP}/v1/tags", {"name": "stable"})) == f"{APP}/v1/tags/stable"
    assert (await client.get("/v2/demo/app/manifests/stable")).body == an_image
    assert refusal(await admin.post(f"{APP}/v1/tags", {"name": "stable"})) == (409, "CONFLICT")
    assert refusal(await admin.post(f"{APP}/v1/tags", {"name": "not/a tag"})) == (400, "BAD_REQUEST")
    assert (await admin.post(f"{APP}/v1/tags", {"name": ""})).status == 422
    assert refusal(await admin.post(f"{APP}/absent/tags", {"name": "x"})) == (404, "NOT_FOUND")
    answer = await admin.get(f"{APP}/v1/tags")
    assert [tag["name"] for tag in answer.json()] == ["stable", "v1"]
    assert answer["X-Total-Count"] == "2"
    assert [tag["name"] for tag in await admin.found(f"{APP}/v1/tags?q=name%3D~STA&sort=name")] == ["stable"]
    assert refusal(await admin.delete(f"{APP}/v1/tags/other")) == (404, "NOT_FOUND")
    assert (await admin.delete(f"{APP}/stable/tags/v1")).status == 200
    assert (await admin.delete(f"{APP}/stable/tags/stable")).status == 200
    (artifact,) = await admin.found(APP)
    assert (artifact["digest"], artifact["tags"]) == (digest_of(an_image), [])
    told = [(e.kind, e.actor, e.project) for e in await recorded(app.stores.metadata)][-3:]
    assert told == [("create", "admin", "demo"), ("delete", "admin", "demo"), ("delete", "admin", "demo")]


async def test_a_tag_that_was_moved_meanwhile_is_not_taken_off(
    admin: Api, client: AsgiClient, an_image: bytes, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the caller saw is not what it names by the time of the transaction."""
    delete = Manifests.delete

    async def slowly(self: Manifests, *args: Any, **how: Any) -> None:
        await push_image(app.basic("admin"), "v1", b"newer", name="demo/app")
        await delete(self, *args, **how)

    monkeypatch.setattr(Manifests, "delete", slowly)
    assert refusal(await admin.delete(f"{APP}/{digest_of(an_image)}/tags/v1")) == (404, "NOT_FOUND")
    assert (await client.get("/v2/demo/app/manifests/v1")).status == 200


async def test_labels_go_on_and_off(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """Labels of the artifact's project and of all; those of other projects are unknown here."""
    project = (await admin.found("/projects/demo"))["project_id"]
    own = await admin.made("/labels", {"name": "own", "scope": "p", "project_id": project})
    await admin.made("/projects", {"project_name": "other"})
    other = (await admin.found("/projects/other"))["project_id"]
    foreign = await admin.made("/labels", {"name": "foreign", "scope": "p", "project_id": other})
    own_id, foreign_id = (int(place.rpartition("/")[2]) for place in (own, foreign))
    assert (await admin.post(f"{APP}/v1/labels", {"id": own_id, "name": "whatever"})).status == 200
    assert refusal(await admin.post(f"{APP}/v1/labels", {"id": own_id})) == (409, "CONFLICT")
    assert refusal(await admin.post(f"{APP}/v1/labels", {"id": foreign_id})) == (404, "NOT_FOUND")
    assert (await admin.delete(f"{APP}/v1/labels/{own_id}")).status == 200
    assert refusal(await admin.delete(f"{APP}/v1/labels/{own_id}")) == (404, "NOT_FOUND")


async def test_an_artifact_is_deleted_with_its_tags(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """Also when one of them names it; a part of an index goes only after the index."""
    body = await push(client, "multi", index(entry(an_image)), kind=media_types.OCI_INDEX)
    assert refusal(await admin.delete(f"{APP}/v1")) == (412, "PRECONDITION")
    assert (await admin.delete(f"{APP}/{digest_of(body)}")).status == 200
    await admin.post(f"{APP}/v1/tags", {"name": "second"})
    assert (await admin.delete(f"{APP}/second")).status == 200
    assert await admin.found(APP) == []
    assert (await client.get("/v2/demo/app/manifests/v1")).status == 404
    assert refusal(await admin.get(f"{APP}/v1")) == (404, "NOT_FOUND")


async def test_copying_moves_no_bytes(admin: Api, client: AsgiClient, an_image: bytes, app: App) -> None:
    """An index with its images and their signatures is there after, by tag or digest; the source stays."""
    signature = image(b"{}", artifactType="application/x.signature", subject=entry(an_image))
    await push(client, None, signature, b"{}")
    body = await push(client, "multi", index(entry(an_image)), kind=media_types.OCI_INDEX)
    await admin.made("/projects", {"project_name": "target"})
    target = "/projects/target/repositories/deep%252Fcopy/artifacts"
    place = await admin.made(f"{target}?from=demo/app:multi", None)
    assert place == f"{target}/multi"
    found = await admin.found(f"{target}/multi")
    assert (found["digest"], found["repository_name"]) == (digest_of(body), "target/deep/copy")
    copied = await admin.found(f"{target}/{digest_of(an_image)}")
    assert [a["digest"] for a in copied["accessories"]] == [digest_of(signature)]
    for layer in (b"layer one", CONFIG):
        assert (await client.get(f"/v2/target/deep/copy/blobs/{digest_of(layer)}")).body == layer
    await admin.made(f"/projects/target/repositories/one/artifacts?from=demo/app@{digest_of(an_image)}", None)
    (by_digest,) = await admin.found("/projects/target/repositories/one/artifacts")
    assert [tag["name"] for tag in by_digest["tags"]] == ["v1"]
    assert (await client.get("/v2/demo/app/manifests/multi")).body == body


async def test_copying_takes_all_tags_along(app: App, as_user: AsUser, client: AsgiClient, an_image: bytes) -> None:
    """And signatures with theirs, as Harbor does; of tags only those that the caller may read there and set here."""
    sig = f"{digest_of(an_image).replace(':', '-')}.sig"
    await push(client, sig, image(b"{}", b"sig"), b"{}", b"sig")
    admin = as_user("admin")
    for name in ("v1.0", "latest", "internal"):
        await admin.made(f"{APP}/v1/tags", {"name": name})
    await admin.made("/projects", {"project_name": "target"})
    await admin.made("/projects/target/repositories/app/artifacts?from=demo/app:v1", None)
    (copied,) = await admin.found("/projects/target/repositories/app/artifacts")
    assert {tag["name"] for tag in copied["tags"]} == {"v1", "v1.0", "latest", "internal"}
    assert [each["type"] for each in copied["accessories"]] == ["signature.cosign"]
    some = await app.account("some", ("project:demo", "artifact:read,repository:pull"))
    rights = permissions_of("artifact:create,repository:push,repository:pull,repository:read")
    await app.stores.metadata.write(
        lambda tx: grants.add(
            tx, principal_id=some.id, permissions=rights, repositories="target/some", tags="v*", origin="test"
        )
    )
    await as_user("some").made("/projects/target/repositories/some/artifacts?from=demo/app:v1", None)
    (copied,) = await admin.found("/projects/target/repositories/some/artifacts")  # the signature's tag may not be set
    assert {tag["name"] for tag in copied["tags"]} == {"v1", "v1.0"}


async def test_artifacts_are_sorted_by_any_column(admin: Api, client: AsgiClient, an_image: bytes) -> None:
    """In a repository and in a project, either way, by several columns, page by page."""
    await push_chart(client, chart_archive(values_yaml="a: 1"))
    for size, name in ((50, "demo/zoo"), (10, "demo/app"), (50, "demo/app")):
        layer = name.encode() * size
        await push(client, f"t{size}", image(b"{}", layer), b"{}", layer, name=name)
    await client.get("/v2/demo/app/manifests/t10")
    columns = (
        "id",
        "digest",
        "size",
        "type",
        "media_type",
        "artifact_type",
        "manifest_media_type",
        "push_time",
        "pull_time",
    )
    for place, fields in ((APP, columns), ("/projects/demo/artifacts", (*columns, "repository_name"))):
        every = await admin.found(f"{place}?page_size=100")
        for field in fields:
            up, down = [await admin.found(f"{place}?sort={sign}{field}") for sign in ("", "-")]
            assert [a[field] for a in up] == sorted(a[field] for a in every)
            assert [a[field] for a in down] == sorted((a[field] for a in every), reverse=True)
            second = await admin.get(f"{place}?sort={field}&page_size=2&page=2")
            assert (second.json(), second["X-Total-Count"]) == (up[2:4], str(len(every)))
    both = await admin.found("/projects/demo/artifacts?sort=repository_name,-size")
    assert [(a["repository_name"], -a["size"]) for a in both] == sorted(
        (a["repository_name"], -a["size"]) for a in both
    )
    (chart,) = await admin.found(f"{APP}?sort=-size&q=type%3DCHART")
    assert chart["type"] == "CHART"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("demo/app:absent", 404),
        ("demo/absent:v1", 404),
        ("absent/app:v1", 404),
        ("demo/app", 400),
        ("demo/app@sha256:short", 400),
        ("demo/app:", 400),
        (":v1", 400),
        ("", 400),
    ],
)
async def test_what_cannot_be_copied(admin: Api, an_image: bytes, source: str, status: int) -> None:
    """What is not there is not found; what cannot be read is said."""
    await admin.made("/projects", {"project_name": "target"})
    answer = await admin.post(f"/projects/target/repositories/x/artifacts?from={source}")
    assert answer.status == status, answer.body
    assert (await admin.post("/projects/nowhere/repositories/x/artifacts?from=demo/app:v1")).status == 404


async def test_copying_needs_rights_on_both_sides(app: App, as_user: AsUser, an_image: bytes) -> None:
    """Who may push to a project cannot bring there what they may not pull."""
    await app.account("bob", ("project:target", "project:read,artifact:create"))
    path = "/projects/target/repositories/x/artifacts?from=demo/app:v1"
    assert refusal(await as_user("bob").post(path)) == (404, "NOT_FOUND")
    await app.account(
        "carol", ("project:target", "project:read,artifact:create"), ("project:demo", "project:read,artifact:read")
    )
    assert refusal(await as_user("carol").post(path)) == (403, "FORBIDDEN")
    await app.account("dave", ("project:target", "project:read"), ("project:demo", "project:read,artifact:read,pull"))
    assert refusal(await as_user("dave").post(path)) == (403, "FORBIDDEN")
    await app.account("erin", ("project:target", "artifact:create"), ("repositories:demo/app", "artifact:read,pull"))
    assert (await as_user("erin").post(path)).status == 201


async def test_pulls_are_counted_without_writing(open_registry: Opener) -> None:
    """A pull writes nothing; all that were noted are written in one transaction, and seen after."""
    noted: list[int] = []
    app = await open_registry(signed_in=True, services={"count_pull": noted.append})
    counter = PullCounter(app.stores.metadata)
    await app.account("admin", ("*", "*"))
    admin, client = Api(app.basic("admin")), app.basic("admin")
    part = await push(client, None, image(CONFIG, b"layer"), CONFIG, b"layer")
    await push(client, "multi", index(entry(part)), kind=media_types.OCI_INDEX)
    before = app.stores.metadata.statistics.transactions
    for reference in ("multi", digest_of(part), "multi", digest_of(part)):
        assert (await client.get(f"/v2/demo/app/manifests/{reference}")).status == 200
        assert (await client.head(f"/v2/demo/app/manifests/{reference}")).status == 200
    assert app.stores.metadata.statistics.transactions == before
    assert (await admin.found(f"{APP}/multi"))["pull_time"] == NEVER
    for manifest_id in noted:
        counter.note(manifest_id)
    await counter.flush()
    await counter.flush()
    assert app.stores.metadata.statistics.transactions == before + 1
    found = await admin.found(f"{APP}/multi")
    assert found["pull_time"] > found["push_time"]
    assert found["tags"][0]["pull_time"] == found["pull_time"]
    assert (await admin.found("/projects/demo/repositories/app"))["pull_count"] == 2


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "", "artifact:list"),
        ("GET", "/v1", "artifact:read"),
        ("DELETE", "/v1", "artifact:delete"),
        ("GET", "/v1/tags", "tag:list"),
        ("DELETE", "/v1/tags/v1", "tag:delete"),
        ("GET", "/v1/accessories", "accessory:list"),
        ("GET", "/v1/additions/build_history", "artifact-addition:read"),
        ("DELETE", "/v1/labels/1", "artifact-label:delete"),
    ],
)
async def test_each_route_needs_its_own_right(
    app: App, as_user: AsUser, anonymous: Api, an_image: bytes, method: str, path: str, right: str
) -> None:
    """Without it 403 to who sees the project, 404 to who does not, 401 to who has not signed in."""
    await app.account("guest", ("project:demo", "project:read"))
    await app.account("holder", ("project:demo", f"project:read,{right}"))
    assert refusal(await anonymous.send(method, APP + path)) == (401, "UNAUTHORIZED")
    assert refusal(await as_user("nobody").send(method, APP + path)) == (404, "NOT_FOUND")
    assert refusal(await as_user("guest").send(method, APP + path)) == (403, "FORBIDDEN")
    done = await as_user("holder").send(method, APP + path)
    assert done.status == (404 if "labels" in path else 200)
