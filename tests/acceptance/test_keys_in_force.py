"""What a configuration says, a running registry does: each key that no other test shows on a whole registry."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_client import OCI_MANIFEST, Answer, Client, eventually
from tests.support.ports import free_port
from tests.support.server import Server, ServerFailed

OPEN = {"auth": {"none": {}}}
UPLOADS = "/v2/a/b/blobs/uploads/"


def records(server: Server) -> list[dict[str, Any]]:
    """Read what a registry wrote in one of the forms for machines."""
    return [json.loads(line) for line in server.logs().splitlines() if line.startswith("{")]


@pytest.mark.parametrize(("form", "message", "at"), [("json", "msg", "time"), ("logstash", "message", "@timestamp")])
def test_the_log_has_the_form_and_fields_of_the_configuration(form: str, message: str, at: str) -> None:
    """log.formatter, fields and reportcaller hold for the log, and the first two for the access log beside it."""
    log = {"formatter": form, "fields": {"environment": "staging"}, "reportcaller": True}
    with Server({**OPEN, "log": log}) as server:
        answer = Client.of(server).request("GET", "/v2/a/b/tags/list", headers={"User-Agent": "tester"})
        assert server.stop() == 0
        said = records(server)
        assert said
        assert all(at in entry and entry["environment"] == "staging" for entry in said)
        (access,) = [entry for entry in said if entry[message] == "response completed" and entry["route"] == "tags"]
        assert (access["http.response.status"], access["http.request.useragent"]) == (404, "tester")
        assert access["http.request.id"] == answer.headers["x-request-id"]
        (listening,) = [entry for entry in said if entry[message].startswith("listening on ")]
        assert re.search(r"/announcement\.py:\d+$", listening["file"])


def test_the_text_log_its_level_and_no_metrics_unasked() -> None:
    """By default the access log is Apache's and records are logfmt; `log.level: error` keeps back what is less."""
    with Server({**OPEN, "http": {"host": "https://hub.example:8443"}}) as server:
        client = Client.of(server)
        assert client.request("GET", "/v2/").status == 200
        location = client.request("POST", UPLOADS).headers["location"]
        assert location.startswith("https://hub.example:8443/v2/a/b/blobs/uploads/")  # `http.host`, on the way
        assert server.stop() == 0
        assert re.search(r'^127\.0\.0\.1 - - \[.*\] "GET /v2/ HTTP/1\.1" 200 2 "" ""$', server.logs(), re.MULTILINE)
        assert re.search(r'^time="\S+" level=info msg="stopping; .*" seconds=30\.0$', server.logs(), re.MULTILINE)
    quiet = {**OPEN, "log": {"level": "error", "accesslog": {"disabled": True}}}
    without_metrics = {"debug": {"prometheus": {"enabled": False}}}
    with Server({**quiet, "http": without_metrics}) as server:
        assert Client.of(server).request("GET", "/v2/").status == 200
        debug = Client(url=server.debug_url)
        assert (debug.request("GET", "/debug/health").status, debug.request("GET", "/metrics").status) == (200, 404)
        assert server.stop() == 0
        assert "GET /v2/" not in server.logs()
        assert "level=" not in server.logs()


@pytest.fixture(scope="module")
def changed() -> Iterator[Server]:
    """A registry with all that can be told apart from the usual at one address."""
    http = {
        "prefix": "/my/registry/",
        "relativeurls": True,
        "headers": {"X-Served-By": ["entrepot", "two"], "X-Content-Type-Options": ["none"]},
        "limits": {"headercount": 20, "headersize": 2048, "urilength": 600},
        "debug": {"addr": "127.0.0.1:0", "prometheus": {"enabled": True, "path": "/numbers"}},
        "trustedproxies": ["192.0.2.0/24"],
    }
    validation = {"manifests": {"urls": {"allow": ["^https://layers[.]example/"]}, "indexes": {"platforms": "none"}}}
    config = {**OPEN, "http": http, "catalog": {"maxentries": 2}, "tags": {"maxtags": 2}, "validation": validation}
    with Server(config) as running:
        yield running


def at_prefix(server: Server) -> Client:
    """Give a client whose paths begin below the prefix."""
    return Client(url=server.url)


def put(client: Client, path: str, manifest: dict[str, Any], media_type: str = OCI_MANIFEST) -> Answer:
    """Push a manifest."""
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, **manifest}).encode()
    return client.request("PUT", path, body, {"Content-Type": media_type})


