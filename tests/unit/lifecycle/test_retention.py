"""What rules of retention keep, without a registry."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.faults import Conflict, Invalid
from entrepot.lifecycle.retention.evaluation import Candidate, Evaluation
from entrepot.lifecycle.retention.rules import MOST, RuleText, checked, read, written
from entrepot.lifecycle.selectors import Selector

DAY = 24 * 3600 * 1_000_000
NOW = 1_000 * DAY
ONLY_UNTAGGED = Selector(decoration="excludes", pattern="**", extras='{"untagged":false}')


def selector(pattern: str, decoration: str = "matches", untagged: str = "") -> Selector:
    """Write a selector for tags."""
    extras = f'{{"untagged":{untagged}}}' if untagged else ""
    return Selector(decoration=decoration, pattern=pattern, extras=extras)


def rule(template: str, value: int | None = None, *tags: Selector, **more: Any) -> RuleText:
    """Write a rule, about all tags unless others are given."""
    return RuleText(
        template=template,
        params={} if value is None else {template: value},
        tags=tags or (selector("**"),),
        repositories=[Selector(decoration="repoMatches", pattern="**")],
        **more,
    )


def tag(name: str | None, number: int, *, pushed: float = 0, pulled: float | None = None, **more: Any) -> Candidate:
    """A tag of the manifest of this number, pushed and pulled so many days ago."""
    return Candidate(
        tag=name,
        digest=f"sha256:{number:064x}",
        manifest_id=number,
        pushed_at=NOW - int(pushed * DAY),
        pulled_at=0 if pulled is None else NOW - int(pulled * DAY),
        **more,
    )


def kept(candidates: list[Candidate], *rules: RuleText, immutable: str = "") -> set[str | None]:
    """Return the tags that rules keep; of what has none, its digest's last digit."""
    immutably = (lambda name: 7 if name == immutable else None) if immutable else None
    evaluation = Evaluation(list(enumerate(checked(rules), 1)), NOW, immutably)
    for candidate in candidates:
        evaluation.survey(candidate)
    evaluation.hold(evaluation.wanted())
    verdicts = [evaluation.judge(one) for one in candidates if one.belongs_to is None]
    verdicts += [evaluation.belonging(one) for one in candidates if one.belongs_to is not None]
    return {one.candidate.tag or one.candidate.digest[-1] for one in verdicts if one.kept}


@pytest.mark.parametrize(
    ("wanted", "survivors"),
    [
        (rule("latestPushedK", 2), {"new", "mid"}),
        (rule("latestPulledN", 1), {"old"}),
        (rule("latestActiveK", 2), {"new", "old"}),
        (rule("nDaysSinceLastPush", 5), {"new", "mid"}),
        (rule("lastXDays", 5), {"new", "mid"}),
        (rule("nDaysSinceLastPull", 3), {"old"}),
        (rule("always"), {"new", "mid", "old", "dead"}),
        (rule("everPulled", 2), {"new", "old", "mid"}),
        (rule("latestPushedK", 0), set[str]()),
        (rule("latestPushedK", 9), {"new", "mid", "old", "dead"}),
        (rule("always", disabled=True), None),
        (rule("always", None, selector("{new,d*}")), {"new", "dead"}),
        (rule("always", None, selector("new", "excludes")), {"mid", "old", "dead"}),
        (rule("always", None, selector("*d*"), selector("dead", "excludes")), {"mid", "old"}),
        (rule("always", None, selector("new"), selector("new", "excludes")), set[str]()),
        (rule("latestPushedK", 1, selector("*d")), {"mid"}),
    ],
)
def test_each_template(wanted: RuleText, survivors: set[str] | None) -> None:
    """By days, by number and by patterns, matching and excluding; both of two patterns must fit."""
    tags = [
        tag("old", 1, pushed=30, pulled=1),
        tag("new", 2, pushed=1),
        tag("mid", 3, pushed=4, pulled=4),
        tag("dead", 4, pushed=31),
    ]
    if survivors is None:
        assert not checked([wanted])[0].is_about("app")
    else:
        assert kept(tags, wanted) == survivors


