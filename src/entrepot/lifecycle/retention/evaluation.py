"""Decides which tags of one repository are kept: without looking anything up, the same for the same tags and moment.

Each tag stands for itself, as does each manifest without one. A rule that keeps a number of them is shown all of them
first (`rank`), in any order, and remembers no more than that number. Then each is judged.

What belongs to something goes its way: a signature with what it signs, by its subject or by a tag that names the digest
(`sha256-….sig`). So these are judged last (`belonging`), and take no place among a number that is kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.patterns import Patterns
from entrepot.lifecycle.retention.rules import COUNT, Rule
from entrepot.lifecycle.selectors import EXCLUDES

_DAY: Final = 24 * 3600 * 1_000_000
#: Of several that came at the same time, the greater by tag and digest is the later one.
_Key = tuple[int, str, str]
KEPT: Final = True
GOES: Final = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tag, or a manifest that has none; times in microseconds since the epoch."""

    tag: str | None
    digest: str
    manifest_id: int
    pushed_at: int
    pulled_at: int  #: by tag or by digest, also anything that it lists; 0: never
    is_listed: bool = False  #: an index of the repository lists it
    belongs_to: int | None = None  #: row id of the manifest whose way it goes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a candidate, and why."""

    candidate: Candidate
    kept: bool
    rule: int | None  #: number of the rule that keeps it, from 1
    reason: str


class Evaluation:
    """What the rules of a policy say about one repository at one moment."""

    def __init__(
        self,
        rules: Sequence[tuple[int, Rule]],
        now: int,
        immutable: Callable[[str], int | None] | None = None,
        *,
        grace: int = 0,
    ) -> None:
        """Begin.

        Args:
            rules: Those that are about the repository, with their numbers.
            now: The moment; what was pushed later is kept.
            immutable: Gives the number of a rule by which a tag can neither be moved nor deleted.
            grace: How long what has no tag is kept, in microseconds: its tag, its index or its subject may follow.
        """
        self._patterns = Patterns(selector.pattern for _, rule in rules for selector in rule.tags)
        self._rules = [_Judge(number, rule, now, self._patterns) for number, rule in rules]
        self._now = now
        self._immutable = immutable
        self._untagged_since = now - grace
        self._kept: set[int] = set()
        self._let_go: set[int] = set()

    @property
    def needs_ranks(self) -> bool:
        """Tell whether all candidates are to be shown to `rank` first."""
        return any(rule.ranking is not None for rule in self._rules)

    def rank(self, candidate: Candidate) -> None:
        """Take note of a candidate for the rules that keep a number of them."""
        if candidate.belongs_to is None:
            fitting = self._fitting(candidate)
            for rule in self._rules:
                rule.rank(candidate, fitting)

    def judge(self, candidate: Candidate) -> Verdict:
        """Decide about a candidate that belongs to nothing."""
        return self._noted(self._immutably(candidate) or self._decided(candidate))

    def belonging(self, candidate: Candidate) -> Verdict:
        """Decide about one that belongs to something, once all others are judged."""
        goes = candidate.belongs_to in self._let_go and candidate.belongs_to not in self._kept
        verdict = self._immutably(candidate) or Verdict(
            candidate, not goes, None, f"what it belongs to {'goes' if goes else 'is there'}"
        )
        return self._noted(verdict)

    def _decided(self, candidate: Candidate) -> Verdict:
        if candidate.pushed_at > self._now:
            return Verdict(candidate, KEPT, None, "pushed since the run began")
        fitting = self._fitting(candidate)
        for judge in self._rules:
            if judge.keeps(candidate, fitting):
                return Verdict(candidate, KEPT, judge.number, judge.reason)
        if candidate.tag is None and candidate.pushed_at > self._untagged_since:
            return Verdict(candidate, KEPT, None, "has no tag yet, and was pushed within the grace")
        return Verdict(candidate, GOES, None, "no rule keeps it")

    def _fitting(self, candidate: Candidate) -> int | None:
        """Return which patterns fit the tag; None where there is no tag."""
        return None if candidate.tag is None else self._patterns.matching(candidate.tag)

    def _immutably(self, candidate: Candidate) -> Verdict | None:
        rule = None if self._immutable is None or candidate.tag is None else self._immutable(candidate.tag)
        return None if rule is None else Verdict(candidate, KEPT, None, f"immutable tag, by rule {rule} for those")

    def _noted(self, verdict: Verdict) -> Verdict:
        """Remember whether the manifest stays, for what belongs to it."""
        candidate = verdict.candidate
        (self._kept if verdict.kept or candidate.is_listed else self._let_go).add(candidate.manifest_id)
        return verdict


class _Judge:
    """One rule at work."""

    def __init__(self, number: int, rule: Rule, now: int, patterns: Patterns) -> None:
        self.number = number
        self.reason = rule.text
        self.ranking = _Ranking(rule.value) if rule.kind.unit == COUNT else None
        self._asked, self._wanted = _bits(rule, patterns)
        self._untagged = rule.takes_untagged()
        self._time = _TIMES[rule.template]
        self._since = now - rule.value * _DAY
        self._ever_pulled = rule.template == "everPulled"
        self._always = rule.template == "always"

    def rank(self, candidate: Candidate, fitting: int | None) -> None:
        """Take note of a candidate, if the rule keeps a number of those that it is about."""
        if self.ranking is not None and self._is_about(fitting):
            self.ranking.add(self._key(candidate))

    def keeps(self, candidate: Candidate, fitting: int | None) -> bool:
        """Tell whether the rule keeps a candidate, by the patterns that fit its tag."""
        if not self._is_about(fitting):
            return False
        if self.ranking is not None:
            return self.ranking.has(self._key(candidate))
        if self._always or (self._ever_pulled and candidate.pulled_at > 0):
            return True
        return self._time(candidate) >= self._since

    def _is_about(self, fitting: int | None) -> bool:
        return self._untagged if fitting is None else fitting & self._asked == self._wanted

    def _key(self, candidate: Candidate) -> _Key:
        return self._time(candidate), candidate.tag or "", candidate.digest


class _Ranking:
    """The latest of many, as many as are kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: list[_Key] = []

    def add(self, key: _Key) -> None:
        if len(self._latest) < self._size:
            heapq.heappush(self._latest, key)
        elif self._latest and key > self._latest[0]:
            heapq.heapreplace(self._latest, key)

    def has(self, key: _Key) -> bool:
        return bool(self._latest) and key >= self._latest[0]


def _bits(rule: Rule, patterns: Patterns) -> tuple[int, int]:
    """Return the patterns that a rule asks about, and those of them that must fit."""
    fits = excludes = 0
    for selector in rule.tags:
        if selector.decoration == EXCLUDES:
            excludes |= patterns.bit(selector.pattern)
        else:
            fits |= patterns.bit(selector.pattern)
    # A pattern that must fit and must not fit: nothing does.
    return (0, 1) if fits & excludes else (fits | excludes, fits)


def _pushed(candidate: Candidate) -> int:
    return candidate.pushed_at


def _pulled(candidate: Candidate) -> int:
    return candidate.pulled_at


def _active(candidate: Candidate) -> int:
    return max(candidate.pushed_at, candidate.pulled_at)


#: The time that a template looks at.
_TIMES: Final = {
    "latestPushedK": _pushed,
    "latestPulledN": _pulled,
    "latestActiveK": _active,
    "nDaysSinceLastPush": _pushed,
    "nDaysSinceLastPull": _pulled,
    "lastXDays": _pushed,
    "always": _pushed,
    "everPulled": _pushed,
}