def codes(answer: Answer) -> list[str]:
    """Give the codes of an answer's errors."""
    return [error["code"] for error in answer.json()["errors"]]


def test_http_prefix_relativeurls_and_headers(changed: Server) -> None:
    """Everything lies below the prefix, Locations are paths, and the headers are on every answer, in place of ours."""
    client = at_prefix(changed)
    assert client.request("GET", "/v2/").status == 404
    answer = client.request("GET", "/my/registry/v2/")
    assert answer.status == 200
    assert (answer.headers["x-served-by"], answer.headers["x-content-type-options"]) == ("two", "none")
    opened = client.request("POST", f"/my/registry{UPLOADS}")
    assert opened.headers["location"].startswith("/my/registry/v2/a/b/blobs/uploads/")
    assert client.request("GET", opened.headers["location"]).status == 204


def test_http_limits(changed: Server) -> None:
    """Too many headers, too large ones and too long an address are refused by the configured limits."""
    client = at_prefix(changed)
    many = {f"X-{number}": "x" for number in range(25)}
    assert client.request("GET", "/my/registry/v2/", headers=many).status == 431
    assert client.request("GET", "/my/registry/v2/", headers={"X-Large": "x" * 2048}).status == 431
    assert client.request("GET", f"/my/registry/v2/?{'x' * 600}").status == 414
    assert client.request("GET", "/my/registry/v2/", headers=dict(list(many.items())[:15])).status == 200


def test_catalog_tags_validation_and_deletes(changed: Server) -> None:
    """Page sizes, rules for URLs, indexes without their images, and no deletes since nobody allowed them."""
    client = at_prefix(changed)
    root = "/my/registry/v2"
    blob = upload(client, f"{root}/a/b", b"{}")
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": blob, "size": 2}
    for tag in "123":
        assert put(client, f"{root}/a/b/manifests/{tag}", {"config": config, "layers": []}).status == 201
    assert client.request("GET", f"{root}/a/b/tags/list?n=3").json()["tags"] == ["1", "2"]
    assert client.request("GET", f"{root}/_catalog?n=2").status == 200
    assert codes(client.request("GET", f"{root}/_catalog?n=3")) == ["PAGINATION_NUMBER_INVALID"]
    assert codes(client.request("DELETE", f"{root}/a/b/manifests/1")) == ["UNSUPPORTED"]
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    for url, status in (("https://layers.example/x", 201), ("https://elsewhere.example/x", 400)):
        layer = {"mediaType": foreign, "digest": f"sha256:{'0' * 64}", "size": 1, "urls": [url]}
        assert put(client, f"{root}/a/b/manifests/far", {"config": config, "layers": [layer]}).status == status
    index = "application/vnd.oci.image.index.v1+json"
    child = {"mediaType": OCI_MANIFEST, "digest": f"sha256:{'1' * 64}", "size": 1}
    assert put(client, f"{root}/a/b/manifests/sparse", {"manifests": [child]}, index).status == 201


def upload(client: Client, repository: str, data: bytes) -> str:
    """Push a blob with one request."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert client.request("POST", f"{repository}/blobs/uploads/?digest={digest}", data).status == 201
    return digest


def test_prometheus_path_and_registry2s_names(changed: Server) -> None:
    """Metrics lie where the configuration says, and have registry:2's names, those of the storage too."""
    client, debug = at_prefix(changed), Client(url=changed.debug_url)
    upload(client, "/my/registry/v2/metrics/x", b"counted")
    assert client.request("GET", "/my/registry/v2/metrics/x/blobs/none").status == 400
    assert debug.request("GET", "/metrics").status == 404
    wanted = {
        "registry_http_requests_total",
        "registry_http_request_duration_seconds_bucket",
        "registry_http_request_size_bytes_bucket",
        "registry_http_response_size_bytes_bucket",
        "registry_http_in_flight_requests",
        'registry_storage_action_seconds_bucket{action="Writer",driver="filesystem"',
    }

    def shown() -> bool:
        text = debug.request("GET", "/numbers").body.decode()
        return all(re.search(rf"^{re.escape(name)}[{{,]", text, re.MULTILINE) for name in wanted)

    eventually(shown, what="registry:2's names")


def test_strangers_do_not_say_where_we_are(changed: Server) -> None:
    """Whoever is not among http.trustedproxies cannot change the address or the client that the log names."""
    client = at_prefix(changed)
    client.request("GET", "/my/registry/v2/?stranger", headers={"X-Forwarded-For": "203.0.113.9"})
    changed.wait_for_log(r"127\.0\.0\.1 - - \[.*\?stranger")


