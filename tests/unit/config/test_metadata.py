"""Where the databases are: in a folder, in PostgreSQL, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot.config import ConfigInvalid, check, load
from entrepot.config.checking import Report

URL = "postgresql://entrepot:s3cret@db.example/entrepot"
KEY = {"ENTREPOT_SECRET_KEY": "any"}
FILE = "version: 0.1\nstorage: {filesystem: {rootdirectory: DATA}}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give a registry:2 file."""
    path = tmp_path / "config.yml"
    path.write_text(FILE.replace("DATA", str(tmp_path / "data")), encoding="utf-8")
    return path


def checked(config: Path, more: str, environ: dict[str, str] | None = None) -> Report:
    """Check the file with something added."""
    config.write_text(config.read_text() + more, encoding="utf-8")
    return check(config, KEY if environ is None else environ)


def test_without_a_word_they_are_in_the_folder(config: Path) -> None:
    """A registry:2 file means what it always meant."""
    loaded = load(config, {}).config
    assert not loaded.on_server
    assert loaded.state == loaded.data / "entrepot"
    assert check(config, {}).ok


def test_our_variable_outweighs_the_file(config: Path) -> None:
    """ENTREPOT_METADATA_URL stands above metadata.url, metadata.urlfile and GitLab's section."""
    config.write_text(config.read_text() + "metadata: {url: 'postgresql://other/x'}\ndatabase: {enabled: true}\n")
    loaded = load(config, {"ENTREPOT_METADATA_URL": URL})
    assert loaded.config.database_urls() == (URL, URL)
    assert not loaded.problems
    assert load(config, {"REGISTRY_METADATA_URL": URL}).config.database_urls()[0] == URL


def test_a_file_holds_the_address(config: Path, tmp_path: Path) -> None:
    """The secret may lie in a file, named by the configuration or by a variable; it is read when it is needed."""
    secret = tmp_path / "url"
    assert checked(config, f"metadata: {{urlfile: {secret}}}\n").problems == [
        f"metadata.urlfile: cannot read {secret}: No such file or directory"
    ]
    secret.write_text(f"{URL}\n")
    assert load(config, {}).config.database_urls()[0] == URL
    assert load(config, {"ENTREPOT_METADATA_URL_FILE": str(secret)}).config.database_urls()[0] == URL


def test_a_pooled_address_may_have_a_direct_one_beside_it(config: Path) -> None:
    """`directurl` leads to the same database without the pooler."""
    config.write_text(config.read_text() + f"metadata: {{url: '{URL}', directurl: 'postgresql://direct/x'}}\n")
    assert load(config, {}).config.database_urls() == (URL, "postgresql://direct/x")


def test_the_words_of_gitlab_are_understood(config: Path) -> None:
    """Host, port, name, password and TLS of its `database` section make up the address; special signs survive."""
    more = (
        "database: {enabled: true, host: db.example, port: 6432, user: reg, password: 'p@ss/word', dbname: registry, "
        "sslmode: verify-full, sslrootcert: /ca.pem, pool: {maxopen: 25}}\n"
    )
    assert checked(config, more).ok
    loaded = load(config, {}).config
    assert loaded.database_urls()[0] == (
        "postgresql://reg:p%40ss%2Fword@db.example:6432/registry?sslmode=verify-full&sslrootcert=%2Fca.pem"
    )
    assert loaded.database_connections == 25
    off = load(config, {"REGISTRY_DATABASE_ENABLED": "false"})
    assert not off.config.on_server


def test_an_object_store_needs_a_place_for_the_databases(config: Path) -> None:
    """Without metadata.url or metadata.folder there would be none that lasts; the message says what to name."""
    store = "version: 0.1\nstorage: {s3: {region: eu-west-1, bucket: images}}\n"
    config.write_text(store, encoding="utf-8")
    assert any(one.startswith("metadata: the databases need a place") for one in load(config, {}).problems)
    for more in ("metadata: {folder: /state}\n", f"metadata: {{url: '{URL}'}}\n"):
        config.write_text(store + more, encoding="utf-8")
        assert not [one for one in load(config, {}).problems if one.startswith("metadata")]


def test_a_certificate_that_is_got_needs_a_folder(config: Path) -> None:
    """A node without a folder has no place for it; the proxy in front, or a file, has to have the certificate."""
    tls = f"http: {{tls: {{letsencrypt: {{hosts: [r.example.org]}}}}}}\nmetadata: {{url: '{URL}'}}\n"
    config.write_text(f"version: 0.1\nstorage: {{s3: {{region: eu-west-1, bucket: images}}}}\n{tls}", encoding="utf-8")
    assert any(one.startswith("http.tls.letsencrypt: has no folder") for one in load(config, {}).problems)
    config.write_text(f"{FILE}{tls}", encoding="utf-8")
    assert not load(config, {}).problems


def test_a_shared_database_wants_the_secret_key_given(config: Path) -> None:
    """Nodes could not read each other's secrets; the check says how to make a key."""
    found = checked(config, f"metadata: {{url: '{URL}'}}\n", {}).problems
    assert len(found) == 1
    assert found[0].startswith("metadata: PostgreSQL is shared by nodes")
    assert "set ENTREPOT_SECRET_KEY or ENTREPOT_SECRET_KEY_FILE; make one with: openssl rand -base64 32" in found[0]


def test_the_password_is_never_shown(config: Path) -> None:
    """Neither a representation nor an error repeats the address."""
    config.write_text(config.read_text() + f"metadata: {{url: '{URL}', pool: {{size: 0}}}}\n")
    with pytest.raises(ConfigInvalid) as refused:
        load(config, {})
    assert "s3cret" not in str(refused.value)
    config.write_text(config.read_text().replace("size: 0", "size: 4"))
    assert "s3cret" not in repr(load(config, {}).config)
