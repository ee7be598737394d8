"""The rules for what may be pushed, as registry:2 and registry:3 apply them."""

import pytest

from entrepot.config.schema.content import LONGEST_URL, IndexRules, UrlRules, Validation

URL = "https://layers.example.org/x"


@pytest.mark.parametrize(
    ("rules", "permitted"),
    [
        ({}, False),
        ({"allow": [r"^https://layers\.example\.org/"]}, True),
        ({"allow": ["example"]}, True),
        ({"allow": [r"^http://", r"example\.org"]}, True),
        ({"allow": [r"^http://"]}, False),
        ({"deny": [r"^http://"]}, True),
        ({"deny": ["layers"]}, False),
        ({"allow": ["example"], "deny": ["layers"]}, False),
    ],
)
def test_urls_need_an_allowed_pattern_and_no_denied_one(rules: dict[str, list[str]], *, permitted: bool) -> None:
    """Without any pattern nothing is allowed; with only denied ones all else is."""
    assert UrlRules.model_validate(rules).permit(URL) is permitted
    assert Validation.model_validate({"enabled": True, "manifests": {"urls": rules}}).permits_url(URL) is permitted


def test_urls_are_allowed_when_nobody_wrote_rules() -> None:
    """Layers that may not be distributed are pushed with their URLs; we never fetch them."""
    assert Validation().permits_url(URL) is True
    assert Validation.model_validate({"manifests": {"urls": {"deny": ["layers"]}}}).permits_url(URL) is False


def test_a_long_url_is_refused_unseen() -> None:
    """A pattern that takes its time must not get a megabyte to take it over."""
    rules = UrlRules(allow=("(a+)+$",))
    assert rules.permit("a" * LONGEST_URL) is True
    assert rules.permit("a" * (LONGEST_URL + 1)) is False


@pytest.mark.parametrize(
    ("switches", "permitted"),
    [({"disabled": True}, True), ({"enabled": True}, False), ({"enabled": True, "disabled": True}, False)],
)
def test_the_rules_can_be_switched_off(switches: dict[str, bool], *, permitted: bool) -> None:
    """`disabled` allows every URL, unless the old `enabled` outweighs it."""
    assert Validation.model_validate(switches).permits_url(URL) is permitted


@pytest.mark.parametrize(
    ("rules", "amd64", "arm64", "none"),
    [
        ({}, True, True, True),
        ({"platforms": "none"}, False, False, False),
        ({"sparse": True}, False, False, False),
        ({"platforms": "list", "platformlist": [{"os": "linux", "architecture": "amd64"}]}, True, False, True),
        ({"platforms": "list"}, True, True, True),
        ({"platforms": "all", "platformlist": [{"os": "linux", "architecture": "amd64"}]}, True, True, True),
    ],
)
def test_which_images_of_an_index_must_be_there(
    rules: dict[str, object], *, amd64: bool, arm64: bool, none: bool
) -> None:
    """All, none, or those of the list; an image without a platform counts as listed."""
    index = IndexRules.model_validate(rules)
    assert index.require(architecture="amd64", os="linux") is amd64
    assert index.require(architecture="arm64", os="linux") is arm64
    assert index.require(architecture="", os="") is none


@pytest.mark.parametrize("pattern", ["(", "[[:alpha:]]", r"\z", "*"])
def test_a_pattern_that_go_reads_otherwise_is_refused(pattern: str) -> None:
    """Better no start than a rule that means something else."""
    with pytest.raises(ValueError, match="regular expression"):
        UrlRules(allow=(pattern,))
