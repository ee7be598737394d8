"""From a file, variables and the command line to one configuration."""

import pickle
from pathlib import Path

import pytest

from entrepot.config import Config, ConfigInvalid, load
from entrepot.config.schema import Source
from tests.unit.config.conftest import MINIMAL, Load, Refuse

FULL_V2 = """\
version: 0.1
log:
  accesslog: {disabled: true}
  level: Debug
  formatter: logstash
  fields: {service: registry, replicas: 3}
  hooks:
    - type: mail
      levels: [panic]
      options:
        smtp: {addr: "mail.example.org:25", username: mailer, password: hunter2, insecure: true}
        from: registry@example.org
        to: [errors@example.org]
loglevel: warn
storage:
  filesystem: {rootdirectory: /srv/registry, maxthreads: 10}
  delete: {enabled: yes}
  redirect: {disable: true}
  cache: {layerinfo: redis, blobdescriptorsize: 500}
  maintenance:
    uploadpurging: {enabled: true, age: 48h, interval: 12h, dryrun: true}
    readonly: {enabled: true}
auth:
  token:
    autoredirect: true
    realm: https://tokens.example.org/token
    service: registry.example.org
    issuer: tokens.example.org
    rootcertbundle: /etc/tokens.pem
middleware:
  storage:
    - name: cloudfront
      disabled: true
      options: {baseurl: "https://cdn.example.org/", privatekey: /cdn.pem, keypairid: AB, duration: 3000s}
reporting:
  bugsnag: {apikey: hunter2, releasestage: production, endpoint: "https://bugs.example.org"}
  newrelic: {licensekey: hunter2, name: registry, verbose: true}
http:
  addr: "localhost:5000"
  net: tcp
  prefix: /my/nested/registry/
  host: https://registry.example.org:5000
  secret: hunter2
  relativeurls: false
  draintimeout: 60s
  tls:
    certificate: /tls.crt
    key: /tls.key
    clientcas: [/ca1.pem, /ca2.pem]
    minimumtls: tls1.0
    ciphersuites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
    letsencrypt: {cachefile: /cache, email: ops@example.org, hosts: [registry.example.org]}
  debug:
    addr: "localhost:5001"
    prometheus: {enabled: true, path: /numbers}
  headers: {X-Content-Type-Options: [nosniff]}
  http2: {disabled: false}
notifications:
  events: {includereferences: true}
  endpoints:
    - name: listener
      disabled: true
      url: https://user:hunter2@events.example.org/event
      headers: {Authorization: [Bearer hunter2]}
      timeout: 1s
      threshold: 10
      backoff: 1s
      ignoredmediatypes: [application/octet-stream]
      ignore: {mediatypes: [application/octet-stream], actions: [pull]}
redis:
  addr: "localhost:6379"
  password: hunter2
  db: 3
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
  pool: {maxidle: 16, maxactive: 64, idletimeout: 300s}
  tls: {enabled: false}
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
  file: [{file: /drain, interval: 5s}]
  http:
    - uri: http://other.example.org/ok
      headers: {Authorization: [Basic hunter2]}
      statuscode: 204
      timeout: 3s
      interval: 10s
      threshold: 3
  tcp: [{addr: "redis.example.org:6379", timeout: 3s, interval: 10s, threshold: 3}]
catalog: {maxentries: 500}
compatibility:
  schema1: {signingkeyfile: /key.json, enabled: true}
validation:
  manifests:
    urls: {allow: ['^https?://([^/]+\\.)*example\\.org/'], deny: ['^https?://www\\.example\\.org/']}
"""

