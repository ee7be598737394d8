"""When something ends, as options say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

_MOST = 36_500

Days = Annotated[int | None, typer.Option("--days", min=1, max=_MOST, help="Days until it ends; never without it.")]


def end_in(days: int | None) -> str | None:
    """Return the moment so many days from now as the API takes it."""
    return None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
