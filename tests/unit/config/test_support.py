"""What stops the start, what warns, and what passes."""

import json

import pytest

from entrepot.config.support import RULES, Severity
from tests.unit.config.conftest import MINIMAL, Load

STATE = "metadata: {folder: /state}"
SERVER = "postgresql://entrepot@db.example/entrepot"
STOPPED = [
    ("storage.gcs.bucket", f"version: 0.1\nstorage: {{gcs: {{keyfile: /k}}}}\n{STATE}"),
    ("storage.swift", "version: 0.1\nstorage: {swift: {container: c}}"),
    ("storage.oss", "version: 0.1\nstorage: {oss: {bucket: b}}"),
    ("storage.inmemory", "version: 0.1\nstorage: inmemory"),
    ("storage", "version: 0.1\nstorage: {delete: {enabled: true}}"),
    ("auth.token.rootcertbundle", f"{MINIMAL}auth: {{token: {{realm: r, service: s, issuer: i}}}}"),
    ("auth.token.realm", f"{MINIMAL}auth: {{token: {{service: s, issuer: i, jwks: /k}}}}"),
    ("proxy.remoteurl", f"{MINIMAL}proxy: {{remoteurl: 'https://registry-1.docker.io'}}"),
    ("notifications.endpoints[1]", f"{MINIMAL}notifications: {{endpoints: [{{disabled: true}}, {{name: live}}]}}"),
    ("middleware.repository[0]", f"{MINIMAL}middleware: {{repository: [{{name: mine}}]}}"),
    ("middleware.storage[0]", f"{MINIMAL}middleware: {{storage: [{{name: mine, options: {{baseurl: x}}}}]}}"),
    ("http.tls.letsencrypt.hosts", "version: 0.1\nstorage: filesystem\nhttp: {tls: {letsencrypt: {email: a@b.test}}}"),
    (
        "http.tls.clientauth",
        "version: 0.1\nstorage: filesystem\nhttp: {tls: {clientauth: verify-client-cert-if-given}}",
    ),
    ("http.tls.clientauth", "version: 0.1\nstorage: filesystem\nhttp: {tls: {clientauth: require-any-client-cert}}"),
    (
        "http.tls.clientcas",
        "version: 0.1\nstorage: filesystem\nhttp: {tls: {clientauth: require-and-verify-client-cert}}",
    ),
]

S3 = {"region": "eu-west-1", "bucket": "images"}
STOPPED += [
    (f"storage.s3.{key}", f"version: 0.1\nstorage: {{s3: {json.dumps(S3 | changed)}}}\n{STATE}")
    for key, changed in (
        ("bucket", {"bucket": ""}),
        ("region", {"region": ""}),
        ("v4auth", {"v4auth": False}),
        ("secretkey", {"accesskey": "a"}),
        ("chunksize", {"chunksize": 1 << 20}),
        ("storageclass", {"storageclass": "glacier"}),
        ("objectacl", {"objectacl": "everybody"}),
        ("loglevel", {"loglevel": "verbose"}),
    )
]

AZURE = {"accountname": "a", "container": "images"}
STOPPED += [
    (f"storage.azure.{key}", f"version: 0.1\nstorage: {{azure: {json.dumps(AZURE | changed)}}}\n{STATE}")
    for key, changed in (
        ("container", {"container": ""}),
        ("accountname", {"accountname": ""}),
        ("accountkey", {"credentials": {"type": "shared_key"}}),
        ("credentials", {"credentials": {"type": "client_secret", "tenantid": "t", "clientid": "c"}}),
    )
]
STOPPED += [
    (
        "storage.also.s3.bucket",
        "version: 0.1\nstorage: {filesystem: {}, also: {s3: {region: x}}}\nhttp: {addr: 'localhost:1'}",
    )
]

CLOUDFRONT = "options: {baseurl: cdn.example.org, privatekey: /k, keypairid: i}"
CDN = "options: {baseurl: 'https://cdn.example.org', key: k"
CLOUDFLARE = f"middleware: {{storage: [{{name: cloudflare, {CDN}}}}}]}}"
STOPPED += [
    ("metadata.url", f"{MINIMAL}metadata: {{url: 'mysql://x/y'}}"),
    ("metadata.urlfile", f"{MINIMAL}metadata: {{url: '{SERVER}', urlfile: /x}}"),
    ("metadata.directurlfile", f"{MINIMAL}metadata: {{url: '{SERVER}', directurl: x, directurlfile: /x}}"),
    ("metadata.folder", f"{MINIMAL}{STATE}"),
    ("database.host", f"{MINIMAL}database: {{enabled: prefer}}"),
    ("database", f"{MINIMAL}metadata: {{url: '{SERVER}'}}\ndatabase: {{enabled: true, host: x}}"),
]

