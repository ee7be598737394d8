"""Many rows in several short write transactions: pushes wait for no long one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from entrepot.metadata.database import Transaction

#: Rows of one transaction: some ten milliseconds.
ROWS: Final = 500

Row = Mapping[str, object]
#: Writes a part of something.
Piece = Callable[[Transaction], Awaitable[None]]


class WriteRows(Protocol):
    """Writes rows."""

    async def __call__(self, tx: Transaction, *, rows: Sequence[Row]) -> None:
        """Write them."""
        ...


def in_pieces(rows: Sequence[Row], limit: int, write: WriteRows) -> Iterator[Piece]:
    """Yield what writes some of the rows at a time."""
    for start in range(0, len(rows), limit):
        yield _piece(rows[start : start + limit], write)


def _piece(rows: Sequence[Row], write: WriteRows) -> Piece:
    async def piece(tx: Transaction) -> None:
        await write(tx, rows=rows)

    return piece