def test_proxies_are_believed(tmp_path: Path) -> None:
    """http.trustedproxies: the proxy's word makes the Location and the client of the access log."""
    config = {"auth": {"none": {}}, "http": {"trustedproxies": ["127.0.0.0/8"]}}
    said = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "registry.example",
        "X-Request-Id": "of-the-proxy-1",
    }
    with Server(config) as server:
        answer = Client.of(server).request("POST", UPLOADS, headers=said)
        assert answer.headers["location"].startswith("https://registry.example/v2/a/b/blobs/uploads/")
        assert answer.headers["x-request-id"] == "of-the-proxy-1"
        server.wait_for_log(r'203\.0\.113\.9 - - \[.*"POST /v2/a/b/blobs/uploads/ ')


def test_read_only_by_the_configuration() -> None:
    """With storage.maintenance.readonly pushes and deletes are refused, and the switch's status says why."""
    readonly = {"maintenance": {"readonly": {"enabled": True}}, "delete": {"enabled": True}}
    with Server({**OPEN, "storage": readonly}) as server:
        client = Client.of(server)
        refused = client.request("POST", UPLOADS)
        assert (refused.status, codes(refused)) == (405, ["UNSUPPORTED"])
        assert "read-only" in refused.json()["errors"][0]["message"]
        assert client.request("DELETE", "/v2/a/b/manifests/x").status == 405
        status = server.run("readonly", "status", "--config", str(server.folder / "config.yml"))
        assert status == "on (storage.maintenance.readonly in the configuration)\n"


def test_htpasswd_is_read_again_by_every_worker(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """A name added to the file signs in and one that was removed does not, at each worker, without a restart."""
    file = tmp_path / "htpasswd"

    def users(name: str) -> None:
        subprocess.run([tool("htpasswd"), "-Bbc", "-C4", file, name, f"of {name}"], check=True, capture_output=True)

    def statuses(name: str) -> set[int]:
        word = base64.b64encode(f"{name}:of {name}".encode()).decode()
        client = Client(url=server.url, headers={"Authorization": f"Basic {word}"})
        return {client.request("GET", "/v2/").status for _ in range(12)}

    users("anna")
    with Server({"auth": {"htpasswd": {"realm": "tests", "path": str(file)}}}) as server:
        assert statuses("anna") == {200}
        users("bert")
        eventually(lambda: statuses("bert") == {200}, 5, what="the new name everywhere")
        assert statuses("anna") <= {401, 429}


def test_our_own_tokens_are_as_configured() -> None:
    """access.token: issuer, service, algorithm and both lives are those of the configuration."""
    names = {"ISSUER": "house", "SERVICE": "hub", "ALGORITHM": "EdDSA", "EXPIRATION": "2m", "REFRESHEXPIRATION": "1m"}
    env = {f"REGISTRY_ACCESS_TOKEN_{name}": value for name, value in names.items()}
    env["REGISTRY_ACCESS_TOKEN_REFRESH"] = "true"
    with Server(env=env) as server:
        client = Client.of(server)
        challenge = Client(url=server.url).request("GET", "/v2/").headers["www-authenticate"]
        assert challenge.endswith(',service="hub"')
        given = client.request("GET", "/token?service=hub&offline_token=true").json()
        head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in given["token"].split(".")[:2])
        assert (head["alg"], claims["iss"], claims["aud"], given["expires_in"]) == ("EdDSA", "house", "hub", 120)
        bearer = Client(url=server.url, headers={"Authorization": f"Bearer {given['token']}"})
        assert {bearer.request("GET", "/v2/").status for _ in range(8)} == {200}
        form = f"grant_type=refresh_token&service=hub&client_id=x&refresh_token={given['refresh_token']}"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        renewed = Client(url=server.url).request("POST", "/token", form.encode(), kind)
        assert (renewed.status, renewed.json()["expires_in"]) == (200, 120)


