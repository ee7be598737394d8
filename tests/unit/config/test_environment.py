"""Variables over the file, held against registry:2's and registry:3's rule."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.config import Config
from entrepot.config.document import Plain, Tree
from entrepot.config.environment import apply_environment
from entrepot.config.section import Leaf, Section, keys
from tests.unit.config.conftest import Load, Refuse

FILESYSTEM = "version: 0.1\nstorage: {filesystem: {rootdirectory: /srv}}\nhttp: {addr: 'localhost:1'}\n"


def test_a_variable_outweighs_the_file(load_text: Load) -> None:
    """A nested key is named by its path."""
    loaded = load_text(environ={"REGISTRY_HTTP_ADDR": "127.0.0.1:6000", "HOME": "/root"})
    assert loaded.config.http.addr == "127.0.0.1:6000"
    assert loaded.applied == ["REGISTRY_HTTP_ADDR"]


def test_the_two_tls_variables_of_registry2(load_text: Load) -> None:
    """What compose files have said for ten years."""
    environ = {"REGISTRY_HTTP_TLS_CERTIFICATE": "/certs/domain.crt", "REGISTRY_HTTP_TLS_KEY": "/certs/domain.key"}
    tls = load_text(environ=environ).config.http.tls
    assert (tls.certificate, tls.key, tls.enabled) == ("/certs/domain.crt", "/certs/domain.key", True)


def test_htpasswd_by_variables_alone(load_text: Load) -> None:
    """The other classic: REGISTRY_AUTH picks the type, the longer names fill it."""
    environ = {
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "Registry Realm",
        "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
    }
    auth = load_text(environ=environ).config.auth
    assert auth.type == "htpasswd"
    assert auth.htpasswd is not None
    assert (auth.htpasswd.realm, auth.htpasswd.path) == ("Registry Realm", "/auth/htpasswd")


def test_values_are_yaml(load_text: Load) -> None:
    """Flags, lists, maps and durations come as YAML."""
    environ = {
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
        "REGISTRY_HTTP_HEADERS": "{X-A: [one, two]}",
        "REGISTRY_HTTP_TLS_CLIENTCAS": "[/a.pem, /b.pem]",
        "REGISTRY_HTTP_DRAINTIMEOUT": "1m30s",
        "REGISTRY_HTTP_SECRET": "12345",
    }
    config = load_text(environ=environ).config
    assert config.storage.delete.enabled is True
    assert config.http.headers == {"X-A": ("one", "two")}
    assert config.http.tls.clientcas == ("/a.pem", "/b.pem")
    assert config.http.draintimeout == 90.0
    assert config.http.secret.get_secret_value() == "12345"


@pytest.mark.parametrize(
    ("go_name", "yaml_name", "value"),
    [
        ("NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "NOTIFICATIONS_EVENTS_INCLUDEREFERENCES", "true"),
        ("HEALTH_FILECHECKERS_0_FILE", "HEALTH_FILE_0_FILE", "/x"),
        ("HEALTH_HTTPCHECKERS_0_URI", "HEALTH_HTTP_0_URI", "http://x"),
        ("HEALTH_TCPCHECKERS_0_ADDR", "HEALTH_TCP_0_ADDR", "x:1"),
        ("LOG_HOOKS_0_MAILOPTIONS_FROM", "LOG_HOOKS_0_OPTIONS_FROM", "a@b"),
        ("COMPATIBILITY_SCHEMA1_TRUSTKEY", "COMPATIBILITY_SCHEMA1_SIGNINGKEYFILE", "/key"),
    ],
)
def test_go_names_and_keys_both_work(load_text: Load, go_name: str, yaml_name: str, value: str) -> None:
    """Where Go's field is named otherwise than the key, either name sets the same value."""
    by_go = load_text(environ={f"REGISTRY_{go_name}": value})
    by_key = load_text(environ={f"REGISTRY_{yaml_name}": value})
    assert by_go.applied
    assert by_key.applied
    assert by_go.config == by_key.config
    assert by_go.config != load_text().config


def test_variables_are_taken_in_sorted_order(load_text: Load) -> None:
    """REGISTRY_STORAGE comes first and takes the place of the whole section of the file."""
    text = "version: 0.1\nstorage: {s3: {bucket: b}, delete: {enabled: true}}\nhttp: {addr: 'localhost:1'}\n"
    environ = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/new", "REGISTRY_STORAGE": "filesystem"}
    storage = load_text(text, environ).config.storage
    assert storage.type == "filesystem"
    assert storage.filesystem is not None
    assert storage.filesystem.rootdirectory == "/new"
    assert storage.delete.enabled is False


def test_a_type_by_its_bare_name_has_empty_parameters(load_text: Load) -> None:
    """REGISTRY_STORAGE=s3 picks s3, as yet without a bucket."""
    storage = load_text(environ={"REGISTRY_STORAGE": "s3"}).config.storage
    assert storage.type == "s3"
    assert storage.s3 is not None
    assert storage.s3.bucket == ""


