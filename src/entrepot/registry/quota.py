"""Whether a project has room: what is charged must stay within the project's limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from entrepot.metadata import clock
from entrepot.metadata.contents import repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.usage import reservations, usage
from entrepot.metadata.usage.usage import Standing
from entrepot.oci.errors import QuotaExceeded
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.words import spelt

T = TypeVar("T")

#: Asked before a push is refused, with what it lacks. True when room was made.
MakeRoom = Callable[[QuotaExceeded], Awaitable[bool]]

#: The share of a limit from which on people are told, where no soft limit says otherwise, in percent.
_WARNING_PERCENT: Final = 90


async def no_room(_refused: QuotaExceeded) -> bool:
    """Have nothing that could go."""
    return False


async def with_room(make_room: MakeRoom, attempt: Callable[[], Awaitable[T]]) -> T:
    """Do something, and again for as long as room can be made for it.

    Once is not always enough: what went may have held blobs that this needs too, so that they count anew.

    Raises:
        QuotaExceeded: There is no room, and none can be made.
    """
    while True:
        try:
            return await attempt()
        except QuotaExceeded as refused:
            if not await make_room(refused):
                raise


def require_room(project_id: int, project: str, standing: Standing) -> None:
    """Go on only if a project stands within its limits.

    Raises:
        QuotaExceeded: It does not; with what is used and what to do.
    """
    limits = standing.limits
    if limits.hard_bytes is not None and standing.bytes > limits.hard_bytes:
        excess = standing.bytes - limits.hard_bytes
        what = f"{spelt(excess)} over its limit of {spelt(limits.hard_bytes)}"
        raise _exceeded(project_id, project, standing, what, excess=excess)
    if limits.hard_manifests is not None and standing.counts.manifests > limits.hard_manifests:
        many = standing.counts.manifests - limits.hard_manifests
        what = f"over its limit of {limits.hard_manifests:,} artifacts"
        raise _exceeded(project_id, project, standing, what, manifests=many)


async def require_repository(reader: Reader, project_id: int, project: str) -> None:
    """Go on only if a project, with the repository that was just made, has no more of them than it may.

    Raises:
        QuotaExceeded: It has.
    """
    standing = await usage.find(reader, project_id)
    most = standing.limits.hard_repositories
    if most is None:
        return
    if await usage.repositories_up_to(reader, project_id, most + 1) > most:
        raise _exceeded(project_id, project, standing, f"over its limit of {most:,} repositories")


async def ensure_repository(tx: Transaction, name: RepositoryName) -> RepositoryRecord:
    """Return the repository, made with its project where they are missing.

    Raises:
        QuotaExceeded: The project may have no more repositories.
    """
    found = await repositories.find(tx, name)
    if found is not None:
        return found
    made = await repositories.ensure(tx, name)
    await require_repository(tx, made.project_id, name.project)
    return made


async def limited(reader: Reader, name: RepositoryName) -> Limited | None:
    """Return how the project of a repository stands, if there is a limit for its bytes."""
    found = await usage.find_limited(reader, name.project)
    return None if found is None else Limited(found[0], name.project, found[1])


@dataclass(frozen=True, slots=True)
class Limited:
    """A project with a limit for its bytes, as it stood a moment ago."""

    id: int
    name: str
    standing: Standing

    def require_room(self, more: int = 0) -> None:
        """Go on only if the project has room, also for so many bytes more.

        Raises:
            QuotaExceeded: It has not.
        """
        counts = self.standing.counts
        counts = replace(counts, reserved_bytes=counts.reserved_bytes + more)
        require_room(self.id, self.name, replace(self.standing, counts=counts))

    async def require_room_for(self, reader: Reader, digest: str, size: int) -> None:
        """Go on only if the project has room for a blob that its client is about to commit.

        Raises:
            QuotaExceeded: It has not.
        """
        try:
            self.require_room(size)
        except QuotaExceeded:
            if not await reservations.counts(reader, self.id, digest):
                raise

    async def reserve(self, tx: Transaction, blob_id: int, size: int, *, seconds: float) -> None:
        """Count a blob that was just committed until a manifest refers to it, for so many seconds at most.

        Raises:
            QuotaExceeded: The project has no room for it.
        """
        standing = await self.renew(tx, blob_id, size, seconds=seconds)
        if standing is not None:
            require_room(self.id, self.name, standing)

    async def renew(self, tx: Transaction, blob_id: int, size: int, *, seconds: float) -> Standing | None:
        """Count a blob for so many seconds from now on; how the project stands then, None where it counted already."""
        return await reservations.reserve(tx, self.id, blob_id, size, until=clock.after(seconds))


def warning(project: str, standing: Standing) -> str | None:
    """Say what people should know about a project that comes near to its limits; None when that is nothing."""
    limits = standing.limits
    soft = limits.soft_bytes
    if soft is None and limits.hard_bytes is not None:
        soft = limits.hard_bytes * _WARNING_PERCENT // 100
    if soft is not None and standing.bytes > soft:
        most = "no hard limit" if limits.hard_bytes is None else f"a limit of {spelt(limits.hard_bytes)}"
        return f"Project {project} uses {spelt(standing.bytes)}, more than {spelt(soft)}; it has {most}."
    if limits.soft_manifests is not None and standing.counts.manifests > limits.soft_manifests:
        return f"Project {project} has {standing.counts.manifests:,} artifacts, more than {limits.soft_manifests:,}."
    return None


def _exceeded(
    project_id: int, project: str, standing: Standing, what: str, *, excess: int = 0, manifests: int = 0
) -> QuotaExceeded:
    counts, limits = standing.counts, standing.limits
    return QuotaExceeded(
        f"Project {project} would be {what}. Delete what it does not need, empty its trash, or have its quota raised.",
        project=project_id,
        excess=excess,
        manifests=manifests,
        detail={
            "project": project,
            "bytes": standing.bytes,
            "bytes_of_them_reserved": counts.reserved_bytes,
            "artifacts": counts.manifests,
            "limits": {
                "bytes": limits.hard_bytes,
                "artifacts": limits.hard_manifests,
                "repositories": limits.hard_repositories,
            },
            "charge": limits.charge,
        },
    )
