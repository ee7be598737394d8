"""Compares the routes of the registry with the rows of the authorisation matrix, and makes their documentation.

No cell is asked.

python -m tests.http.matrix.check
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from entrepot.web.api.examples import NoExample
from tests.http.matrix.cells import Row, read_table
from tests.http.matrix.deployed import deployed
from tests.http.matrix.requests import objects_of
from tests.http.matrix.routes import api_of, routes_of


def problems(routes: list[tuple[str, str]], rows: set[Row]) -> list[str]:
    """Say which rows are missing, and which there should not be."""
    wanted = {Row(path, method, thing) for method, path in routes for thing in objects_of(method, path)}
    missing = [f"no row for {row}" for row in sorted(wanted - rows)]
    return missing + [f"no route for {row}" for row in sorted(rows - wanted)]


async def deployed_routes() -> list[tuple[str, str]]:
    """Return the routes of a registry as it is deployed, once their documentation could be made.

    Raises:
        NoExample: A route says of a part of its answer neither what it looks like nor a default.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with deployed(Path(folder)) as application:
            (await api_of(application)).openapi()
            return await routes_of(application)


def main() -> None:
    """Compare, and fail where they differ."""
    try:
        routes = asyncio.run(deployed_routes())
    except NoExample as error:
        sys.exit(f"/api/v2.0/openapi.json cannot be made. {error}")
    table = read_table()
    if table.broken:
        print(*(f"{table.cells[cell]}: {cell}" for cell in table.broken), sep="\n")
        sys.exit("The authorisation matrix approves faults of our own.")
    found = problems(routes, set(table.rows))
    if found:
        print(*found, sep="\n")
        sys.exit(
            "The authorisation matrix misses rows: python -m tests.http.matrix.approve, and look at the difference."
        )
    print("Every route has its rows in the authorisation matrix, and its documentation.")


if __name__ == "__main__":
    main()
