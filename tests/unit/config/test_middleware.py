"""`middleware.storage`: registry:2's sections unchanged, our own, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from entrepot.config.errors import ConfigInvalid
from entrepot.config.files import inspect_files
from entrepot.config.schema.middleware import CloudFront, GoogleCdn, PlainRedirect, SignedUrl
from tests.unit.config.conftest import MINIMAL, Load


def _storage(options: str) -> str:
    return f"{MINIMAL}middleware:\n  storage:\n    - {options}\n"


def test_cloudfront_as_registry2_writes_it(load_text: Load) -> None:
    """The section of registry:2's documentation, with its old spelling, and a base without a scheme."""
    text = _storage(
        "{name: cloudfront, options: {baseurl: my.cloudfront.example/, privatekey: /k.pem, keypairid: ABC, "
        "duration: 3000s, ipfilteredby: awsregion, awsregion: 'us-east-1, use-east-2', updatefrenquency: 13h, "
        "iprangesurl: 'https://ranges.example'}}"
    )
    options = load_text(text).config.middleware.storage[0].settings
    assert isinstance(options, CloudFront)
    assert options.baseurl == "https://my.cloudfront.example"
    assert (options.duration, options.updatefrequency) == (3000.0, 13 * 3600.0)
    assert options.awsregion == ("us-east-1", "use-east-2")


def test_redirect_keeps_its_path(load_text: Load) -> None:
    """The base may have a path; registry:2 takes its slash at the end away, too."""
    text = _storage("{name: redirect, options: {baseurl: 'https://files.example.org/a/b/'}}")
    options = load_text(text).config.middleware.storage[0].settings
    assert isinstance(options, PlainRedirect)
    assert options.baseurl == "https://files.example.org/a/b"


def test_options_are_never_shown(load_text: Load) -> None:
    """Some options are keys, so `config show` masks them all."""
    text = _storage("{name: cloudflare, options: {baseurl: cdn.example.org, key: hunter2}}")
    config = load_text(text).config
    assert "hunter2" not in repr(config) + config.model_dump_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{name: redirect}", "redirect: options.baseurl is required"),
        ("{name: redirect, options: {baseurl: files.example.org}}", "redirect: options.baseurl must be a URL"),
        ("{name: cloudfront, options: {baseurl: c}}", "options.privatekey is required; options.keypairid is required"),
        (
            "{name: cloudfront, options: {baseurl: c, privatekey: /k, keypairid: k, ipfilteredby: awsregion}}",
            "needs 'awsregion'",
        ),
        ("{name: cloudflare, options: {baseurl: c}}", "give either 'key' or 'keyfile'"),
        ("{name: cloudflare, options: {baseurl: c, key: hunter2, keyfile: /k}}", "give either 'key' or 'keyfile'"),
        ("{name: tencentcdn, options: {baseurl: c, key: hunter2, type: E}}", "options.type Input should be"),
        ("{name: signedurl, options: {baseurl: c, key: hunter2, message: '{expires}'}}", "must have {path}"),
        ("{name: signedurl, options: {baseurl: c, key: hunter2, url: '{path}{key}'}}", "may name, in braces"),
        ("{name: signedurl, options: {baseurl: c, key: hunter2, url: '{path.x}'}}", "may name, in braces"),
        ("{name: signedurl, options: {baseurl: c, key: hunter2, hash: md5}}", "needs {key} in 'message'"),
        ("{name: fastly, options: {baseurl: c, key: hunter2, duration: 1s}}", "options.duration Input should be"),
    ],
)
def test_wrong_options_are_an_error_that_says_which(load_text: Load, options: str, message: str) -> None:
    """A registry does not start with a middleware that it would not obey; the message never holds a key."""
    with pytest.raises(ConfigInvalid) as caught:
        load_text(_storage(options))
    (problem,) = caught.value.problems
    assert problem.startswith("middleware.storage[0]: ")
    assert message in problem
    assert "hunter2" not in problem


def test_the_forms_of_nginx_and_fastly_can_be_changed(load_text: Load) -> None:
    """What one has configured there is followed."""
    text = _storage("{name: fastly, options: {baseurl: c, key: aa, keyencoding: hex, message: '{path}@{begins_hex}'}}")
    options = load_text(text).config.middleware.storage[0].settings
    assert isinstance(options, SignedUrl)
    assert (options.message, options.key_bytes()) == ("{path}@{begins_hex}", b"\xaa")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{name: akamai, options: {baseurl: c, key: hunter2}}", "holds no key of the kind"),
        ("{name: googlecdn, options: {baseurl: c, keyname: k, key: hunter}}", "holds no key of the kind"),
        ("{name: fastly, options: {baseurl: c, keyfile: /nowhere}}", "cannot read /nowhere"),
        ("{name: cloudfront, options: {baseurl: c, privatekey: /nowhere, keypairid: k}}", "cannot read /nowhere"),
    ],
)
def test_keys_are_looked_at_before_a_start(load_text: Load, options: str, message: str, tmp_path: Path) -> None:
    """A key that is not there, or none, is named before a client would find out; `tmp_path` keeps the folder away."""
    del tmp_path
    found = inspect_files(load_text(_storage(options)).config)
    (problem,) = [text for text in found.problems if text.startswith("middleware")]
    assert message in problem
    assert "hunter" not in problem


def test_excepted_networks(load_text: Load) -> None:
    """`storage.redirect.except` lists addresses and networks, and a wrong one is an error."""
    text = "version: 0.1\nstorage: {{filesystem: , redirect: {{except: [{}]}}}}\n"
    redirect = load_text(text.format("10.0.0.0/8, '2001:db8::1'")).config.storage.redirect
    assert [str(network) for network in redirect.except_networks] == ["10.0.0.0/8", "2001:db8::1/128"]
    with pytest.raises(ConfigInvalid, match=r"storage\.redirect\.except"):
        load_text(text.format("here"))


def test_googlecdn_as_gitlab_writes_it(load_text: Load) -> None:
    """GitLab's container registry names the same options; its `privatekey` is a file."""
    options = (
        load_text(
            _storage("{name: googlecdn, options: {baseurl: cdn.example, privatekey: /k, keyname: first, duration: 1m}}")
        )
        .config.middleware.storage[0]
        .settings
    )
    assert isinstance(options, GoogleCdn)
    assert (options.keyfile, options.keyname, options.duration) == ("/k", "first", 60.0)


def test_what_the_how_to_page_shows_is_right(load_text: Load) -> None:
    """Every piece of configuration on the page is one that a registry over S3 would start with."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "put-a-cdn-in-front.md").read_text(encoding="utf-8")
    pieces = [yaml.safe_load(piece.partition("```")[0]) for piece in page.split("```yaml\n")[1:]]
    assert len(pieces) == 4
    for piece in pieces:
        config = {
            "version": "0.1",
            "metadata": {"folder": "/srv/state"},
            **piece,
            "storage": {"s3": {"bucket": "b", "region": "r"}, **piece.get("storage", {})},
        }
        loaded = load_text(yaml.safe_dump(config))
        assert loaded.problems == []
        assert not [warning for warning in loaded.warnings if "unknown key" in warning]
