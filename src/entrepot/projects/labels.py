"""Labels: made, listed, changed and removed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from entrepot.access.faults import Conflict, Invalid, NotFound, require_unchanged
from entrepot.metadata import events
from entrepot.metadata.contents import labels
from entrepot.metadata.contents.labels import LabelRecord
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection

#: Harbor's clients write words as well; one of them `false` where nothing is said.
_COLOR = re.compile(r"(?:#[0-9A-Fa-f]{3,8}|[A-Za-z]{1,20})?")
_MAX_NAME = 128
_MAX_DESCRIPTION = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelText:
    """What people say of a label."""

    name: str
    description: str = ""
    color: str = ""

    def checked(self) -> LabelText:
        """Return the same with its name trimmed.

        Raises:
            Invalid: The name is empty or too long, or the colour none.
        """
        name = self.name.strip()
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise Invalid(f"a label's name has 1 to {_MAX_NAME} printable characters")
        if _COLOR.fullmatch(self.color) is None:
            raise Invalid("a label's color is a word, or written as #RRGGBB")
        if len(self.description) > _MAX_DESCRIPTION:
            raise Invalid(f"a label's description has at most {_MAX_DESCRIPTION} characters")
        return LabelText(name=name, description=self.description, color=self.color)


class Labels:
    """The use cases about labels; `project` None means those for all projects."""

    def __init__(self, metadata: Database) -> None:
        self._metadata = metadata

    async def page(self, project: ProjectRecord | None, selection: Selection) -> Listed[LabelRecord]:
        """Return a page of labels."""
        return await labels.page(self._metadata, None if project is None else project.id, selection)

    async def find(self, label_id: int) -> LabelRecord | None:
        """Return a label, if there is one of this id."""
        return await labels.find(self._metadata, label_id)

    async def create(self, project: ProjectRecord | None, text: LabelText, *, by: Source) -> LabelRecord:
        """Make a label.

        Raises:
            Invalid: Name, description or colour cannot be used.
            Conflict: There is one of this name.
        """
        wanted = text.checked()
        project_id = None if project is None else project.id

        async def work(tx: Transaction) -> LabelRecord:
            await _require_free(tx, project_id, wanted.name)
            made = await labels.add(
                tx, project_id, name=wanted.name, description=wanted.description, color=wanted.color
            )
            await _tell(tx, events.CREATE, wanted.name, project, by)
            return await _required(tx, made)

        return await self._metadata.write(work, name="create label")

    async def change(
        self,
        label: LabelRecord,
        project: ProjectRecord | None,
        text: LabelText,
        *,
        by: Source,
        expected: int | None = None,
    ) -> LabelRecord:
        """Change name, description and colour of a label.

        Raises:
            PreconditionFailed: It was changed since `expected`.
            Invalid: One of them cannot be used.
            Conflict: There is another one of this name.
            NotFound: It has gone in the meantime.
        """
        wanted = text.checked()

        async def work(tx: Transaction) -> LabelRecord:
            current = await labels.find(tx, label.id)
            if current is None:
                raise NotFound(f"there is no label {label.id}")
            require_unchanged(f"label {current.name}", current.updated_at, expected)
            if wanted.name != current.name:
                await _require_free(tx, label.project_id, wanted.name)
            changed = await labels.change(
                tx, label.id, name=wanted.name, description=wanted.description, color=wanted.color
            )
            assert changed  # it was there a moment ago, in this transaction
            await _tell(tx, events.UPDATE, wanted.name, project, by)
            return await _required(tx, label.id)

        return await self._metadata.write(work, name="change label")

    async def delete(self, label: LabelRecord, project: ProjectRecord | None, *, by: Source) -> None:
        """Remove a label, also from all artifacts.

        Raises:
            NotFound: It has gone in the meantime.
        """

        async def work(tx: Transaction) -> None:
            if not await labels.remove(tx, label.id):
                raise NotFound(f"there is no label {label.id}")
            await _tell(tx, events.DELETE, label.name, project, by)

        await self._metadata.write(work, name="delete label")


async def _require_free(reader: Reader, project_id: int | None, name: str) -> None:
    if await labels.named(reader, project_id, name) is not None:
        raise Conflict(f"there is a label {name!r} already; choose another name")


async def _required(reader: Reader, label_id: int) -> LabelRecord:
    found = await labels.find(reader, label_id)
    assert found is not None  # written a moment ago, in this transaction
    return found


async def _tell(tx: Transaction, kind: str, name: str, project: ProjectRecord | None, by: Source) -> None:
    await events.add(tx, kind, by=by, project=None if project is None else project.name, subject=f"label:{name}")
