"""The rules by which outside tokens speak for a robot."""

from __future__ import annotations

from typing import Any

import pytest

from entrepot.access.tokens.robot_trust import TrustInvalid, as_document, parse_trusts, read_trusts, write_trusts
from entrepot.access.tokens.trust_binding import binding_of, trust_warnings

GITHUB: dict[str, Any] = {
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "https://registry.example.org",
    "claims": {"repository": "acme/app", "ref": {"pattern": "refs/heads/release/*"}},
}


def with_claims(**claims: object) -> dict[str, Any]:
    """Give the rules with other claims."""
    return {**GITHUB, "claims": claims}


def allows(rule: object, value: object) -> bool:
    """Tell whether a rule lets a claim pass."""
    (trust,) = parse_trusts([with_claims(x=rule)])
    return not trust.refusal({"x": value})


def test_rules_come_back_as_they_were() -> None:
    """What a row keeps, and what the API shows, is what was given."""
    entries = [GITHUB, with_claims(a=["b", "c"], d={"patterns": ["e*", "f*"]}, g="true")]
    trusts = parse_trusts(entries)
    assert [as_document(trust) for trust in trusts] == entries
    assert read_trusts(write_trusts(trusts)) == trusts
    assert write_trusts(()) is None
    assert read_trusts(None) == ()


def test_each_claim_must_fit() -> None:
    """One claim that differs is enough to refuse, and the refusal names it."""
    (trust,) = parse_trusts([GITHUB])
    good = {"repository": "acme/app", "ref": "refs/heads/release/1"}
    assert trust.refusal(good) == ""
    for claim, value in (("repository", "acme/app2"), ("ref", "refs/heads/main"), ("ref", "refs/heads/release/1/x")):
        assert f"claim {claim} " in trust.refusal({**good, claim: value})
    assert "claim repository " in trust.refusal({"ref": good["ref"]})


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("main", "main", True),
        ("main", "Main", False),
        ("main", " main", False),
        ("main", None, False),
        ("main", ["other", "main"], True),
        ("main", {"main": 1}, False),
        (["a", "b"], "b", True),
        (["a", "b"], "c", False),
        (7, 7, True),
        (7, "7", True),
        ("true", True, True),
        (True, "true", True),
        (True, 1, False),
        ({"pattern": "acme/*"}, "acme/app", True),
        ({"pattern": "acme/*"}, "acme/app/deep", False),
        ({"pattern": "acme/**"}, "acme/app/deep", True),
        ({"pattern": "acme/*"}, "evil-acme/app", False),
        ({"pattern": "v1.?"}, "v1x2", False),
        ({"patterns": ["a*", "b*"]}, "bc", True),
    ],
)
def test_what_a_rule_lets_pass(rule: object, value: object, *, expected: bool) -> None:
    """Values are compared whole and by case, patterns as in grants; of a list, one member has to fit."""
    assert allows(rule, value) is expected


@pytest.mark.parametrize(
    "entry",
    [
        {},
        "https://issuer.test",
        {**GITHUB, "issuer": "issuer.test"},
        {**GITHUB, "issuer": "ftp://issuer.test"},
        {**GITHUB, "issuer": "https://"},
        {**GITHUB, "issuer": "https://issuer.test/?x=1"},
        {**GITHUB, "issuer": "https://user:pw@issuer.test"},
        {**GITHUB, "issuer": "https://issuer.test/\n"},
        {**GITHUB, "audience": ""},
        {**GITHUB, "audience": ["a"]},
        {**GITHUB, "extra": 1},
        {**GITHUB, "claims": {}},
        {**GITHUB, "claims": []},
        with_claims(iss="https://issuer.test"),
        with_claims(exp=1),
        with_claims(**{"": "x"}),
        with_claims(x=None),
        with_claims(x=[]),
        with_claims(x=[["a"]]),
        with_claims(x=1.5),
        with_claims(x={"pattern": ""}),
        with_claims(x={"pattern": "a{b"}),
        with_claims(x={"pattern": "*"}),
        with_claims(x={"pattern": "**/*"}),
        with_claims(x={"pattern": "a", "more": 1}),
        with_claims(x={"patterns": []}),
        with_claims(**{f"c{number}": "x" for number in range(21)}),
    ],
)
def test_rules_that_mean_nothing_or_everything(entry: object) -> None:
    """Rules without an issuer, an audience or a claim, or that let everybody's job pass, are refused."""
    with pytest.raises(TrustInvalid):
        parse_trusts([entry])


