"""What goes wrong with backups, for the person who asked."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.oci.errors import RegistryError

#: Pieces that a message names.
_NAMED = 10


class BackupError(RegistryError):
    """Something is wrong with a backup or with what was asked of it."""


class PieceMissing(BackupError):
    """A piece is not in the target."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is missing")


class PieceDamaged(BackupError):
    """A piece does not hold what was put into it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name} is damaged: {reason}")


class TargetFailed(BackupError):
    """The place of the backups cannot be read or written."""


class TargetBusy(BackupError):
    """Somebody else is changing the target; try again when they are done."""


class WrongKey(BackupError):
    """The key does not fit the target."""


class BackupIncomplete(BackupError):
    """Pieces of a backup are missing or damaged."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        named = "; ".join(self.problems[:_NAMED])
        more = f"; and {len(self.problems) - _NAMED} more" if len(self.problems) > _NAMED else ""
        super().__init__(
            f"{len(self.problems)} pieces of the backup are missing or damaged: {named}{more}. Nothing is served from "
            "what was restored; choose another backup, or add --incomplete to restore what is there"
        )


class FolderInUse(BackupError):
    """A backup is restored into an empty folder only."""


class NoBackup(BackupError):
    """There is no such backup."""
