"""The cases: what each endpoint of the distribution specification (1.1) is asked, in an order in which they build up.

They are named by the specification's ids of its endpoints ("Endpoints"). What it leaves open is not held against a
registry: such a case says why it was not tried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from entrepot.cli.protocol.client import Failed, NotTried, Probe, digest_of, fresh, header, hold, json_of, raw_of
from entrepot.oci import media_type as media_types

_EMPTY: Final = b"{}"
_NOWHERE: Final = "entrepot-doctor/nothing-is-here"
_UNKNOWN: Final = f"sha256:{'0' * 64}"
_ANY: Final = {"accept": ", ".join(sorted(media_types.MANIFEST_TYPES))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a registry has to do."""

    endpoint: str  #: the specification's id
    title: str
    run: Callable[[Probe], Awaitable[None]]
    writes: bool  #: only with a scratch repository


CASES: Final[list[Case]] = []
_Run = Callable[[Probe], Awaitable[None]]


def _case(endpoint: str, title: str, *, writes: bool = True) -> Callable[[_Run], _Run]:
    def keep(run: _Run) -> _Run:
        CASES.append(Case(endpoint=endpoint, title=title, run=run, writes=writes))
        return run

    return keep


def _image(*layers: bytes, **more: Any) -> dict[str, Any]:
    """Write an image manifest; its blobs are to be pushed before."""
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": _descriptor(_EMPTY, media_types.OCI_CONFIG),
        "layers": [_descriptor(layer, media_types.OCI_LAYER) for layer in layers],
        **more,
    }