def test_a_robot_trusts_few() -> None:
    """Twenty rules are enough; what is no list is refused."""
    assert len(parse_trusts([GITHUB] * 20)) == 20
    for entries in ([GITHUB] * 21, GITHUB, None):
        with pytest.raises(TrustInvalid):
            parse_trusts(entries)


HOUSE = "https://ci.example.org"
ENTERPRISE = "https://github.example.org/_services/token"


def binding(issuer: str = HOUSE, **claims: object) -> str:
    """Say how a trust is bound: to somebody, by name alone, or to nobody."""
    (trust,) = parse_trusts([{**with_claims(**claims), "issuer": issuer}])
    found = binding_of(trust)
    return "nobody" if found.refusal else "name" if found.weakness else "bound"


@pytest.mark.parametrize(
    "claims",
    [
        {"ref": "refs/heads/main"},
        {"ref": "refs/heads/main", "environment": "production", "ref_protected": True},
        {"job_workflow_ref": "acme/shared/.github/workflows/build.yml@refs/heads/main"},
        {"actor_id": "17"},
        {"repository": {"pattern": "*/app"}},
        {"repository": {"pattern": "acme*/app"}},
        {"repository": {"pattern": "{acme,acme2}/app"}},
        {"repository": {"patterns": ["acme/app", "**/app"]}},
        {"repository_owner": {"pattern": "acme*"}},
        {"repository_id": {"pattern": "74*"}},
        {"project_path": {"pattern": "acme?/web"}},
        {"sub": {"pattern": "repo:*/app:ref:refs/heads/main"}},
        {"sub": {"pattern": "repo:acme*/app:*"}},
        {"sub": {"pattern": "s*"}},
        {"sub": "environment:production"},
        {"sub": {"pattern": "ref:refs/heads/*"}},
    ],
)
def test_rules_that_let_everybodys_repository_in(claims: dict[str, object]) -> None:
    """A branch, an environment, a shared workflow, or how a name begins, say nothing of whose job it is."""
    assert binding(**claims) == "nobody"
    (warning,) = trust_warnings(parse_trusts([with_claims(**claims)]))
    assert warning.startswith("tokens are refused: none of its claims")


@pytest.mark.parametrize(
    "claims",
    [
        {"repository": "acme/app", "ref": {"pattern": "refs/heads/*"}},
        {"repository": {"pattern": "acme/*"}},
        {"repository": {"pattern": "acme/**"}},
        {"repository": ["acme/app", "acme/web"]},
        {"workflow_ref": {"pattern": "acme/app/.github/workflows/*"}},
        {"repository_owner": "acme"},
        {"repository_id": 74812, "ref": {"pattern": "refs/heads/*"}},
        {"sub": "repo:acme/app:ref:refs/heads/main"},
        {"sub": {"pattern": "repo:acme/*:ref:refs/heads/main"}},
        {"sub": {"pattern": "system:serviceaccount:ci:*"}},
        {"sub": "107517467455664443766"},
        {"email": "builder@acme.iam.gserviceaccount.com"},
        {"namespace_id": "72", "project_path": {"pattern": "*/web"}},
    ],
)
def test_rules_that_say_whose_job_it_is(claims: dict[str, object]) -> None:
    """One claim with a repository or an owner is enough, as a whole or with the owner before the first wildcard."""
    assert binding(**claims) == "bound"
    assert trust_warnings(parse_trusts([{**with_claims(**claims), "issuer": HOUSE}])) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "organization:*",
        "organization:*:pipeline:deploy:**",
        "organization:*:project:prod:**",
        "organization:acme*",
        "organization:{acme,evil}:pipeline:*",
        "organization/**",
        "account:*",
        "org/*",
        "https://github.com/*",
        "sc://*",
        "pulumi:deploy:*",
        "pulumi:deploy:organization:*",
        "actor:acme:*",
    ],
)
def test_a_wildcard_before_the_owner_of_a_subject_lets_every_tenant_in(pattern: str) -> None:
    """One CI service signs for many: what kind of owner it is stands fixed at the beginning of everybody's subject."""
    claims = {"sub": {"pattern": pattern}}
    assert binding(**claims) == "nobody"
    assert binding(**claims, pipeline_id="7") == "bound"