def test_health_by_http_and_tcp() -> None:
    """health.http and health.tcp take the registry out of rotation from their threshold on, under their own names."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}/"
    health = {
        "http": [{"uri": uri, "interval": "100ms", "timeout": "1s", "threshold": 2}],
        "tcp": [{"addr": f"127.0.0.1:{port}", "interval": "100ms", "timeout": "1s"}],
    }
    with Server({**OPEN, "health": health}) as server:
        client, debug = Client.of(server), Client(url=server.debug_url)
        eventually(lambda: set(debug.request("GET", "/debug/health").json()) == {uri, f"127.0.0.1:{port}"})
        eventually(lambda: client.request("GET", "/readyz").status == 503)
        assert client.request("GET", "/healthz").status == 200
        with Server(OPEN, listen=f"127.0.0.1:{port}"):
            eventually(lambda: client.request("GET", "/readyz").status == 200)


BAD = {
    "a storage to come": "version: 0.1\nstorage: {s3: {bucket: b}}\n",
    "events that would be lost": "notifications: {endpoints: [{name: live, url: 'http://127.0.0.1:1'}]}\n",
    "a cache of another registry": "proxy: {remoteurl: 'https://registry-1.docker.io'}\n",
    "a wrong type": "log: {level: loud}\n",
    "several": "middleware: {storage: [{name: mine}]}\npolicy: {repository: {classes: [image]}}\n",
    "a middleware without its options": "middleware: {storage: [{name: redirect}]}\n",
    "a key of a CDN that is not there": (
        "middleware: {storage: [{name: fastly, options: {baseurl: c, keyfile: /nowhere}}]}\n"
    ),
    "a certificate that is not there": "http: {tls: {certificate: /nowhere.crt, key: /nowhere.key}}\n",
    "nothing that stops": "redis: {addr: 'localhost:1'}\nhttp: {hots: x, h2c: {enabled: true}}\nloglevel: info\n",
}


@pytest.mark.parametrize("name", BAD)
def test_config_check_says_what_serve_says(name: str, tmp_path: Path) -> None:
    """The reasons not to start, the warnings and the verdict are the same, and nothing is made by the check."""
    head = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}\n"
    text = BAD[name] if BAD[name].startswith("version") else head + BAD[name]
    file = tmp_path / "config.yml"
    file.write_text(text)
    program = str(Path(sys.executable).parent / "entrepot")
    checked = subprocess.run(
        [program, "config", "check", file, "--listen", "127.0.0.1:0", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    verdict = json.loads(checked.stdout)
    assert not (tmp_path / "data").exists()
    assert (checked.returncode, verdict["ok"]) == ((0, True) if not verdict["problems"] else (1, False))
    if verdict["ok"]:
        with Server(text=text) as server:
            logged = re.findall(r'level=warning msg="(.*)"$', server.logs(), re.MULTILINE)
            assert [json.loads(f'"{line}"') for line in logged] == verdict["warnings"]
            assert verdict["warnings"]
        return
    with pytest.raises(ServerFailed) as failed:
        Server(text=text)
    said = re.findall(r"^entrepot: (?!warning: )(.*)$", str(failed.value), re.MULTILINE)
    assert said == verdict["problems"]
    assert re.findall(r"^entrepot: warning: (.*)$", str(failed.value), re.MULTILINE) == verdict["warnings"]


def test_rates_hold_for_all_workers_together() -> None:
    """access.limits: an account that asks too often is refused at each worker, whichever it asked before."""
    with Server({"auth": "accounts", "access": {"limits": {"principal": "20/hour"}}}, workers=3) as server:
        client = Client.of(server)

        def served() -> int:
            return sum(client.request("GET", "/api/v2.0/users/current").status == 200 for _ in range(20))

        assert 0 < served() <= 20
        eventually(lambda: served() == 0, 10, what="the refusal by every worker")
        refused = client.request("GET", "/api/v2.0/users/current")
        assert (refused.status, int(refused.headers["retry-after"]) > 0) == (429, True)


def test_pulls_are_events_where_that_is_wanted() -> None:
    """audit.pulls: who pulled what, from where; without it the log has pushes and no pulls."""
    for wanted in (True, False):
        with Server({"auth": "accounts", "audit": {"pulls": wanted}}) as server:
            client = Client.of(server)
            digest = client.push_image("team/app", "v1")
            for reference in ("v1", digest):
                assert client.request("GET", f"/v2/team/app/manifests/{reference}").status == 200

            def events(kind: str, client: Client = client) -> list[dict[str, Any]]:
                found = client.request("GET", f"/api/v2.0/auditlog-exts?q=operation={kind}")
                return list(json.loads(found.body))

            if not wanted:
                eventually(lambda: len(events("push")) == 1, what="the push")
                time.sleep(2)
                assert events("pull") == []
                continue
            eventually(lambda: len(events("pull")) == 2, what="both pulls")
            assert {entry["resource"] for entry in events("pull")} == {"team/app:v1", f"team/app@{digest}"}
            assert {(entry["username"], entry["credential"]) for entry in events("pull")} == {("admin", "password")}
