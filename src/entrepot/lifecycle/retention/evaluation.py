"""Decides which tags of one repository are kept: without looking anything up, the same for the same tags and moment.

Each tag stands for itself, as does each manifest without one. All of them are shown first (`survey`), in any order:
a rule that keeps a number of them remembers no more than that number. Then each is judged.

What belongs to something goes its way: a signature with what it signs, by its subject or by a tag that names the digest
(`sha256-….sig`). So these are judged last (`belonging`), and take no place among a number that is kept: a rule keeps as
many of them beside, but for those whose tag names a digest, which nobody counts. One that a rule keeps stays though
what it belongs to would go, and then that stays too (`hold`), for it would be nothing without.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.patterns import Patterns
from entrepot.lifecycle.retention.rules import COUNT, Rule
from entrepot.lifecycle.selectors import EXCLUDES

_DAY: Final = 24 * 3600 * 1_000_000
#: Of several that came at the same time, the greater by tag and digest is the later one; last, what it belongs to.
_Key = tuple[int, str, str, int]
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
    names_digest: bool = False  #: that is what its tag says, which a program made up


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
        self._leaders: dict[int, int] = {}  # of manifests that belong to one
        self._wanted: set[int] = set()
        self._held: set[int] = set()

    def survey(self, candidate: Candidate) -> None:
        """Take note of a candidate: for the rules that keep a number of them, and of what it belongs to."""
        fitting = self._fitting(candidate)
        for rule in self._rules:
            rule.rank(candidate, fitting)
        if candidate.belongs_to is not None:
            self._leaders[candidate.manifest_id] = candidate.belongs_to
            if self._immutably(candidate) or self._ruled(candidate, fitting, ranked=False):
                self._wanted.add(candidate.belongs_to)

    def wanted(self) -> set[int]:
        """Return the row ids of manifests to which something belongs that stays whatever they do: after all surveys."""
        return self._wanted.union(*(rule.wanted() for rule in self._rules))

    def hold(self, manifests: Collection[int]) -> set[int]:
        """Let manifests stay, and what they belong to by a tag; return those of which this was not known."""
        new: set[int] = set()
        for row_id in manifests:
            one: int | None = row_id
            while one is not None and one not in self._held:
                self._held.add(one)
                new.add(one)
                one = self._leaders.get(one)
        return new

    def judge(self, candidate: Candidate) -> Verdict:
        """Decide about a candidate that belongs to nothing."""
        return self._noted(self._immutably(candidate) or self._decided(candidate))

    def belonging(self, candidate: Candidate) -> Verdict:
        """Decide about one that belongs to something, once all others are judged."""
        return self._noted(
            self._immutably(candidate)
            or self._ruled(candidate, self._fitting(candidate))
            or self._holding(candidate)
            or self._following(candidate)
        )

    def _decided(self, candidate: Candidate) -> Verdict:
        kept = self._ruled(candidate, self._fitting(candidate)) or self._holding(candidate)
        if kept is not None:
            return kept
        if candidate.tag is None and candidate.pushed_at > self._untagged_since:
            return Verdict(candidate, KEPT, None, "has no tag yet, and was pushed within the grace")
        return Verdict(candidate, GOES, None, "no rule keeps it")

    def _ruled(self, candidate: Candidate, fitting: int | None, *, ranked: bool = True) -> Verdict | None:
        """Keep what a rule keeps, by its time and its names alone unless numbers are known; and what came since."""
        if candidate.pushed_at > self._now:
            return Verdict(candidate, KEPT, None, "pushed since the run began")
        for judge in self._rules:
            if (ranked or judge.number_kept is None) and judge.keeps(candidate, fitting):
                return Verdict(candidate, KEPT, judge.number, judge.reason)
        return None

    def _holding(self, candidate: Candidate) -> Verdict | None:
        if candidate.manifest_id in self._held:
            return Verdict(candidate, KEPT, None, "something belongs to it that stays")
        return None

    def _following(self, candidate: Candidate) -> Verdict:
        goes = candidate.belongs_to in self._let_go and candidate.belongs_to not in self._kept
        return Verdict(candidate, not goes, None, f"what it belongs to {'goes' if goes else 'is there'}")

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
        self.number_kept = rule.value if rule.kind.unit == COUNT else None
        self._ranking = _Ranking(self.number_kept or 0)
        self._beside = _Ranking(self.number_kept or 0)  # what belongs to something takes no place of the others
        self._asked, self._wanted = _bits(rule, patterns)
        self._untagged = rule.takes_untagged()
        self._time = _TIMES[rule.template]
        self._since = now - rule.value * _DAY
        self._ever_pulled = rule.template == "everPulled"
        self._always = rule.template == "always"

    def rank(self, candidate: Candidate, fitting: int | None) -> None:
        """Take note of a candidate, if the rule keeps a number of those that it is about."""
        if self.number_kept is not None and not candidate.names_digest and self._is_about(fitting):
            self._among(candidate).add(self._key(candidate))

    def wanted(self) -> set[int]:
        """Return the row ids of what those belong to that the rule keeps by their number."""
        return {leader for *_, leader in self._beside.latest}

    def keeps(self, candidate: Candidate, fitting: int | None) -> bool:
        """Tell whether the rule keeps a candidate, by the patterns that fit its tag."""
        if not self._is_about(fitting):
            return False
        if self.number_kept is not None:
            return not candidate.names_digest and self._among(candidate).has(self._key(candidate))
        if self._always or (self._ever_pulled and candidate.pulled_at > 0):
            return True
        return self._time(candidate) >= self._since

    def _is_about(self, fitting: int | None) -> bool:
        return self._untagged if fitting is None else fitting & self._asked == self._wanted

    def _among(self, candidate: Candidate) -> _Ranking:
        return self._ranking if candidate.belongs_to is None else self._beside

    def _key(self, candidate: Candidate) -> _Key:
        return self._time(candidate), candidate.tag or "", candidate.digest, candidate.belongs_to or 0


class _Ranking:
    """The latest of many, as many as are kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.latest: list[_Key] = []

    def add(self, key: _Key) -> None:
        if len(self.latest) < self._size:
            heapq.heappush(self.latest, key)
        elif self.latest and key > self.latest[0]:
            heapq.heapreplace(self.latest, key)

    def has(self, key: _Key) -> bool:
        return bool(self.latest) and key >= self.latest[0]


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