LDAP = "access: {ldap: {servers: ['ldaps://ldap.example.org'], users: {base: 'dc=example'}}}"
PROVIDERS = "access: {oidc: [{name: corp, issuer: 'https://login.example.org', clientid: c, clientsecret: s}]}"
STOPPED += [
    ("access.ldap", f"{MINIMAL}{LDAP}"),
    ("access.ldap", f"{MINIMAL}auth: {{htpasswd: {{realm: r, path: /p}}}}\n{LDAP}"),
    ("access.oidc", f"{MINIMAL}{PROVIDERS}"),
]

WARNED = [
    (
        "http.tls.letsencrypt.cachefile",
        "version: 0.1\nstorage: filesystem\nhttp: {tls: {letsencrypt: {cachefile: /c, hosts: [R.Example.org]}}}",
    ),
    ("http.tls.clientauth", "version: 0.1\nstorage: filesystem\nhttp: {tls: {clientauth: request-client-cert}}"),
    ("http.tls.minimumtls", "version: 0.1\nstorage: filesystem\nhttp: {tls: {minimumtls: TLS1.1}}"),
    ("http.tls.ciphersuites", "version: 0.1\nstorage: filesystem\nhttp: {tls: {ciphersuites: [A]}}"),
    ("http.h2c", "version: 0.1\nstorage: filesystem\nhttp: {h2c: {enabled: true}}"),
    ("http.draintimeout", "version: 0.1\nstorage: filesystem\nhttp: {draintimeout: 60}"),
    (
        "http.tls",
        "version: 0.1\nstorage: filesystem\nhttp: {addr: ':5000'}\nauth: {htpasswd: {realm: r, path: /p}}",
    ),
    ("auth", MINIMAL),
    ("auth", f"{MINIMAL}auth: none"),
    ("auth.silly", f"{MINIMAL}auth: {{silly: {{realm: r, service: s}}}}"),
    (
        "storage.gcs.credentials",
        f"version: 0.1\nstorage: {{gcs: {{bucket: b, keyfile: /k, credentials: {{type: t}}}}}}\n{STATE}",
    ),
    ("storage.cache.blobdescriptor", "version: 0.1\nstorage: {filesystem: , cache: {blobdescriptor: redis}}"),
    (
        "storage.cache.disk.rootdirectory",
        "version: 0.1\nmetadata: {folder: m}\nstorage: {s3: {bucket: b, region: r}, cache: {disk: {rootdirectory: c}}}",
    ),
    ("storage.cache.disk", "version: 0.1\nstorage: {filesystem: , cache: {disk: {rootdirectory: /c}}}"),
    ("redis", f"{MINIMAL}redis: {{addr: 'localhost:1'}}"),
    ("redis", f"{MINIMAL}redis: {{addrs: ['localhost:1']}}"),
    ("log.hooks[0]", f"{MINIMAL}log: {{hooks: [{{type: mail}}]}}"),
    ("loglevel", f"{MINIMAL}loglevel: debug"),
    ("middleware.storage[0]", f"{MINIMAL}middleware: {{storage: [{{name: securelink, {CDN}}}}}]}}"),
    ("middleware.storage[0]", f"{MINIMAL}middleware: {{storage: [{{name: tencentcdn, {CDN}, type: d}}}}]}}"),
    (
        "middleware.storage[0]",
        f"{MINIMAL}middleware: {{storage: [{{name: cloudfront, {CLOUDFRONT}}}]}}",
    ),
    (
        "middleware.storage[0]",
        f"version: 0.1\nstorage: filesystem\nhttp: {{host: 'https://cdn.example.org:5000'}}\n{CLOUDFLARE}",
    ),
    (
        "middleware.storage",
        f"version: 0.1\nstorage: {{filesystem: , redirect: {{disable: true}}}}\n{CLOUDFLARE}",
    ),
    ("reporting", f"{MINIMAL}reporting: {{newrelic: {{licensekey: k}}}}"),
    ("policy.repository.classes", f"{MINIMAL}policy: {{repository: {{classes: [image, chart]}}}}"),
    ("compatibility.schema1", f"{MINIMAL}compatibility: {{schema1: {{enabled: true}}}}"),
]