ONLY_V3 = """\
version: 0.1
log: {level: error, reportcaller: true}
storage:
  filesystem: {rootdirectory: /srv/registry}
  tag: {concurrencylimit: 8}
  cache: {blobdescriptor: inmemory}
auth:
  token:
    service: registry.example.org
    issuer: tokens.example.org
    jwks: /keys.json
    signingalgorithms: [ES256, EdDSA]
    autoredirect: true
    autoredirectpath: /auth/v2/token
http:
  addr: ":5000"
  tls:
    certificate: /tls.crt
    key: /tls.key
    clientcas: [/ca.pem]
    clientauth: require-and-verify-client-cert
    minimumtls: tls1.3
    letsencrypt: {directoryurl: "https://acme.example.org/directory"}
  h2c: {enabled: true}
redis:
  addrs: ["one:6379", "two:6379"]
  mastername: main
  username: registry
  password: hunter2
  sentinelusername: watcher
  sentinelpassword: hunter2
  maxretries: -1
  poolsize: 10
  pooltimeout: 4s
  connmaxidletime: 5m
  dialtimeout: -1ns
  tls: {certificate: /r.crt, key: /r.key, rootcas: [/r.pem]}
tags: {maxtags: 50}
validation:
  disabled: true
  manifests:
    indexes: {platforms: List, platformlist: [{architecture: amd64, os: linux}]}
proxy: {ttl: 0s, exec: {command: helper, lifetime: 1h}, cachewritetimeout: 1m}
"""


def test_without_a_file_everything_is_private_and_local() -> None:
    """Loopback, ./data, deletes on, and an admin account instead of an open registry."""
    loaded = load(None, {})
    config = loaded.config
    assert (loaded.warnings, loaded.problems) == ([], [])
    assert config.source is Source.DEFAULTS
    assert config.path is None
    assert str(config.http.address) == "127.0.0.1:5000"
    assert (config.data, config.state) == (Path("data"), Path("data/entrepot"))
    assert config.storage.delete.enabled is True
    assert config.open_registry is False
    assert [str(network) for network in config.http.proxies] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("listen", ["0.0.0.0:5000", ":5000", "10.0.0.7:5000"])
def test_without_a_file_at_an_address_that_others_reach(listen: str) -> None:
    """As in a container: proxies in private networks are believed about scheme and host, and not about addresses."""
    config = load(None, {}, listen=listen).config
    assert any(network.with_prefixlen == "172.16.0.0/12" for network in config.http.proxies)
    assert all(network.is_loopback for network in config.client_proxies)
    assert config.open_registry is False


def test_with_a_file_silence_means_what_it_means_to_registry2(load_text: Load) -> None:
    """No auth is an open registry, with a warning; deletes are off; proxies in private networks are believed."""
    loaded = load_text()
    config = loaded.config
    assert config.source is Source.FILE
    assert config.path is not None
    assert config.open_registry is True
    assert any(warning.startswith("auth: there is none") for warning in loaded.warnings)
    assert config.storage.delete.enabled is False
    assert any(network.with_prefixlen == "172.16.0.0/12" for network in config.http.proxies)
    assert (config.level, config.log.formatter, config.log.accesslog.disabled) == ("info", "text", False)
    purging = config.storage.maintenance.uploadpurging
    assert (purging.enabled, purging.age, purging.interval, purging.dryrun) == (True, 604_800.0, 86_400.0, False)
    assert (config.catalog.maxentries, config.tags.maxtags) == (1000, 1000)


def test_registry2s_whole_file_is_understood(load_text: Load) -> None:
    """Every key of the published registry:2 file is read into its type, and none is unknown."""
    loaded = load_text(FULL_V2)
    config = loaded.config
    assert not [warning for warning in loaded.warnings if "unknown key" in warning]
    assert loaded.problems == []
    assert (config.level, config.log.formatter) == ("debug", "logstash")
    assert config.log.fields == {"service": "registry", "replicas": 3}
    assert config.log.hooks[0].options.sender == "registry@example.org"
    assert config.storage.filesystem is not None
    assert config.storage.filesystem.maxthreads == 25
    assert config.storage.delete.enabled is True
    assert config.storage.cache.kind == "redis"
    assert config.storage.maintenance.uploadpurging.age == 172_800.0
    assert config.storage.maintenance.readonly.enabled is True
    assert config.auth.type == "token"
    assert config.http.prefix == "/my/nested/registry/"
    assert config.http.drain == 60.0
    assert config.http.tls.lowest == "tls1.2"
    assert config.http.http2.enabled is True
    assert config.http.debug.address is not None
    assert config.http.debug.prometheus.path == "/numbers"
    assert config.notifications.endpoints[0].ignore.actions == ("pull",)
    assert config.redis.pool.idletimeout == 300.0
    assert config.health.http[0].statuscode == 204
    assert config.health.tcp[0].timeout == 3.0
    assert config.catalog.maxentries == 500
    assert config.validation.active is True
    assert config.validation.manifests.urls.deny == (r"^https?://www\.example\.org/",)


