"""What comes out of the trash with a manifest: what it lists, and what refers to it and went with it."""

from __future__ import annotations

from entrepot.access.faults import PreconditionFailed
from entrepot.metadata.database import Reader
from entrepot.metadata.lifecycle import trash

#: Manifests that one restoration brings at most.
MOST = 100_000


async def in_order(reader: Reader, place_id: int, digest: str, deletion: str) -> list[str]:
    """Return the digests of what lies in a shadow with a manifest, itself included; what something needs comes first.

    Raises:
        PreconditionFailed: There are more than anybody needs.
    """
    order: list[str] = []
    seen: set[str] = set()
    waiting: list[tuple[str, bool]] = [(digest, False)]
    while waiting:
        current, visited = waiting.pop()
        if visited:
            order.append(current)
            waiting += [(one, False) for one in await trash.accessories(reader, place_id, current, deletion)]
        elif current not in seen:
            seen.add(current)
            if len(seen) > MOST:
                raise PreconditionFailed(f"more than {MOST:,} manifests would have to be restored; restore parts of it")
            waiting.append((current, True))
            waiting += [(one, False) for one in await trash.listed_by(reader, place_id, current)]
    return order
