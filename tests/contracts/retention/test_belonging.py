"""What refers to something and has a tag of its own, over each database: what a rule keeps stays, with all it needs."""

from __future__ import annotations

import pytest

from entrepot.lifecycle.retention import candidates
from entrepot.lifecycle.retention.rules import RuleText
from tests.contracts.retention.conftest import Keeper, rule
from tests.support.manifests import digest_of, image


def about(subject: bytes, layer: bytes) -> bytes:
    """Write a manifest that refers to another one."""
    descriptor = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest_of(subject),
        "size": len(subject),
    }
    return image(b"{}", layer, subject=descriptor)


async def attach(keeper: Keeper, subject: bytes, text: bytes, tag: str | None = None) -> bytes:
    """Push something that refers to a manifest."""
    await keeper.bin.pusher().blob(text)
    body = about(subject, text)
    await keeper.bin.pusher().manifest(body, tag)
    return body


@pytest.mark.parametrize("named", [rule("always", None, "notes-*"), rule("latestPushedK", 1, "notes-*")])
async def test_a_tag_that_a_rule_keeps_stays_with_what_it_refers_to(keeper: Keeper, named: RuleText) -> None:
    """Also over something without a tag in between; what no rule names goes with its image, and nothing else stays."""
    bin_ = keeper.bin
    kept, gone = [await bin_.pusher().image(tag, tag.encode()) for tag in ("v1", "v2")]
    between = await attach(keeper, kept, b"between")
    notes = await attach(keeper, between, b"notes", "notes-1")
    followers = [await attach(keeper, gone, b"follows", "follows"), await attach(keeper, gone, b"has no tag")]
    policy = await keeper.policy(named)
    verdicts = await keeper.verdicts(policy, await keeper.run(policy))
    while await bin_.review():
        pass
    assert {tag: one.kept for tag, one in verdicts.items()} == {
        "v1": True,
        "v2": False,
        "notes-1": True,
        "follows": False,
    }
    assert (verdicts["notes-1"].rule, verdicts["v1"].reason) == (1, "something belongs to it that stays")
    assert all([await bin_.has(one) for one in ("v1", "notes-1", kept, between, notes)])
    assert not any([await bin_.has(one) for one in (gone, *followers)])


async def test_a_signature_by_tag_that_a_rule_keeps_stays_with_what_it_signs(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the rule names it; a rule that keeps a number of tags does not count it. So at any size of the pages."""
    monkeypatch.setattr(candidates, "_AT_ONCE", 2)
    bin_ = keeper.bin
    bodies = {tag: await bin_.pusher().image(tag, tag.encode()) for tag in ("v1", "v2", "v3")}
    signatures = {tag: f"{digest_of(body).replace(':', '-')}.sig" for tag, body in bodies.items()}
    for tag in ("v3", "v2", "v1"):
        await bin_.pusher().image(signatures[tag], b"signs " + tag.encode())
    policy = await keeper.policy(rule("latestPushedK", 1), rule("always", None, signatures["v1"]))
    await keeper.run(policy)
    assert [await bin_.has(tag) for tag in bodies] == [True, False, True]
    assert [await bin_.has(tag) for tag in signatures.values()] == [True, False, True]