def test_a_bare_name_in_the_file_can_be_filled_by_variables(load_text: Load) -> None:
    """`storage: filesystem` in the file is a section that variables can write into."""
    text = "version: 0.1\nstorage: filesystem\nhttp: {addr: 'localhost:1'}\n"
    config = load_text(text, {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/x"}).config
    assert str(config.data) == "/x"


def test_a_second_driver_is_an_error(refuse_text: Refuse) -> None:
    """The file says filesystem, a variable says s3: nobody can know what is meant."""
    problems = refuse_text(environ={"REGISTRY_STORAGE_S3_BUCKET": "b"})
    assert problems == [
        "storage: multiple storage drivers specified in configuration or environment: filesystem, s3; keep exactly one"
    ]


def test_a_second_auth_type_is_an_error(refuse_text: Refuse) -> None:
    """Exactly one auth type."""
    text = FILESYSTEM + "auth: {htpasswd: {realm: r, path: /p}}\n"
    problems = refuse_text(text, {"REGISTRY_AUTH_TOKEN_REALM": "https://x"})
    assert problems[0].startswith("auth: multiple auth types specified in configuration or environment")


@pytest.mark.parametrize(
    "name",
    [
        "REGISTRY_FOO",
        "REGISTRY_HTTP_FOO",
        "REGISTRY_HTTP_TLS_FOO_BAR",
        "REGISTRY_HTTP_ADDR_FOO",
        "REGISTRY_http_addr",
        "REGISTRY__HTTP",
        "REGISTRY_",
        "REGISTRY_PORT_5000_TCP",
        "REGISTRY_VERSION",
    ],
)
def test_a_name_that_names_nothing_is_told(load_text: Load, name: str) -> None:
    """The warning is registry:2's own; nothing changes. The version cannot be set either."""
    loaded = load_text(environ={name: "0.2"})
    assert f"Ignoring unrecognized environment variable {name}" in loaded.warnings
    assert loaded.config == load_text().config


def test_the_variable_that_names_the_file_is_no_mystery(load_text: Load) -> None:
    """registry:2 warns of its own REGISTRY_CONFIGURATION_PATH; we do not."""
    assert load_text(environ={"REGISTRY_CONFIGURATION_PATH": "/elsewhere"}).warnings == load_text().warnings


def test_the_variable_of_podman_and_skopeo_is_left_to_them(load_text: Load) -> None:
    """`REGISTRY_AUTH_FILE` would be an auth type that there is none of; it is told that it is not ours."""
    loaded = load_text(environ={"REGISTRY_AUTH_FILE": "/run/user/0/containers/auth.json"})
    assert (loaded.problems, loaded.applied) == ([], [])
    assert any("Podman" in warning for warning in loaded.warnings)


def test_map_keys_match_in_any_case_and_new_ones_are_lowered(load_text: Load) -> None:
    """A header that the file has is replaced, not doubled; a new field is lower-case."""
    text = FILESYSTEM + "log: {fields: {Service: old}}\n"
    text = text.replace("http: {", "http: {headers: {X-Frame-Options: [DENY]}, ")
    environ = {
        "REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS": "[SAMEORIGIN]",
        "REGISTRY_LOG_FIELDS_SERVICE": "new",
        "REGISTRY_LOG_FIELDS_ENVIRONMENT": "staging",
    }
    config = load_text(text, environ).config
    assert config.http.headers == {"X-Frame-Options": ("SAMEORIGIN",)}
    assert config.log.fields == {"Service": "new", "environment": "staging"}


def test_a_nested_log_field_is_made_on_the_way(load_text: Load) -> None:
    """A map of anything takes maps."""
    fields = load_text(environ={"REGISTRY_LOG_FIELDS_A_B": "7"}).config.log.fields
    assert fields == {"a": {"b": 7}}


def test_a_list_takes_indexes(load_text: Load) -> None:
    """The index after the last appends, as in registry:3."""
    environ = {
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME": "first",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_DISABLED": "true",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_1_NAME": "second",
        "REGISTRY_HTTP_TLS_CLIENTCAS_0": "/ca.pem",
    }
    config = load_text(environ=environ).config
    assert [endpoint.name for endpoint in config.notifications.endpoints] == ["first", "second"]
    assert config.notifications.endpoints[0].disabled is True
    assert config.http.tls.clientcas == ("/ca.pem",)


def test_a_whole_list_is_one_value(load_text: Load) -> None:
    """The way of registry:2, where indexes do nothing."""
    value = "[{name: a, url: 'http://x', disabled: true}, {name: b, disabled: true}]"
    config = load_text(environ={"REGISTRY_NOTIFICATIONS_ENDPOINTS": value}).config
    assert [endpoint.name for endpoint in config.notifications.endpoints] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS_2_NAME", "leaves a gap"),
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS_FIRST_NAME", "'FIRST' is no index"),
    ],
)
def test_a_wrong_index_is_an_error(load_text: Load, name: str, reason: str) -> None:
    """A gap or a word where an index belongs stops the start."""
    problems = load_text(environ={name: "x"}).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"environment variable {name}: ")
    assert reason in problems[0]