PASSED = [
    "notifications: {events: {includereferences: true}, endpoints: [{name: off, disabled: true}]}",
    "middleware: {storage: [{name: cloudfront, disabled: true}]}",
    CLOUDFLARE,
    "middleware: {storage: [{name: redirect, options: {baseurl: 'https://files.example.org/base'}}]}",
    "middleware: {storage: [{name: rewrite, options: {scheme: https}}]}",
    "log: {hooks: [{type: mail, disabled: true}]}",
    "proxy: {ttl: 0s}",
    "redis: {dialtimeout: 10ms}",
    "reporting: {bugsnag: {releasestage: production}}",
    "compatibility: {schema1: {enabled: false}}",
    "policy: {repository: {classes: []}}",
    "policy: {repository: {classes: [image, plugin]}}",
]


@pytest.mark.parametrize(("key", "text"), STOPPED)
def test_what_would_be_unsafe_to_ignore_stops_the_start(load_text: Load, key: str, text: str) -> None:
    """Exactly one problem, which names the section."""
    problems = load_text(text).problems
    assert [problem.partition(": ")[0] for problem in problems] == [key]


@pytest.mark.parametrize(("key", "text"), WARNED)
def test_what_only_loses_comfort_warns(load_text: Load, key: str, text: str) -> None:
    """A warning names the section, and the start goes on."""
    loaded = load_text(text)
    assert loaded.problems == []
    assert key in {warning.partition(": ")[0] for warning in loaded.warnings}


@pytest.mark.parametrize("extra", PASSED)
def test_what_asks_for_nothing_is_not_mentioned(load_text: Load, extra: str) -> None:
    """A section that is switched off, or only holds parameters, is nobody's business."""
    loaded = load_text(f"{MINIMAL}{extra}\n")
    assert (loaded.problems, loaded.warnings) == ([], load_text().warnings)


@pytest.mark.parametrize("extra", ["", LDAP, PROVIDERS])
def test_accounts_can_be_chosen_in_a_file(load_text: Load, extra: str) -> None:
    """`auth: accounts` closes the registry, and lets a directory and providers count."""
    loaded = load_text(f"{MINIMAL}auth: accounts\n{extra}\n")
    assert (loaded.problems, loaded.warnings) == ([], [])
    assert loaded.config.has_accounts
    assert not loaded.config.open_registry


def test_every_rule_is_shown_to_work() -> None:
    """A rule that no example sets off may never apply."""
    shown = {key.partition("[")[0] for key, _ in STOPPED + WARNED}
    shown |= {key.partition(".")[0] for key in shown if key.startswith("middleware.")}
    shown |= {"storage.also"}  # whose keys are those of the bucket
    shown |= {"metadata", "http.tls.letsencrypt"}  # of object stores: test_metadata.py
    assert {rule.key for rule in RULES} <= shown


def test_letsencrypt_does_not_count_beside_a_certificate(load_text: Load) -> None:
    """As in registry:2, where the section is then not used."""
    text = "version: 0.1\nstorage: filesystem\nhttp: {tls: {certificate: /c, key: /k, letsencrypt: {cachefile: /x}}}"
    assert load_text(text).problems == []


@pytest.mark.parametrize("addr", ["localhost:5000", "127.0.0.1:5000", "'[::1]:5000'"])
def test_passwords_on_loopback_need_no_encryption(load_text: Load, addr: str) -> None:
    """Nobody else can listen there."""
    text = f"version: 0.1\nstorage: filesystem\nhttp: {{addr: {addr}}}\nauth: {{htpasswd: {{realm: r, path: /p}}}}"
    assert load_text(text).warnings == []


def test_messages_say_what_to_do() -> None:
    """A reason not to start is a sentence with a way out, and never ends in a full stop, as it goes into a list."""
    for rule in RULES:
        assert not rule.message.endswith(".")
        if rule.severity is Severity.STOPS:
            assert any(
                word in rule.message for word in ("use", "give", "set", "name", "remove", "is required", "without it")
            )
