"""Which outside tokens speak for a robot: an issuer, an audience, and what the token's claims must be.

    {"issuer": "https://token.actions.githubusercontent.com", "audience": "https://registry.example.org",
     "claims": {"repository_id": "74812", "ref": {"pattern": "refs/heads/release/*"}}}

A claim is compared exactly, with one of several values, or with patterns as in grants (`*` stops at "/", `**` does
not). At least one claim must be asked for: an issuer like the one above signs tokens for everybody's jobs. Which
claims say whose job it is: `trust_binding`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from entrepot.access.patterns import Pattern, PatternInvalid

_MOST = 20
_MOST_CLAIMS = 20
_LONGEST = 512
_CLAIM = re.compile(r"[A-Za-z0-9_./:@-]{1,128}")
#: Fields of every token: the issuer and the audience are rules of their own, and times say nothing of who it is.
_NOT_RULES = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})


class TrustInvalid(ValueError):
    """The rules cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRule:
    """What one claim must be: one of `values`, or fitting one of `patterns`."""

    claim: str
    values: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()

    def allows(self, claims: Mapping[str, object]) -> bool:
        """Tell whether a token's claim is as it must be; of a list, one member has to be."""
        return any(
            text in self.values or any(p.matches(text) for p in self.patterns) for text in _texts(claims, self.claim)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """One issuer's tokens that speak for a robot."""

    issuer: str
    audience: str
    rules: tuple[ClaimRule, ...]

    def refusal(self, claims: Mapping[str, object]) -> str:
        """Say which claim is not as it must be; the empty text when the token speaks for the robot.

        Issuer, audience, signature and times have been looked at before.
        """
        wrong = [rule.claim for rule in self.rules if not rule.allows(claims)]
        return f"its claim {wrong[0]} is not what the robot's trust asks for" if wrong else ""


def parse_trusts(entries: object) -> tuple[Trust, ...]:
    """Read rules as people give them.

    Raises:
        TrustInvalid: They cannot be used; the message says why.
    """
    if not isinstance(entries, list) or len(entries) > _MOST:
        raise TrustInvalid(f"trust is a list of up to {_MOST} objects with issuer, audience and claims")
    return tuple([_trust(entry) for entry in entries])


def write_trusts(trusts: Sequence[Trust]) -> str | None:
    """Return what a row keeps; None for no trust."""
    return json.dumps([as_document(trust) for trust in trusts], ensure_ascii=False) if trusts else None


def read_trusts(text: str | None) -> tuple[Trust, ...]:
    """Read what a row keeps."""
    return () if text is None else parse_trusts(json.loads(text))


def as_document(trust: Trust) -> dict[str, object]:
    """Return rules in the form that people give them in."""
    return {
        "issuer": trust.issuer,
        "audience": trust.audience,
        "claims": {rule.claim: _rule_document(rule) for rule in trust.rules},
    }


def _trust(entry: object) -> Trust:
    match entry:
        case {"issuer": str(issuer), "audience": str(audience), "claims": dict(claims), **more} if not more:
            _check_issuer(issuer)
            if not 0 < len(audience) <= _LONGEST:
                raise TrustInvalid("the audience of a trust is missing; name what your CI puts into the token's aud")
            return Trust(issuer=issuer, audience=audience, rules=_rules(claims))
    raise TrustInvalid("a trust has the fields issuer, audience and claims, and no others")


def _check_issuer(issuer: str) -> None:
    parts = urlsplit(issuer)
    odd = parts.query or parts.fragment or "@" in parts.netloc or not issuer.isprintable() or " " in issuer
    if parts.scheme not in ("https", "http") or not parts.netloc or odd or len(issuer) > _LONGEST:
        raise TrustInvalid(f"the issuer {issuer[:100]!r} is no https address without query")


def _rules(claims: Mapping[str, object]) -> tuple[ClaimRule, ...]:
    if not 0 < len(claims) <= _MOST_CLAIMS:
        raise TrustInvalid(
            f"a trust asks for 1 to {_MOST_CLAIMS} claims: without one, anybody's job could speak for the robot"
        )
    return tuple([_rule(claim, wanted) for claim, wanted in claims.items()])


def _rule(claim: str, wanted: object) -> ClaimRule:
    if claim in _NOT_RULES or not _CLAIM.fullmatch(claim):
        raise TrustInvalid(f"the claim {claim[:100]!r} cannot be asked for")
    match wanted:
        case str() | bool() | int():
            return ClaimRule(claim=claim, values=(_text(wanted),))
        case [_, *_] if all(isinstance(value, str | bool | int) for value in wanted):
            return ClaimRule(claim=claim, values=tuple(map(_text, wanted)))
        case {"pattern": str(pattern), **more} if not more:
            return ClaimRule(claim=claim, patterns=(_pattern(claim, pattern),))
        case {"patterns": [_, *_] as patterns, **more} if not more and all(isinstance(p, str) for p in patterns):
            return ClaimRule(claim=claim, patterns=tuple([_pattern(claim, pattern) for pattern in patterns]))
    raise TrustInvalid(f'the claim {claim} must be a value, a list of values, or {{"pattern": "..."}}')


def _pattern(claim: str, text: str) -> Pattern:
    try:
        found = Pattern.parse(text)
    except PatternInvalid as error:
        raise TrustInvalid(f"the claim {claim}: {error}") from None
    if not text.strip("*/"):
        raise TrustInvalid(f"the claim {claim} may not be just anything; say what it begins with")
    return found


def _rule_document(rule: ClaimRule) -> object:
    if rule.patterns:
        texts = [pattern.text for pattern in rule.patterns]
        return {"pattern": texts[0]} if len(texts) == 1 else {"patterns": texts}
    return rule.values[0] if len(rule.values) == 1 else list(rule.values)


def _texts(claims: Mapping[str, object], name: str) -> list[str]:
    value = claims.get(name)
    values = value if isinstance(value, list) else [value]
    return [_text(entry) for entry in values if isinstance(entry, str | bool | int)]


def _text(value: object) -> str:
    """Write a claim as text: GitLab sends "true", others true."""
    return str(value).lower() if isinstance(value, bool) else str(value)