def test_an_unknown_name_below_an_index_adds_nothing(load_text: Load) -> None:
    """A typing error in a variable leaves no empty entry behind."""
    assert load_text(environ={"REGISTRY_HEALTH_FILECHECKERS_0_FOO": "x"}).config.health.file == ()


def test_maintenance_can_be_set_where_the_file_has_it(load_text: Load) -> None:
    """registry:2 passes over this variable when the file has the section; we do what was meant."""
    text = FILESYSTEM.replace("}}", "}, maintenance: {uploadpurging: {enabled: true, age: 24h}}}")
    config = load_text(text, {"REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED": "false"}).config
    purging = config.storage.maintenance.uploadpurging
    assert (purging.enabled, purging.age) == (False, 86_400.0)


def test_an_empty_value_means_the_default(load_text: Load) -> None:
    """An empty variable is YAML's null: Go's zero value, our default."""
    text = FILESYSTEM + "log: {level: debug}\n"
    assert load_text(text, {"REGISTRY_LOG_LEVEL": ""}).config.level == "info"


@pytest.mark.parametrize("value", ["@hunter2", "*hunter2", "[hunter2", "'hunter2"])
def test_a_value_that_is_not_yaml_is_an_error_that_does_not_repeat_it(load_text: Load, value: str) -> None:
    """The variable is named, the value, perhaps a secret, is not."""
    problems = load_text(environ={"REGISTRY_HTTP_SECRET": value}).problems
    assert "environment variable REGISTRY_HTTP_SECRET: the value cannot be read as YAML" in problems[0]
    assert "hunter2" not in problems[0]


def test_a_wrong_value_names_the_variable(refuse_text: Refuse) -> None:
    """Who looks for the mistake in the file would search for long."""
    problems = refuse_text(environ={"REGISTRY_HTTP_TLS_MINIMUMTLS": "tls9"})
    assert problems[0].startswith("http.tls.minimumtls (from REGISTRY_HTTP_TLS_MINIMUMTLS): must be one of 'tls1.0'")


def test_a_variable_below_a_plain_value_is_an_error(refuse_text: Refuse) -> None:
    """The file has text where a section belongs: both faults are told."""
    problems = refuse_text(FILESYSTEM + "log: loud\n", {"REGISTRY_LOG_LEVEL": "debug"})
    assert problems == [
        "environment variable REGISTRY_LOG_LEVEL: the configuration has another kind of value on the way to this key",
        "log: must be a section with keys",
    ]


def _leaves(section: type[Section], path: tuple[str, ...], words: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    for key in keys(section).values():
        here, names = (*path, key.name), (*words, key.variable)
        if isinstance(key.shape, type):
            found += _leaves(key.shape, here, names)
        elif isinstance(key.shape, Leaf) and "_" not in key.name and key.name != "version":
            found.append((here, "_".join(names)))
    return found


LEAVES = _leaves(Config, (), ("REGISTRY",))


@given(
    st.dictionaries(
        st.sampled_from(LEAVES), st.text(string.ascii_letters + string.digits, min_size=1).map(lambda text: f"v{text}")
    )
)
def test_every_key_can_be_set_by_its_variable(chosen: dict[tuple[tuple[str, ...], str], str]) -> None:
    """Any set of variables lands at its keys, each with its value, and nothing else appears."""
    tree: Tree = {}
    overrides = apply_environment(tree, {name: value for (_, name), value in chosen.items()})
    assert overrides.warnings == []
    assert overrides.problems == []
    for (path, name), value in chosen.items():
        node: object = tree
        for step in path:
            assert isinstance(node, dict)
            node = node[step]
        assert node == Plain(value)
        assert overrides.applied[name] == path


@given(
    st.dictionaries(
        st.lists(
            st.sampled_from(["HTTP", "STORAGE", "LOG", "FIELDS", "0", "1", "", "AUTH", "ADDR", "HEADERS", "TLS", "X"]),
            min_size=1,
            max_size=5,
        ).map(lambda words: "_".join(["REGISTRY", *words])),
        st.sampled_from(["", "x", "[a]", "{a: b}", "~", "[", "'", "7"]),
        max_size=6,
    )
)
def test_no_variables_break_the_rule(environ: dict[str, str]) -> None:
    """Whatever a stranger puts into the environment: each variable is applied, ignored or refused, never worse."""
    tree: Tree = {"version": Plain("0.1"), "storage": {"filesystem": {"rootdirectory": "/x"}}}
    overrides = apply_environment(tree, environ)
    assert len(overrides.applied) + len(overrides.warnings) + len(overrides.problems) == len(environ)