def test_what_any_rule_keeps_is_kept() -> None:
    """Rules are joined by `or`, and each chooses its own."""
    tags = [tag(f"v{number}", number, pushed=number) for number in range(5)] + [tag("latest", 9, pushed=99)]
    rules = (rule("latestPushedK", 2, selector("v*")), rule("always", None, selector("latest")))
    assert kept(tags, *rules) == {"v0", "v1", "latest"}


def test_each_tag_of_one_manifest_stands_for_itself() -> None:
    """Of a thousand names of one image the latest ten stay."""
    tags = [tag(f"build-{number}", 1, pushed=number / 10) for number in range(1_000)]
    assert kept(tags, rule("latestPushedK", 10)) == {f"build-{number}" for number in range(10)}


@pytest.mark.parametrize(
    ("chosen", "takes"),
    [
        (selector("**"), True),
        (selector("v*", untagged="true"), True),
        (selector("**", untagged="false"), False),
        (selector("v*", "excludes"), True),
        (selector("v*", "excludes", "true"), False),
        (selector("v*", "excludes", "false"), True),
    ],
)
def test_what_has_no_tag_is_meant_by_extras(chosen: Selector, *, takes: bool) -> None:
    """As in Harbor: `untagged` stands beside the tags that match, and what is excluded is the rest."""
    assert kept([tag(None, 1)], rule("always", None, chosen)) == ({"1"} if takes else set())


def test_age_and_number_of_what_has_no_tag() -> None:
    """A rule about nothing else leaves the tags to the others."""
    things = [tag(None, number, pushed=number) for number in range(1, 9)] + [tag("v1", 9, pushed=99)]
    everything = rule("always", None, selector("**", untagged="false"))
    assert kept(things, everything, rule("nDaysSinceLastPush", 3, ONLY_UNTAGGED)) == {"v1", "1", "2", "3"}
    assert kept(things, everything, rule("latestPushedK", 2, ONLY_UNTAGGED)) == {"v1", "1", "2"}


def test_what_belongs_to_something_goes_its_way() -> None:
    """A signature stays with what it signs, has no place among those that are counted, and goes with the last tag."""
    tags = [
        tag("v1", 1, pushed=1),
        tag("v2", 2, pushed=2),
        tag("also-v2", 2, pushed=3),
        tag("v3", 3, pushed=4, is_listed=True),
        tag("sha256-1.sig", 11, belongs_to=1, names_digest=True),
        tag("sha256-2.sig", 12, belongs_to=2, names_digest=True),
        tag("sha256-3.sig", 13, belongs_to=3, names_digest=True),
    ]
    assert kept(tags, rule("latestPushedK", 1)) == {"v1", "sha256-1.sig", "sha256-3.sig"}
    assert kept(tags, rule("latestPushedK", 2)) == {"v1", "v2", "sha256-1.sig", "sha256-2.sig", "sha256-3.sig"}


@pytest.mark.parametrize(
    ("named", "survivors"),
    [
        (rule("always", None, selector("notes")), {"v1", "also-v1", "notes", "sha256-1.sig"}),
        (rule("nDaysSinceLastPush", 3, selector("*")), {"v1", "also-v1", "notes", "sha256-1.sig"}),
        (rule("latestPushedK", 1, selector("n*")), {"v1", "also-v1", "notes", "sha256-1.sig"}),
        (rule("always", None, selector("sha256-2*")), {"v2", "sha256-2.sig"}),
        (rule("latestPushedK", 1, selector("*")), {"v2", "sha256-2.sig", "notes", "v1", "also-v1", "sha256-1.sig"}),
        (rule("latestPushedK", 9, selector("sha256-*")), set[str]()),
    ],
)
def test_what_a_rule_keeps_stays_with_all_it_needs(named: RuleText, survivors: set[str]) -> None:
    """Though it belongs to something that would go: that stays too. A tag that says a digest is counted by no rule."""
    tags = [
        tag("v1", 1, pushed=9),
        tag("also-v1", 1, pushed=9),
        tag("v2", 2, pushed=8),
        tag("notes", 11, pushed=1, belongs_to=1),
        tag("sha256-1.sig", 12, pushed=9, belongs_to=1, names_digest=True),
        tag("sha256-2.sig", 13, pushed=8, belongs_to=2, names_digest=True),
    ]
    assert kept(tags, named) == survivors