def test_what_registry3_adds_is_understood(load_text: Load) -> None:
    """Every key that only registry:3 has is read into its type, and none is unknown."""
    loaded = load_text(ONLY_V3)
    config = loaded.config
    assert not [warning for warning in loaded.warnings if "unknown key" in warning]
    assert loaded.problems == []
    assert config.log.reportcaller is True
    assert config.auth.token is not None
    assert config.auth.token.signingalgorithms == ("ES256", "EdDSA")
    assert config.auth.token.autoredirectpath == "/auth/v2/token"
    assert config.http.tls.lowest == "tls1.3"
    assert (config.redis.addrs, config.redis.maxretries) == (("one:6379", "two:6379"), -1)
    assert config.redis.dialtimeout == -1e-9
    assert config.tags.maxtags == 50
    assert config.validation.active is False
    assert config.validation.manifests.indexes.platforms == "list"
    assert config.proxy.exec.lifetime == 3600.0


@pytest.mark.parametrize("text", [FULL_V2, ONLY_V3])
def test_no_secret_is_ever_shown(load_text: Load, text: str) -> None:
    """Not by repr, str or a dump, wherever a file keeps its secrets."""
    loaded = load_text(text)
    assert "hunter2" in text
    assert "hunter2" not in f"{loaded!r} {loaded.config!s} {loaded.config.model_dump_json()} {loaded.warnings}"


