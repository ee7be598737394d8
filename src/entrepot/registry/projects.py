"""Projects as far as pushes meet them."""

from __future__ import annotations

from entrepot.metadata.contents import projects as rows
from entrepot.metadata.database import Reader
from entrepot.oci.errors import NameUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.registry.model import Actor


async def require_project(reader: Reader, name: RepositoryName, actor: Actor) -> None:
    """Check that the project of a repository exists or that the actor's push may create it.

    Raises:
        NameUnknown: Neither is the case.
    """
    if actor.may_create_project or await rows.find(reader, name.project) is not None:
        return
    raise NameUnknown(
        f"The project {name.project} does not exist; ask an administrator to create it, then push again.",
        detail={"name": name, "project": name.project},
    )
