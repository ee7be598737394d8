"""The scenarios by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.rounds import Outcome
from benchmarks.scenarios import (
    adoption,
    collection,
    growth,
    images,
    lists,
    memory,
    object_store,
    pulls,
    pushes,
    retention,
    start,
    tokens,
    usage,
)

Scenario = Callable[[Path], list[Outcome]]

SCENARIOS: Mapping[str, Scenario] = {
    "pull-manifest": pulls.pull_manifest,
    "pull-postgresql": pulls.pull_postgresql,
    "small-blob": pulls.small_blob,
    "large-blob": pulls.large_blob,
    "ranges": pulls.ranges,
    "cut-ranges": pulls.cut_ranges,
    "push-blob": pushes.push_blob,
    "whole-image": images.whole_image,
    "object-store": object_store.object_store,
    "token": tokens.tokens,
    "lists": lists.lists,
    "audit": lists.audit,
    "retention": retention.retention,
    "usage": usage.usage,
    "start": start.start,
    "memory": memory.memory,
    "adoption": adoption.adoption,
    "delete-tag": collection.delete_tag,
    "gc": collection.gc,
    "gc-large": collection.gc_large,
    "growth": growth.growth,
}
