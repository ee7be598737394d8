"""Whether the rules of a robot's trust say whose jobs it lets in.

A CI service signs tokens for the jobs of all its users. A branch, an environment or a workflow is something that
anybody may have in a repository of their own, so at least one rule has to name a repository or its owner; by number
where the issuer gives one, for a name that is given up can be taken by somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from entrepot.access.tokens.robot_trust import ClaimRule, Trust

#: Numbers and other lasting names that an issuer gives once. GitHub, GitLab, Buildkite, Bitbucket, CircleCI, Semaphore.
_LASTING: Final = frozenset(
    {
        *("repository_id", "repository_owner_id", "enterprise_id"),
        *("project_id", "namespace_id"),
        *("organization_id", "pipeline_id"),
        *("repositoryUuid", "workspaceUuid"),
        *("oidc.circleci.com/project-id", "oidc.circleci.com/org-id"),
        *("prj_id", "org_id"),
    }
)
#: Names with the owner before the first slash, and names of owners alone.
_WITHIN_OWNER: Final = frozenset({"repository", "project_path", "namespace_path", "workflow_ref"})
_OWNER: Final = frozenset({"repository_owner", "enterprise", "organization_slug"})
#: What stands for a machine or an account where issuers are no CI services: Keycloak, Google, Azure, Kubernetes.
_ACCOUNT: Final = frozenset({"azp", "client_id", "appid", "oid", "email"})
#: How the subject of a job begins: with the repository at GitHub and its like, with the project at GitLab.
_JOB_SUBJECT: Final = re.compile(r"(?:repo|project_path):[^/*]+/")
#: Subjects like those that GitHub lets an organization put together, which say what runs and not whose it is.
_LOOSE_SUBJECT: Final = re.compile(
    r"(?:repo|project_path|ref|ref_type|environment|event_name|context|workflow|job_workflow_ref|runner_environment"
    r"|repository_visibility|actor|actor_id|head_ref|base_ref):"
)
_VALUE: Final = r"[^:/*?{\[]+"
#: All that counts at GitHub, where a subject may begin with any claim.
_GITHUB_SUBJECT: Final = re.compile(
    rf"(?:repo|repository|workflow_ref):{_VALUE}/"
    rf"|(?:repository_id|repository_owner|repository_owner_id|enterprise|enterprise_id):{_VALUE}(?::|\Z)"
)
#: What goes before a wildcard in other subjects: the kind of owner and the owner (`organization:acme:`), whole. The
#: scheme of an address is neither, nor is what kind of job it is at Pulumi (`pulumi:deploy:organization:acme:`).
_OWNER_SUBJECT: Final = re.compile(rf"(?:{_VALUE}://|pulumi:{_VALUE}:|(?!pulumi:)){_VALUE}[:/]{_VALUE}[:/]")
_GITHUB_HOST: Final = "token.actions.githubusercontent.com"
_GITHUB_SERVER_PATH: Final = "/_services/token"
_GITLAB_CLAIMS: Final = frozenset({"project_path", "namespace_path"})
_GITHUB_HINT: Final = "repository_id (`gh api repos/OWNER/NAME --jq .id` prints it) or repository_owner_id"
_GITLAB_HINT: Final = "project_id (the page of the project shows it) or namespace_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What is wrong with how a trust says whose jobs it means; empty texts where nothing is."""

    refusal: str = ""  #: why it can let nobody in
    weakness: str = ""  #: why no such trust is made any more, though those that there are go on


def binding_of(trust: Trust) -> Binding:
    """Say how well a trust is bound to a repository or an owner."""
    of_github = _is_github(trust)
    binding = [rule.claim for rule in trust.rules if _binds(rule, of_github=of_github)]
    if _LASTING.intersection(binding):
        return Binding()
    hint = _hint(trust)
    if not binding:
        claims = ", ".join(rule.claim for rule in trust.rules)
        return Binding(
            refusal=f"none of its claims ({claims}) says whose jobs it means, so those of every repository of "
            f"{trust.issuer} could be the robot; add {hint or 'repository, or sub'}"
        )
    if hint:
        return Binding(
            weakness=f"it names a repository or owner of {trust.issuer} by a name, which somebody else can take once "
            f"it is given up; add {hint}"
        )
    return Binding()


def trust_warnings(trusts: Sequence[Trust]) -> list[str]:
    """Say what is wrong with trusts that were made before they had to say whose jobs they mean, and what happens."""
    bindings = [binding_of(trust) for trust in trusts]
    refused = [f"tokens are refused: {binding.refusal}" for binding in bindings if binding.refusal]
    return refused + [f"tokens still work, but {binding.weakness}" for binding in bindings if binding.weakness]


def _hint(trust: Trust) -> str:
    """Name the lasting claims of an issuer that is known to give them."""
    if _is_github(trust):
        return _GITHUB_HINT
    if any(rule.claim in _GITLAB_CLAIMS or _is_of_gitlab(rule) for rule in trust.rules):
        return _GITLAB_HINT
    return ""


def _is_github(trust: Trust) -> bool:
    parts = urlsplit(trust.issuer)
    return parts.hostname == _GITHUB_HOST or parts.path.rstrip("/").endswith(_GITHUB_SERVER_PATH)


def _is_of_gitlab(rule: ClaimRule) -> bool:
    return rule.claim == "sub" and any(text.startswith("project_path:") for text, _ in _starts(rule))


def _binds(rule: ClaimRule, *, of_github: bool) -> bool:
    """Tell whether a rule lets in the jobs of named repositories or owners alone, whichever of its texts fits."""
    if rule.claim != "sub":
        return all(_says_who(rule.claim, text, whole=whole) for text, whole in _starts(rule))
    if of_github:
        return all(_GITHUB_SUBJECT.match(text) for text, _ in _starts(rule))
    return all(_subject_says_who(text, whole=whole) for text, whole in _starts(rule))


def _says_who(claim: str, text: str, *, whole: bool) -> bool:
    """Tell whether a claim with this text, or with this before its first wildcard, belongs to one owner."""
    if claim in _WITHIN_OWNER:
        return whole or text.find("/") > 0
    return whole and claim in _LASTING | _OWNER | _ACCOUNT


def _subject_says_who(text: str, *, whole: bool) -> bool:
    """Tell the same of a subject: one service signs for many owners, so a wildcard may come after the owner alone."""
    if _LOOSE_SUBJECT.match(text):
        return bool(_JOB_SUBJECT.match(text))
    return whole or bool(_OWNER_SUBJECT.match(text))


def _starts(rule: ClaimRule) -> list[tuple[str, bool]]:
    """List what each text of a rule begins with, up to its first wildcard, and whether that is all of it."""
    fixed = [(text, True) for text in rule.values]
    return fixed + [(p.text[: len(p.beginning) + 1], p.is_plain) for p in rule.patterns]
