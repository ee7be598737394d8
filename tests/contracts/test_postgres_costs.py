"""What pulls and pushes cost on PostgreSQL, counted: statements, transactions, and round trips to the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.oci.digest import Digest
from tests.contracts.registry.test_costs import Served
from tests.support.access_modes import basic, registry_with
from tests.support.postgres import PostgresServer

#: BEGIN, the note of the transaction's id, and COMMIT.
AROUND_A_TRANSACTION = 3


@pytest.fixture
async def served(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Served]:
    """Run a registry, warm, with somebody who signs in with a token."""
    with postgres.database() as url:
        environ = {"ENTREPOT_ADMIN_PASSWORD": "the password of tests"}
        async with registry_with(tmp_path, None, environ, url) as running:
            found = Served(running.app, running.client, basic("admin", "the password of tests"))
            await found.push("warm", 1)
            asked = await running.client.get("/token?scope=repository:team/app:pull,push", headers=found.signed_in)
            found.signed_in = {"Authorization": f"Bearer {json.loads(asked.body)['token']}"}
            await found.pull("manifests/warm")
            yield found


async def test_a_pull_of_a_remembered_caller_is_one_round_trip(served: Served) -> None:
    """A manifest by tag and by digest and a blob: one statement each, and no transaction."""
    digest = Digest.of(b"warm, layer 0")
    for path in ("manifests/warm", f"blobs/{digest}", "manifests/warm"):
        await served.pull(path)  # reads the bytes
        cost = await served.pull(path)
        assert (cost.statements, cost.commits) == (1, 0), path


async def test_many_callers_share_round_trips(served: Served) -> None:
    """At sixty-four callers a pull costs at most a tenth of a statement."""
    callers, pulls = 64, 10
    before = served.spent()[0]

    async def caller() -> None:
        for _ in range(pulls):
            answer = await served.client.get("/v2/team/app/manifests/warm", headers=served.signed_in)
            assert answer.status == 200

    await asyncio.gather(*(caller() for _ in range(callers)))
    assert served.spent()[0] - before <= 0.1 * callers * pulls


async def test_a_push_costs_a_fixed_number_and_a_fixed_number_for_each_layer(served: Served) -> None:
    """Round trips of a push: a + b·n, whatever is stored already."""

    async def round_trips(tag: str, layers: int) -> int:
        cost = await served.push(tag, layers)
        return cost.statements + AROUND_A_TRANSACTION * cost.commits

    await served.push("first", 1)
    one, two, three, nine = [await round_trips(f"of-{layers}", layers) for layers in (1, 2, 3, 9)]
    assert two - one == three - two
    assert nine - three == 6 * (two - one)
    assert two - one <= 48
    assert one <= 120