def test_a_chain_is_kept_from_its_end() -> None:
    """An image, what describes it, what signs that: the rule that keeps the last one keeps all."""
    tags = [
        tag("a-signature", 13, pushed=9, belongs_to=12),
        tag("description", 12, pushed=9, belongs_to=11),
        tag("image", 11, pushed=9),
        tag("other", 14, pushed=9),
    ]
    assert kept(tags, rule("always", None, selector("a-*"))) == {"a-signature", "description", "image"}


def test_what_is_immutable_or_new_stays() -> None:
    """Whatever the rules say: immutable tags, and what came after the run began."""
    tags = [tag("v1", 1, pushed=9), tag("late", 2, pushed=-1), tag("v2", 3, pushed=9)]
    assert kept(tags, rule("latestPushedK", 0), immutable="v1") == {"v1", "late"}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 10))
def test_the_order_in_which_tags_are_seen_makes_no_difference(times: list[tuple[int, int]], number: int) -> None:
    """Also where many came at the same moment; as many are kept as there are, and no more than the rule says."""
    tags = [tag(f"t{index}", index, pushed=pushed, pulled=pulled) for index, (pushed, pulled) in enumerate(times)]
    shuffled = random.Random(number).sample(tags, len(tags))
    for template in ("latestPushedK", "latestPulledN", "latestActiveK"):
        found = kept(tags, rule(template, number))
        assert found == kept(shuffled, rule(template, number))
        assert len(found) == min(number, len(tags))


@pytest.mark.parametrize(
    "wrong",
    [
        rule("newest", 3),
        rule("latestPushedK"),
        rule("latestPushedK", -1),
        rule("latestPushedK", 32_767),
        RuleText(template="latestPushedK", params={"latestPushedK": True}, tags=[selector("**")]),
        RuleText(template="latestPushedK", params={"latestPushedK": "9"}, tags=[selector("**")]),
        RuleText(template="always", tags=[], repositories=[Selector(decoration="repoMatches", pattern="**")]),
        RuleText(template="always", tags=[selector("**")]),
        rule("always", None, selector("{a")),
        rule("always", None, selector("**", "repoMatches")),
        rule("always", None, Selector(decoration="matches", pattern="**", extras="{")),
        rule("always", None, Selector(decoration="matches", pattern="**", extras="[1]")),
        rule("always", None, Selector(decoration="matches", pattern="**", extras='{"untagged": 1}')),
    ],
)
def test_rules_that_cannot_be(wrong: RuleText) -> None:
    """Refused with what is wrong."""
    with pytest.raises(Invalid):
        checked([wrong])


def test_rules_say_different_things_and_are_few() -> None:
    """A rule that is written twice is a mistake; a pattern that is empty means everything; numbers may be 10.0."""
    with pytest.raises(Conflict, match="rules 1 and 3 say the same"):
        checked([rule("always"), rule("latestPushedK", 1), rule("always")])
    many = [rule("latestPushedK", number) for number in range(MOST + 1)]
    with pytest.raises(Invalid, match="at most"):
        checked(many)
    assert len(checked(many[:MOST])) == MOST
    (found,) = checked([RuleText(**{**_fields(rule("latestPushedK", 10)), "params": {"latestPushedK": 10.0}})])
    assert (found.value, found.text) == (10, "the 10 most recently pushed")
    assert read(written((found,))) == (found,)
    assert checked([rule("always", None, selector(""))]) == checked([rule("always")])


def _fields(text: RuleText) -> dict[str, Any]:
    return {name: getattr(text, name) for name in RuleText.__slots__}


def test_a_pattern_costs_time_in_proportion_to_the_tag() -> None:
    """A pattern that other engines would try for ever is held against a tag of the longest kind a thousand times."""
    hostile = "{a,a*}" * 20 + "b"
    tags = [tag("a" * 128, number) for number in range(1_000)]
    assert kept(tags, rule("always", None, selector(hostile))) == set()
