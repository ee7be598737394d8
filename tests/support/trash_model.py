"""What a registry with a trash should hold, written down as dictionaries: pushes, deletions, and what comes back.

It knows nothing of databases. `tests/contracts/trash/test_model.py` drives it beside the real thing and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MANIFEST, TAG, REPOSITORY = "manifest", "tag", "repository"


class Refused(Exception):
    """The registry has to refuse this, and nothing changes."""


@dataclass(slots=True)
class Repository:
    """One repository; one that is made anew after a deletion is another."""

    name: str
    manifests: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    lying: set[str] = field(default_factory=set)  #: manifests of it in the trash

    def copy(self) -> tuple[set[str], dict[str, str]]:
        """Give what it holds."""
        return set(self.manifests), dict(self.tags)


@dataclass(eq=False, slots=True, kw_only=True)
class Entry:
    """One thing in the trash."""

    kind: str
    repository: Repository
    digest: str | None
    tags: tuple[str, ...]
    expires: float

    @property
    def shown(self) -> tuple[str, str, str | None, tuple[str, ...]]:
        """Give what the registry's list shows of it."""
        return self.kind, self.repository.name, self.digest, self.tags


@dataclass(slots=True)
class Model:
    """A project whose trash keeps everything for a while."""

    keeps: float  #: seconds
    repositories: dict[str, Repository] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)  #: in the order in which they came
    protected: str | None = None  #: a tag that a rule keeps

    def push(self, name: str, digest: str, tag: str | None) -> None:
        """Push an image that there is room for."""
        repository = self.repositories.setdefault(name, Repository(name))
        if tag is not None and repository.tags.get(tag, digest) != digest:
            self._require_free(tag)
        repository.manifests.add(digest)
        if tag is not None:
            repository.tags[tag] = digest

    def delete_tag(self, name: str, tag: str, now: float) -> None:
        """Delete a tag."""
        repository = self._found(name)
        if tag not in repository.tags:
            raise Refused
        self._require_free(tag)
        self._keep(TAG, repository, repository.tags.pop(tag), (tag,), now)

    def delete_manifest(self, name: str, digest: str, now: float) -> None:
        """Delete a manifest with its tags."""
        repository = self._found(name)
        names = self._take_out(repository, digest)
        repository.lying.add(digest)
        self._keep(MANIFEST, repository, digest, names, now)

    def delete_repository(self, name: str, now: float) -> None:
        """Delete a repository as a whole."""
        repository = self._found(name)
        for tag in repository.tags:
            self._require_free(tag)
        del self.repositories[name]
        self._keep(REPOSITORY, repository, None, (), now)

    def retain(self, kept: str, now: float) -> None:
        """Delete every tag but one, and those that a rule keeps; an image without a tag goes, as at Harbor."""
        stay = {kept, self.protected}
        for repository in self.repositories.values():
            for digest in sorted(repository.manifests):
                names = {tag for tag, named in repository.tags.items() if named == digest}
                if not names & stay:
                    self.delete_manifest(repository.name, digest, now)
                    continue
                for tag in names - stay:
                    self.delete_tag(repository.name, tag, now)

    def purge_manifest(self, name: str, digest: str) -> None:
        """Remove a manifest for good, also what of it lies in the trash."""
        repository = self._found(name)
        self._take_out(repository, digest)
        self.entries = [one for one in self.entries if one.repository is not repository or one.digest != digest]
        repository.lying.discard(digest)

    def purge_entry(self, entry: Entry) -> None:
        """Remove something of the trash for good; of a repository also what was deleted from it before."""
        if entry.kind == MANIFEST:
            entry.repository.lying.discard(str(entry.digest))
            self.entries = [one for one in self.entries if not self._names_same(one, entry)]
        elif entry.kind == REPOSITORY:
            for other in [one for one in self.entries if one.repository is entry.repository]:
                self.expire_entry(other)
        else:
            self.entries.remove(entry)

    def restore(self, entry: Entry, *, replace: bool) -> None:
        """Restore something."""
        if entry.kind == REPOSITORY:
            self._restore_repository(entry, replace=replace)
            return
        origin, digest = entry.repository, str(entry.digest)
        there = self.repositories.get(origin.name)
        if digest not in origin.lying and (there is None or digest not in there.manifests):
            raise Refused
        there = self.repositories.setdefault(origin.name, there or Repository(origin.name))
        there.manifests.add(digest)
        if digest in origin.lying:
            origin.lying.discard(digest)
            self.entries = [one for one in self.entries if not (self._is_of(one, origin, digest) and not one.tags)]
        self._retag(there, dict.fromkeys(entry.tags, digest), replace=replace)
        if entry in self.entries:
            self.entries.remove(entry)

    def expire(self, now: float) -> None:
        """Remove for good what is past its time."""
        for entry in [one for one in self.entries if one.expires <= now]:
            self.expire_entry(entry)

    def expire_entry(self, entry: Entry) -> None:
        """Remove one for good; a manifest stays while another entry names it."""
        if entry not in self.entries:
            return
        self.entries.remove(entry)
        named = any(self._names_same(one, entry) for one in self.entries)
        if entry.kind == MANIFEST and not named:
            entry.repository.lying.discard(str(entry.digest))

    def needed(self) -> set[str]:
        """List the manifests that have to be there, in repositories and in the trash."""
        deleted = [one.repository for one in self.entries if one.kind == REPOSITORY]
        alive = [*self.repositories.values(), *deleted]
        lying = {digest for one in self.entries for digest in one.repository.lying}
        return lying.union(*(one.manifests for one in alive))

    def _found(self, name: str) -> Repository:
        found = self.repositories.get(name)
        if found is None:
            raise Refused
        return found

    def _require_free(self, tag: str) -> None:
        if tag == self.protected:
            raise Refused

    def _take_out(self, repository: Repository, digest: str) -> tuple[str, ...]:
        if digest not in repository.manifests:
            raise Refused
        names = tuple(sorted(tag for tag, named in repository.tags.items() if named == digest))
        for tag in names:
            self._require_free(tag)
        for tag in names:
            del repository.tags[tag]
        repository.manifests.discard(digest)
        return names

    def _keep(self, kind: str, repository: Repository, digest: str | None, tags: tuple[str, ...], now: float) -> None:
        entry = Entry(kind=kind, repository=repository, digest=digest, tags=tags, expires=now + self.keeps)
        self.entries.append(entry)

    def _restore_repository(self, entry: Entry, *, replace: bool) -> None:
        self.entries.remove(entry)
        there = self.repositories.get(entry.repository.name)
        if there is None:
            self.repositories[entry.repository.name] = entry.repository
            return
        there.manifests |= entry.repository.manifests
        self._retag(there, entry.repository.tags, replace=replace)

    def _retag(self, repository: Repository, names: dict[str, str], *, replace: bool) -> None:
        for tag, digest in names.items():
            taken = repository.tags.get(tag, digest) != digest
            if not taken or (replace and tag != self.protected):
                repository.tags[tag] = digest

    @staticmethod
    def _is_of(entry: Entry, repository: Repository, digest: str) -> bool:
        return entry.kind == MANIFEST and entry.repository is repository and entry.digest == digest

    def _names_same(self, one: Entry, other: Entry) -> bool:
        return self._is_of(one, other.repository, str(other.digest))


NAMES: Final = ("team/app", "team/other")
TAGS: Final = ("v1", "v2", "latest")