@pytest.mark.parametrize(
    "pattern",
    [
        "organization:acme:*",
        "organization:acme:pipeline:*",
        "organization:acme/**",
        "account:628a80b6:pipeline:*",
        "org/0f3c/project/*",
        "https://github.com/acme/*",
        "sc://acme/web/*",
        "pulumi:deploy:organization:acme:*",
        "system:serviceaccount:*",
        "repo:acme/*",
    ],
)
def test_a_wildcard_after_the_owner_of_a_subject_is_that_owners_alone(pattern: str) -> None:
    """What is fixed goes on to the owner's whole name."""
    assert binding(sub={"pattern": pattern}) == "bound"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("repository_visibility:public", "nobody"),
        ("environment:production", "nobody"),
        ("actor:alice", "nobody"),
        ("job_workflow_ref:acme/shared/.github/workflows/build.yml@refs/heads/main", "nobody"),
        ("whatever:comes:next", "nobody"),
        ("xrepo:acme/app", "nobody"),
        ({"pattern": "repository_owner:*"}, "nobody"),
        ({"pattern": "repository_owner:acme*"}, "nobody"),
        ({"pattern": "repository_visibility:public:**"}, "nobody"),
        ({"patterns": ["repo:acme/*", "repository_visibility:*"]}, "nobody"),
        ("repo:acme/app:ref:refs/heads/main", "name"),
        ("repo:acme@17/app@4711:ref:refs/heads/main", "name"),
        ({"pattern": "repo:acme/**"}, "name"),
        ("repository:acme/app:environment:production", "name"),
        ("repository_owner:acme", "name"),
        ({"pattern": "repository_owner:acme:*"}, "name"),
        ("repository_id:74812:ref:refs/heads/main", "name"),
        ({"pattern": "workflow_ref:acme/app/.github/workflows/*"}, "name"),
    ],
)
def test_a_subject_of_github_begins_with_a_repository_or_its_owner(subject: object, expected: str) -> None:
    """There a repository's people say which claim their subject begins with; all but these are everybody's."""
    for issuer in (GITHUB["issuer"], ENTERPRISE):
        assert binding(issuer, sub=subject) == expected
    (warning,) = trust_warnings(parse_trusts([with_claims(sub=subject)]))
    assert warning.startswith("tokens are refused" if expected == "nobody" else "tokens still work")


@pytest.mark.parametrize(
    ("issuer", "claims", "hint"),
    [
        (GITHUB["issuer"], {"repository": "acme/app"}, "repository_id"),
        (f"{GITHUB['issuer']}/acme-corp", {"repository_owner": "acme"}, "repository_owner_id"),
        (ENTERPRISE, {"sub": "repo:acme/app:ref:refs/heads/main"}, "repository_id"),
        (HOUSE, {"project_path": "acme/web", "ref_protected": "true"}, "project_id"),
        (HOUSE, {"sub": "project_path:acme/web:ref_type:branch:ref:main"}, "namespace_id"),
    ],
)
def test_names_where_the_issuer_gives_numbers(issuer: str, claims: dict[str, object], hint: str) -> None:
    """GitHub and GitLab give lasting numbers; a name alone could be taken by somebody else, and the hint says which."""
    assert binding(issuer, **claims) == "name"
    (warning,) = trust_warnings(parse_trusts([{**with_claims(**claims), "issuer": issuer}]))
    assert warning.startswith("tokens still work, but")
    assert hint in warning
    assert binding(issuer, **claims, repository_id="74812") == "bound"