def test_the_command_line_comes_first(load_text: Load) -> None:
    """--listen and --data outweigh variables, and these the file."""
    environ = {"REGISTRY_HTTP_ADDR": ":6000", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/env"}
    config = load_text(environ=environ, listen="127.0.0.1:7000", data=Path("/cli"), workers=3).config
    assert str(config.http.address) == "127.0.0.1:7000"
    assert config.data == Path("/cli")
    assert config.workers == 3


def test_the_data_folder_fits_a_bare_driver_and_no_other_one(load_text: Load, refuse_text: Refuse) -> None:
    """--data fills `storage: filesystem`; beside another driver nobody can know what is meant."""
    assert load_text("version: 0.1\nstorage: filesystem", data=Path("/cli")).config.data == Path("/cli")
    problems = refuse_text("version: 0.1\nstorage: s3", data=Path("/cli"))
    assert problems[0].startswith("storage: multiple storage drivers")


def test_only_a_folder_has_a_data_folder(load_text: Load) -> None:
    """A storage that is no folder has stopped the start by then."""
    config = load_text("version: 0.1\nstorage: s3").config
    with pytest.raises(ValueError, match="not a folder"):
        config.state.exists()


def test_the_command_line_can_name_a_socket(load_text: Load) -> None:
    """`--listen unix:/path` is a socket, and a TCP address undoes the file's."""
    assert load_text(listen="unix:/run/r.sock").config.http.address.socket == Path("/run/r.sock")
    text = MINIMAL.replace("addr: 'localhost:5000'", "net: unix, addr: /run/r.sock")
    assert load_text(text).config.http.address.socket == Path("/run/r.sock")
    assert load_text(text, listen=":1").config.http.address.port == 1


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    """An argument outweighs REGISTRY_CONFIGURATION_PATH; an empty one is none."""
    first, second = tmp_path / "first.yml", tmp_path / "second.yml"
    first.write_text(MINIMAL)
    second.write_text(MINIMAL)
    environ = {"REGISTRY_CONFIGURATION_PATH": str(second)}
    assert load(None, environ).config.path == second
    assert load(first, environ).config.path == first
    assert load(None, {"REGISTRY_CONFIGURATION_PATH": ""}).config.path is None


def test_variables_count_without_a_file() -> None:
    """A container needs no file to get a certificate."""
    loaded = load(None, {"REGISTRY_HTTP_TLS_CERTIFICATE": "/c", "REGISTRY_HTTP_TLS_KEY": "/k"}, listen=":5000")
    assert loaded.config.http.tls.enabled is True
    assert loaded.config.source is Source.DEFAULTS


def test_a_file_without_an_address_listens_where_registry2s_image_does(load_text: Load) -> None:
    """Port 5000, and a warning, since nobody wrote it."""
    loaded = load_text("version: 0.1\nstorage: filesystem\n")
    assert str(loaded.config.http.address) == ":5000"
    assert "http.addr: is not set; listening on port 5000 of all addresses" in loaded.warnings


def test_null_sections_mean_their_defaults(load_text: Load) -> None:
    """A key with nothing after it is as good as none."""
    text = MINIMAL.replace("http: {", "log:\nredis: ~\nhealth: null\nhttp: {tls: , ")
    assert load_text(text).config == load_text().config


def test_a_configuration_travels_to_other_processes(load_text: Load) -> None:
    """Workers get it pickled: values, secrets, source and path included."""
    config = load_text(FULL_V2).config
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert (copy.source, copy.path) == (config.source, config.path)
    assert copy.http.secret.get_secret_value() == "hunter2"


def test_a_loaded_configuration_cannot_be_changed(load_text: Load) -> None:
    """It is shared by everything that runs."""
    config = load_text().config
    with pytest.raises(ValueError, match="frozen"):
        config.http.addr = ":1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the configuration file holds no keys"),
        ("just text", "the configuration file holds no keys"),
        ("storage: filesystem", "version: is required"),
        ("version: 0.2\nstorage: filesystem", "version: unsupported version"),
        ("version: [0.1]\nstorage: filesystem", "version: unsupported version"),
        ("version: 0.1", "storage: is required"),
        ("version: 0.1\nstorage:", "storage: is required"),
        ("version: 0.1\nstorage: nfs", "storage: 'nfs' is no storage driver; choose one of filesystem, s3, azure"),
        ("version: 0.1\nstorage: {filesystem: , inmemory: }", "storage: multiple storage drivers"),
        ("a: [", "is not valid YAML: line 1"),
        ("version: 0.1\nstorage: filesystem\nhttp: ':5000'", "http: must be a section with keys"),
        (f"{MINIMAL}auth: [htpasswd]", "auth: must be a section with keys"),
        (f"{MINIMAL}auth: htpasswd", "auth.htpasswd.realm: is required"),
        (f"{MINIMAL}auth: {{htpasswd: {{realm: r, path: ''}}}}", "auth.htpasswd.path: must not be empty"),
        (f"{MINIMAL}auth: {{htpasswd: {{}}, none: {{}}}}", "auth: multiple auth types"),
        (
            f"{MINIMAL}auth: {{ldap: {{}}}}",
            "auth: 'ldap' is no auth type; choose one of htpasswd, token, accounts, silly, none",
        ),
        (f"{MINIMAL}log: {{level: loud}}", "log.level: must be one of 'error', 'warn', 'info' or 'debug'"),
        (f"{MINIMAL}log: {{formatter: xml}}", "log.formatter: must be one of 'text', 'json' or 'logstash'"),
        (f"{MINIMAL}log: {{fields: [a]}}", "log.fields: must be a map of names to values"),
        (f"{MINIMAL}log: {{accesslog: {{disabled: maybe}}}}", "log.accesslog.disabled: must be true or false"),
        (f"{MINIMAL}catalog: {{maxentries: many}}", "catalog.maxentries: must be a whole number"),
        (f"{MINIMAL}catalog: {{maxentries: [1]}}", "catalog.maxentries: must be a whole number"),
        (f"{MINIMAL}health: {{http: [{{uri: x}}, {{}}]}}", "health.http[1].uri: is required"),
        (f"{MINIMAL}health: {{tcp: [{{addr: x}}]}}", "health.tcp[0].addr: has no port"),
        (f"{MINIMAL}health: {{file: /x}}", "health.file: must be a list"),
        (
            f"{MINIMAL}health: {{storagedriver: {{interval: soon}}}}",
            "health.storagedriver.interval: must be a duration",
        ),
        (f"{MINIMAL}access: {{token: {{expiration: 10s}}}}", "access.token.expiration: must be at least 60"),
        (
            f"{MINIMAL}access: {{token: {{algorithm: none}}}}",
            "access.token.algorithm: must be one of 'ES256' or 'EdDSA'",
        ),
        (f"{MINIMAL}workers: -1", "workers: must be at least 0"),
        (
            f"{MINIMAL}validation: {{manifests: {{urls: {{allow: ['(']}}}}}}",
            "validation.manifests.urls.allow[0]: must be a",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_what_is_allowed(refuse_text: Refuse, text: str, problem: str) -> None:
    """One clear sentence that starts with the path of the key."""
    assert any(problem in said for said in refuse_text(text))


@pytest.mark.parametrize(
    ("http", "problem"),
    [
        ("addr: '5000'", "http.addr: has no port; write it as host:port"),
        ("addr: ':99999'", "http.addr: has a port above 65535"),
        ("debug: {addr: localhost}", "http.debug.addr: has no port"),
        ("net: udp", "http.net: must be one of 'tcp', 'unix' or ''"),
        ("host: registry.example.org:5000", "http.host: must be a URL with scheme and host"),
        ("host: 'https://me:pw@example.org'", "http.host: must be a URL with scheme and host"),
        ("tls: {minimumtls: ssl3}", "http.tls.minimumtls: must be one of 'tls1.0', 'tls1.1', 'tls1.2', 'tls1.3'"),
        ("tls: {clientauth: perhaps}", "http.tls.clientauth: must be one of 'request-client-cert'"),
        ("tls: /cert.pem", "http.tls: must be a section with keys"),
        ("host: 'http://[x'", "http.host: must be a URL with scheme and host"),
        ("draintimeout: -5s", "http.draintimeout: must not be a negative duration"),
        ("draintimeout: '60'", "http.draintimeout: must be a duration such as"),
        ("headers: {X-A: nosniff}", "http.headers.X-A: must be a list"),
        ("headers: {'X A': [b]}", "http.headers: has a name that is no HTTP header name"),
        ('headers: {X-A: ["a\\r\\nX-B: c"]}', "http.headers: has a value for X-A with control characters"),
        ("trustedproxies: [example.org]", "http.trustedproxies[0]: must be an address or a network"),
        ("limits: {headercount: 91}", "http.limits.headercount: must be at most 90"),
        ("limits: {bodytimeout: 0s}", "http.limits.bodytimeout: must be more than 0"),
    ],
)
def test_a_wrong_http_section_is_refused(refuse_text: Refuse, http: str, problem: str) -> None:
    """What would fail at the start, or later, is said now."""
    assert any(said.startswith(problem) for said in refuse_text(f"version: 0.1\nstorage: filesystem\nhttp: {{{http}}}"))


def test_all_mistakes_are_told_at_once(refuse_text: Refuse) -> None:
    """Nobody should have to start ten times."""
    text = f"{MINIMAL}log: {{level: loud}}\ncatalog: {{maxentries: x}}\nhealth: {{file: y}}\n"
    assert [problem.partition(":")[0] for problem in refuse_text(text)] == [
        "log.level",
        "health.file",
        "catalog.maxentries",
    ]


def test_a_refusal_never_quotes_a_value(refuse_text: Refuse) -> None:
    """A secret that slipped one key too far does not end up in a log."""
    text = f"{MINIMAL}log: {{level: hunter2}}\nredis: {{password: [hunter2], db: hunter2, dialtimeout: hunter2}}\n"
    problems = refuse_text(text)
    assert len(problems) == 4
    assert "hunter2" not in " ".join(problems)


def test_a_refusal_carries_no_cause_with_values(load_text: Load) -> None:
    """A traceback prints causes, and pydantic's would show what it was given."""
    with pytest.raises(ConfigInvalid) as caught:
        load_text(f"{MINIMAL}log: {{level: hunter2}}")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ is True


@pytest.mark.parametrize(
    ("extra", "warning"),
    [
        ("logg: {level: info}", "logg: unknown key, ignored; did you mean 'log'?"),
        ("HTTP: {addr: ':1'}", "HTTP: unknown key, ignored; did you mean 'http'?"),
        ("health: {file: [{file: /x, intervall: 1s}]}", "health.file[0].intervall: unknown key, ignored; did you mean"),
        ("redis: {zzz: 1}", "redis.zzz: unknown key, ignored"),
        (
            "health: {storagedriver: {interval: 10}}",
            "health.storagedriver.interval: a number without a unit means nano",
        ),
    ],
)
def test_what_is_passed_over_is_told(load_text: Load, extra: str, warning: str) -> None:
    """An unknown key, or sixty nanoseconds, is a warning that names the key."""
    assert any(said.startswith(warning) for said in load_text(f"{MINIMAL}{extra}\n").warnings)


def test_a_bare_integer_is_nanoseconds(load_text: Load) -> None:
    """As Go reads it."""
    config = load_text(f"{MINIMAL}health: {{storagedriver: {{interval: 1_500_000_000}}}}").config
    assert config.health.storagedriver.interval == 1.5


@pytest.mark.parametrize(("written", "workers", "each"), [("10", 5, 5), ("100", 4, 25), ("30", 40, 1)])
def test_maxthreads_is_shared_by_the_workers(load_text: Load, written: str, workers: int, each: int) -> None:
    """As registry:2 has one process, the bound is for all of ours together; none is left without a thread."""
    text = f"version: 0.1\nworkers: {workers}\nstorage: {{filesystem: {{maxthreads: {written}}}}}\n"
    assert load_text(text).config.file_operations == each


@pytest.mark.parametrize("text", ["/a", "a/", "/a/", "a"])
def test_a_prefix_gets_its_slashes(load_text: Load, text: str) -> None:
    """However it is written."""
    assert load_text(MINIMAL.replace("http: {", f"http: {{prefix: '{text}', ")).config.http.prefix == "/a/"


@pytest.mark.parametrize(("written", "effective"), [("0", 1000), ("-5", 1000), ("7", 7), ("0x10", 16), ("010", 8)])
def test_page_sizes_below_one_mean_the_usual(load_text: Load, written: str, effective: int) -> None:
    """As in registry:2, numbers in Go's spelling."""
    config = load_text(f"{MINIMAL}catalog: {{maxentries: {written}}}\ntags: {{maxtags: {written}}}").config
    assert (config.catalog.maxentries, config.tags.maxtags) == (effective, effective)


@pytest.mark.parametrize(
    ("rules", "sparse"),
    [("{}", False), ("{sparse: true}", True), ("{platforms: none}", True), ("{platforms: all}", False)],
)
def test_sparse_indexes_by_either_key(load_text: Load, rules: str, *, sparse: bool) -> None:
    """Our own key, or registry:3's."""
    config = load_text(f"{MINIMAL}validation: {{manifests: {{indexes: {rules}}}}}").config
    assert config.validation.manifests.indexes.require("amd64", "linux") is not sparse


def test_the_level_is_found_in_its_old_place(load_text: Load) -> None:
    """`log.level` outweighs `loglevel`, which outweighs `info`."""
    assert load_text(f"{MINIMAL}loglevel: WARN").config.level == "warn"
    assert load_text(f"{MINIMAL}loglevel: warn\nlog: {{level: error}}").config.level == "error"


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    """With its path and the reason."""
    with pytest.raises(ConfigInvalid, match="cannot read the configuration file"):
        load(tmp_path / name, {})


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    """With its path."""
    path = tmp_path / "config.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigInvalid, match="is not UTF-8 text"):
        load(path, {})


def test_a_byte_order_mark_does_not_disturb(tmp_path: Path) -> None:
    """Editors on Windows leave one."""
    path = tmp_path / "config.yml"
    path.write_text(MINIMAL, encoding="utf-8-sig")
    assert load(path, {}).problems == []


def test_python_values_are_accepted() -> None:
    """Code builds a configuration without YAML."""
    config = Config.model_validate(
        {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": "/x", "maxthreads": 50}, "delete": {"enabled": True}},
            "http": {"addr": "localhost:1", "draintimeout": 2.5, "headers": {"X-A": ["b"]}},
            "health": {"storagedriver": {"interval": 3 * 10**9}},
        }
    )
    assert config.storage.delete.enabled is True
    assert (config.http.draintimeout, config.health.storagedriver.interval) == (2.5, 3.0)
