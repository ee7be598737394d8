"""What somebody thinks of deleting, by the rows that it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.metadata.contents import tags
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader
from entrepot.metadata.integrity import manifest_references
from entrepot.metadata.usage import deletion_closure
from entrepot.registry.ports import RuleOf, TagRules

#: Manifests that one question may be about, and repositories of a project.
MOST: Final = 10_000
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tags and manifests of one repository."""

    repository: RepositoryRecord
    tags: Sequence[str] = ()
    digests: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be deleted: parts of repositories, whole ones, and projects with all that is in them."""

    parts: Sequence[Part] = ()
    repositories: Sequence[RepositoryRecord] = ()
    projects: Sequence[ProjectRecord] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that would not be deleted, and why."""

    what: str
    reason: str


@dataclass(slots=True)
class Found:
    """What was chosen, as rows."""

    whole: set[int] = field(default_factory=set)  #: manifests of repositories that go as a whole
    single: dict[int, str] = field(default_factory=dict)  #: other manifests, and what to call them
    untagged: set[int] = field(default_factory=set)  #: row ids of tags that go
    kept: list[Kept] = field(default_factory=list)


@dataclass(slots=True)
class Finding:
    """Looks for what was chosen."""

    reader: Reader
    rules: TagRules
    found: Found = field(default_factory=Found)

    async def find(self, chosen: Chosen) -> Found:
        """Look for all of it.

        Raises:
            Invalid: It is too much to be looked at at once.
        """
        for repository in chosen.repositories:
            await self._repository(repository)
        for project in chosen.projects:
            await self._project(project)
        for part in chosen.parts:
            await self._part(part, await self.rules.of(self.reader, part.repository))
        for row_id in self.found.whole & self.found.single.keys():
            del self.found.single[row_id]
        return self.found

    async def _repository(self, repository: RepositoryRecord) -> None:
        if (reason := await self._locked(repository)) is not None:
            self.found.kept.append(Kept(repository.name, reason))
        else:
            await self._all_of(repository.id)

    async def _project(self, project: ProjectRecord) -> None:
        """One tag that a rule keeps is enough, and nothing of a project is deleted."""
        repositories = await deletion_closure.repositories_of(self.reader, project.id, limit=MOST + 1)
        _require_few(len(repositories), "repositories")
        for repository in repositories:
            if (reason := await self._locked(repository)) is not None:
                self.found.kept.append(Kept(project.name, f"{reason} in {repository.name}"))
                return
        for repository in repositories:
            await self._all_of(repository.id)

    async def _locked(self, repository: RepositoryRecord) -> str | None:
        """Say which rule keeps a tag of a repository; None when none does."""
        rule_of = await self.rules.of(self.reader, repository)
        last = ""
        while rule_of is not None and (names := await tags.page(self.reader, repository.name, limit=_PAGE, last=last)):
            for tag in names:
                if (rule := rule_of(tag)) is not None:
                    return f"rule {rule} keeps the tag {tag}"
            last = names[-1]
        return None

    async def _all_of(self, repository_id: int) -> None:
        last = 0
        while ids := await deletion_closure.of_repository(self.reader, repository_id, last=last, limit=_PAGE):
            self.found.whole.update(ids)
            _require_few(len(self.found.whole), "manifests")
            last = ids[-1]

    async def _part(self, part: Part, rule_of: RuleOf | None) -> None:
        await self._tags(part, rule_of)
        present = await manifest_references.present(self.reader, part.repository.id, part.digests)
        for digest in part.digests:
            what = f"{part.repository.name}@{digest}"
            if digest in present:
                self.found.single[present[digest]] = what
            else:
                self.found.kept.append(Kept(what, "there is no such manifest"))

    async def _tags(self, part: Part, rule_of: RuleOf | None) -> None:
        """Let tags go, and each manifest that then has none."""
        found = await deletion_closure.of_tags(self.reader, part.repository.id, part.tags)
        named: defaultdict[int, list[str]] = defaultdict(list)
        for tag in part.tags:
            what = f"{part.repository.name}:{tag}"
            if tag not in found:
                self.found.kept.append(Kept(what, "there is no such tag"))
            elif rule_of is not None and (rule := rule_of(tag)) is not None:
                self.found.kept.append(Kept(what, f"rule {rule} keeps this tag"))
            else:
                self.found.untagged.add(found[tag][0])
                named[found[tag][1]].append(what)
        tagged = await deletion_closure.tagged(self.reader, named, but=self.found.untagged)
        for manifest, names in named.items():
            if manifest in tagged:
                self.found.kept += [Kept(name, "its manifest has another tag") for name in names]
            else:
                self.found.single[manifest] = names[0]


def _require_few(count: int, what: str) -> None:
    if count > MOST:
        raise Invalid(
            f"this is about more than {MOST:,} {what}; ask about less at a time, "
            "or look at the unique bytes of the last analysis"
        )
