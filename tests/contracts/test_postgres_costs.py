"""What pulls and pushes cost on PostgreSQL, counted: statements, transactions, and round trips to the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.metadata.engine.postgres_connect import REQUESTS
from entrepot.oci.digest import Digest
from tests.contracts.registry.test_costs import Served
from tests.support.access_modes import SignInRegistry, basic, registry_with
from tests.support.chaos import Rules, chaos
from tests.support.postgres import PostgresServer

#: BEGIN, the note of the transaction's id, and COMMIT.
AROUND_A_TRANSACTION = 3


@pytest.fixture
async def served(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Served]:
    """Run a registry, warm, with somebody who signs in with a token."""
    with postgres.database() as url:
        environ = {"ENTREPOT_ADMIN_PASSWORD": "the password of tests"}
        async with registry_with(tmp_path, None, environ, url) as running:
            yield await signed_in(running)


async def signed_in(running: SignInRegistry) -> Served:
    """Push an image, and take a token."""
    found = Served(running.app, running.client, basic("admin", "the password of tests"))
    await found.push("warm", 1)
    asked = await running.client.get("/token?scope=repository:team/app:pull,push,delete", headers=found.signed_in)
    found.signed_in = {"Authorization": f"Bearer {json.loads(asked.body)['token']}"}
    await found.pull("manifests/warm")
    return found


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


async def test_an_answer_is_given_again_only_while_its_row_is_the_same(served: Served) -> None:
    """A moved tag is seen at once, a deleted one is gone at once, and so is a blob."""
    path, blob = "/v2/team/app/manifests/moving", f"/v2/team/app/blobs/{Digest.of(b'first, layer 0')}"
    for layers in (1, 2):
        await served.push("moving" if layers == 2 else "first", layers)
    await served.push("moving", 1)
    first = await served.client.get(path, headers=served.signed_in)
    assert (await served.client.get(path, headers=served.signed_in)).body == first.body
    await served.push("moving", 3)
    second = await served.client.get(path, headers=served.signed_in)
    assert second.body != first.body
    assert (await served.client.get(blob, headers=served.signed_in)).status == 200
    for gone in (path, "/v2/team/app/manifests/first"):
        assert (await served.client.delete(gone, headers=served.signed_in)).status == 202
        assert (await served.client.get(gone, headers=served.signed_in)).status == 404


async def test_a_remembered_answer_without_a_database_is_refused_in_time(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """What cannot be asked is refused in the time of one question."""
    with postgres.database() as url, chaos(postgres.port) as relay:
        relayed = url.replace(f":{postgres.port}/", f":{relay.port}/")
        async with registry_with(
            tmp_path, None, {"ENTREPOT_ADMIN_PASSWORD": "the password of tests"}, relayed
        ) as running:
            found = await signed_in(running)
            await found.pull("manifests/warm")
            relay.rules = Rules(silent=True)
            began = asyncio.get_running_loop().time()
            answers = await asyncio.gather(
                *(running.client.get("/v2/team/app/manifests/warm", headers=found.signed_in) for _ in range(8))
            )
            assert {answer.status for answer in answers} == {503}
            assert asyncio.get_running_loop().time() - began < REQUESTS.answer + 1.5
            relay.rules = Rules()
            await found.pull("manifests/warm")


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