def _descriptor(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


async def _push_image(probe: Probe, tag: str = "", **more: Any) -> tuple[dict[str, Any], str]:
    """Push an image of one layer; return its manifest and digest."""
    layer = fresh()
    for content in (_EMPTY, layer):
        await probe.push_blob(content)
    document = _image(layer, **more)
    _, digest = await probe.push_manifest(document, tag)
    return document, digest


# --- without writing -------------------------------------------------------------------------------------------------


@_case("end-1", "GET /v2/ says that this is a registry", writes=False)
async def _base(probe: Probe) -> None:
    await probe.ask("GET", "/v2/", 200)


@_case("end-2", "a blob that is not there is 404, for GET and HEAD", writes=False)
async def _unknown_blob(probe: Probe) -> None:
    for method in ("GET", "HEAD"):
        await probe.ask(method, f"/v2/{_NOWHERE}/blobs/{_UNKNOWN}", 404)


@_case("end-2", "a blob by what is no digest is refused", writes=False)
async def _bad_digest(probe: Probe) -> None:
    await probe.ask("GET", f"/v2/{_NOWHERE}/blobs/sha256:bad", 400, 404)


@_case("end-3", "a manifest that is not there is 404, for GET and HEAD", writes=False)
async def _unknown_manifest(probe: Probe) -> None:
    for method in ("GET", "HEAD"):
        for reference in ("no-such-tag", _UNKNOWN):
            await probe.ask(method, f"/v2/{_NOWHERE}/manifests/{reference}", 404, headers=_ANY)


@_case("end-3", "errors are JSON, with codes", writes=False)
async def _error_form(probe: Probe) -> None:
    errors = json_of(await probe.ask("GET", f"/v2/{_NOWHERE}/manifests/no-such-tag", 404, headers=_ANY)).get("errors")
    hold(isinstance(errors, list) and errors, "the body of a 404 lists no errors")
    hold({"NAME_UNKNOWN", "MANIFEST_UNKNOWN"} & {one.get("code") for one in errors}, f"its errors are {errors}")


@_case("end-8a", "tags of a repository that is not there are 404", writes=False)
async def _unknown_tags(probe: Probe) -> None:
    await probe.ask("GET", f"/v2/{_NOWHERE}/tags/list", 404)


@_case("end-12a", "what refers to something unknown is an empty index", writes=False)
async def _no_referrers(probe: Probe) -> None:
    answer = await probe.ask("GET", f"/v2/{_NOWHERE}/referrers/{_UNKNOWN}", 200)
    index = json_of(answer)
    hold(index.get("mediaType") == media_types.OCI_INDEX, f"its type is {index.get('mediaType')}")
    hold(index.get("manifests") == [], f"it lists {index.get('manifests')}")


# --- blobs -----------------------------------------------------------------------------------------------------------


@_case("end-4a", "POST opens a session")
async def _open(probe: Probe) -> None:
    await probe.start_upload()


@_case("end-13", "GET on a session says how far it is, and where to go on")
async def _status(probe: Probe) -> None:
    location = await probe.start_upload()
    sent = await probe.ask("PATCH", location, 202, body=fresh(10), headers={"content-range": "0-9"})
    answer = await probe.ask("GET", header(sent, "location"), 204)
    hold(header(answer, "range") == "0-9", f"its Range is {answer.headers['range']} in place of 0-9")
    header(answer, "location")


@_case("end-6", "PUT with the whole blob stores it; it is pulled where Location says")
async def _whole(probe: Probe) -> None:
    content = fresh()
    answer = await probe.finish(await probe.start_upload(), digest_of(content), content)
    pulled = await probe.ask("GET", header(answer, "location"), 200)
    hold(pulled.body == content, "it comes back with other bytes")


@_case("end-4b", "POST with a digest and the whole blob stores it, or opens a session")
async def _single_post(probe: Probe) -> None:
    content = fresh()
    digest = digest_of(content)
    path = f"/v2/{probe.scratch}/blobs/uploads/?digest={digest}"
    answer = await probe.ask("POST", path, 201, 202, body=content)
    if answer.status == 202:  # noqa: PLR2004 - the specification allows it
        await probe.finish(header(answer, "location"), digest, content)
    probe.blobs.append((probe.scratch, digest))
    await probe.ask("HEAD", f"/v2/{probe.scratch}/blobs/{digest}", 200)


@_case("end-5", "PATCH takes a stream, and PUT without a body ends it")
async def _streamed(probe: Probe) -> None:
    content = fresh()
    sent = await probe.ask("PATCH", await probe.start_upload(), 202, body=content)
    await probe.finish(header(sent, "location"), digest_of(content))


@_case("end-5", "chunks are taken in order; Range says how far they are")
async def _chunks(probe: Probe) -> None:
    content, location = fresh(300), await probe.start_upload()
    for start in (0, 100):
        ranged = {"content-range": f"{start}-{start + 99}"}
        sent = await probe.ask("PATCH", location, 202, body=content[start : start + 100], headers=ranged)
        hold(header(sent, "range") == f"0-{start + 99}", f"after {start + 100} bytes Range is {sent.headers['range']}")
        location = header(sent, "location")
    await probe.finish(location, digest_of(content), content[200:])


@_case("end-5", "a chunk out of order is 416")
async def _out_of_order(probe: Probe) -> None:
    location, ranged = await probe.start_upload(), {"content-range": "100-199"}
    await probe.ask("PATCH", location, 416, body=fresh(100), headers=ranged)


@_case("end-5", "a chunk that is sent twice is not added twice")
async def _repeated(probe: Probe) -> None:
    content, location, ranged = fresh(100), await probe.start_upload(), {"content-range": "0-99"}
    await probe.ask("PATCH", location, 202, body=content, headers=ranged)
    again = await probe.ask("PATCH", location, body=content, headers=ranged)
    hold(400 <= again.status < 500, f"the second one is answered {again.status}")  # noqa: PLR2004 - a refusal


@_case("end-6", "bytes that have another digest are 400")
async def _wrong_digest(probe: Probe) -> None:
    location = await probe.start_upload()
    joint = "&" if "?" in location else "?"
    await probe.ask("PUT", f"{location}{joint}digest={_UNKNOWN}", 400, body=fresh())


@_case("end-2", "a blob is pulled by GET and described by HEAD")
async def _pull_blob(probe: Probe) -> None:
    content = fresh()
    path = f"/v2/{probe.scratch}/blobs/{await probe.push_blob(content)}"
    answer, head = await probe.ask("GET", path, 200), await probe.ask("HEAD", path, 200)
    hold(answer.body == content, "it comes back with other bytes")
    hold(header(head, "content-length") == str(len(content)), f"HEAD says {head.headers['content-length']} bytes")


@_case("end-2", "a range of a blob is 206, one beyond its end 416")
async def _ranges(probe: Probe) -> None:
    content = fresh()
    path = f"/v2/{probe.scratch}/blobs/{await probe.push_blob(content)}"
    answer = await probe.ask("GET", path, 200, 206, headers={"range": "bytes=10-19"})
    if answer.status == 200:  # noqa: PLR2004 - the specification says "should"
        raise NotTried("ranges are ignored, which is allowed")
    hold(answer.body == content[10:20], "the range has other bytes")
    hold(header(answer, "content-range") == "bytes 10-19/1024", f"Content-Range is {answer.headers['content-range']}")
    await probe.ask("GET", path, 416, headers={"range": "bytes=5000-"})


@_case("end-11", "a blob of another repository is mounted, or a session opened")
async def _mount(probe: Probe) -> None:
    digest, target = await probe.push_blob(fresh()), f"{probe.scratch}-mounted"
    answer = await probe.ask("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={probe.scratch}", 201, 202)
    if answer.status == 202:  # noqa: PLR2004 - allowed
        probe.uploads.append(header(answer, "location"))
        raise NotTried("mounts are declined, which is allowed")
    probe.blobs.append((target, digest))
    await probe.ask("HEAD", f"/v2/{target}/blobs/{digest}", 200)


@_case("end-11", "a mount of what is not there opens a session")
async def _mount_of_nothing(probe: Probe) -> None:
    await probe.start_upload(f"?mount={_UNKNOWN}&from={probe.scratch}")


@_case("end-10", "DELETE of a blob takes it away")
async def _delete_blob(probe: Probe) -> None:
    path = f"/v2/{probe.scratch}/blobs/{await probe.push_blob(fresh())}"
    answer = await probe.ask("DELETE", path, 202, 405)
    if answer.status == 405:  # noqa: PLR2004 - allowed
        raise NotTried("blobs cannot be deleted, which is allowed")
    await probe.ask("GET", path, 404)


# --- manifests -------------------------------------------------------------------------------------------------------


@_case("end-7a", "PUT of a manifest by tag: 201 and where it is pulled; byte for byte the same by tag and digest")
async def _push_by_tag(probe: Probe) -> None:
    layer = fresh()
    for content in (_EMPTY, layer):
        await probe.push_blob(content)
    answer, digest = await probe.push_manifest(_image(layer), "by-tag")
    for path in (header(answer, "location"), *(f"/v2/{probe.scratch}/manifests/{one}" for one in ("by-tag", digest))):
        pulled = await probe.ask("GET", path, 200, headers=_ANY)
        hold(digest_of(pulled.body) == digest, f"{urlsplit(path).path} has other bytes")
        hold(
            header(pulled, "content-type") == media_types.OCI_MANIFEST, f"its type is {pulled.headers['content-type']}"
        )


@_case("end-7a", "PUT of a manifest by digest needs no tag")
async def _push_by_digest(probe: Probe) -> None:
    _, digest = await _push_image(probe)
    await probe.ask("GET", f"/v2/{probe.scratch}/manifests/{digest}", 200, headers=_ANY)


@_case("end-3", "HEAD of a manifest says its length")
async def _head_manifest(probe: Probe) -> None:
    _, digest = await _push_image(probe, "head")
    body = (await probe.ask("GET", f"/v2/{probe.scratch}/manifests/{digest}", 200, headers=_ANY)).body
    head = await probe.ask("HEAD", f"/v2/{probe.scratch}/manifests/head", 200, headers=_ANY)
    hold(header(head, "content-length") == str(len(body)), f"HEAD says {head.headers['content-length']} bytes")
    told = head.headers.get("docker-content-digest", digest)
    hold(told == digest, f"Docker-Content-Digest is {told}")


@_case("end-7a", "what is no manifest is refused")
async def _no_manifest(probe: Probe) -> None:
    headers = {"content-type": media_types.OCI_MANIFEST}
    await probe.ask("PUT", f"/v2/{probe.scratch}/manifests/broken", 400, body=b'{"schemaVersion":', headers=headers)


@_case("end-7a", "a manifest whose blobs are missing is refused")
async def _missing_blobs(probe: Probe) -> None:
    await probe.push_blob(_EMPTY)
    try:
        await probe.push_manifest(_image(fresh()))
    except Failed:
        return
    raise Failed("it is taken, and nobody can pull it")


@_case("end-7a", "a tag can be moved")
async def _move(probe: Probe) -> None:
    await _push_image(probe, "moved")
    _, digest = await _push_image(probe, "moved")
    pulled = await probe.ask("GET", f"/v2/{probe.scratch}/manifests/moved", 200, headers=_ANY)
    hold(digest_of(pulled.body) == digest, "the tag names what it named before")


# --- lists -----------------------------------------------------------------------------------------------------------


@_case("end-8a", "tags are listed in order")
async def _tags(probe: Probe) -> None:
    document, _ = await _push_image(probe, "list-b")
    await probe.push_manifest(document, "list-a")
    listed = json_of(await probe.ask("GET", f"/v2/{probe.scratch}/tags/list", 200))
    hold(listed.get("name") == probe.scratch, f"the name is {listed.get('name')}")
    tags = listed.get("tags") or []
    hold({"list-a", "list-b"} <= set(tags), "tags that were pushed are missing")
    hold(tags == sorted(tags), "they are not in lexical order")


@_case("end-8b", "tags come in pages of n, after last")
async def _pages(probe: Probe) -> None:
    document, _ = await _push_image(probe, "page-a")
    await probe.push_manifest(document, "page-b")
    path = f"/v2/{probe.scratch}/tags/list"
    tags = json_of(await probe.ask("GET", f"{path}?n=1", 200)).get("tags") or []
    hold(len(tags) == 1, f"n=1 gives {len(tags)} tags")
    hold(json_of(await probe.ask("GET", f"{path}?n=0", 200)).get("tags") in ([], None), "n=0 gives some")
    after = json_of(await probe.ask("GET", f"{path}?n=1&last=page-a", 200)).get("tags")
    hold(after == ["page-b"], f"one after page-a is {after}")


@_case("end-7a", "a manifest with a subject is acknowledged by OCI-Subject")
async def _subject(probe: Probe) -> None:
    document, digest = await _push_image(probe)
    answer, _ = await probe.push_manifest(await _about(probe, document, digest, "application/x.first"))
    hold(answer.headers.get("oci-subject") == digest, f"OCI-Subject is {answer.headers.get('oci-subject')}")


@_case("end-12a", "what refers to a manifest is listed, also when it came first")
async def _referrers(probe: Probe) -> None:
    layer = fresh()
    for content in (_EMPTY, layer):
        await probe.push_blob(content)
    document = _image(layer)
    about = await _about(probe, document, digest_of(raw_of(document)), "application/x.first")
    _, first = await probe.push_manifest(about)
    _, digest = await probe.push_manifest(document)
    index = json_of(await probe.ask("GET", f"/v2/{probe.scratch}/referrers/{digest}", 200))
    found = index.get("manifests") or []
    hold([one.get("digest") for one in found] == [first], f"it lists {[one.get('digest') for one in found]}")
    hold(found[0].get("artifactType") == "application/x.first", f"artifactType is {found[0].get('artifactType')}")


@_case("end-12b", "what refers to a manifest is filtered by its type")
async def _filtered(probe: Probe) -> None:
    document, digest = await _push_image(probe)
    for kind in ("application/x.first", "application/x.second"):
        await probe.push_manifest(await _about(probe, document, digest, kind))
    path = f"/v2/{probe.scratch}/referrers/{digest}?artifactType=application/x.second"
    answer = await probe.ask("GET", path, 200)
    if "oci-filters-applied" not in answer.headers:
        raise NotTried("filters are not applied, which is allowed")
    kinds = [one.get("artifactType") for one in json_of(answer).get("manifests") or []]
    hold(kinds == ["application/x.second"], f"it lists {kinds}")


async def _about(probe: Probe, document: dict[str, Any], digest: str, kind: str) -> dict[str, Any]:
    """Write an artifact about a manifest, and push what it needs."""
    await probe.push_blob(_EMPTY)
    subject = {"mediaType": document["mediaType"], "digest": digest, "size": len(raw_of(document))}
    return _image(artifactType=kind, config=_descriptor(_EMPTY, media_types.OCI_EMPTY), subject=subject) | {
        "layers": [_descriptor(_EMPTY, media_types.OCI_EMPTY)]
    }


# --- deletes ---------------------------------------------------------------------------------------------------------


@_case("end-9", "DELETE by tag takes the tag away")
async def _delete_tag(probe: Probe) -> None:
    await _push_image(probe, "deleted")
    path = f"/v2/{probe.scratch}/manifests/deleted"
    answer = await probe.ask("DELETE", path, 202, 400, 405)
    if answer.status != 202:  # noqa: PLR2004 - allowed
        raise NotTried("tags cannot be deleted, which is allowed")
    await probe.ask("GET", path, 404, headers=_ANY)


@_case("end-9", "DELETE by digest takes the manifest and its tags away")
async def _delete_manifest(probe: Probe) -> None:
    _, digest = await _push_image(probe, "gone")
    answer = await probe.ask("DELETE", f"/v2/{probe.scratch}/manifests/{digest}", 202, 400, 405)
    if answer.status != 202:  # noqa: PLR2004 - allowed
        raise NotTried("manifests cannot be deleted, which is allowed")
    for reference in (digest, "gone"):
        await probe.ask("GET", f"/v2/{probe.scratch}/manifests/{reference}", 404, headers=_ANY)
