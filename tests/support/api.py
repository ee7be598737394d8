"""Talking to the management API: JSON in, JSON out."""

from __future__ import annotations

import json
from typing import Any

from tests.http.transport import Answer, AsgiClient

BASE = "/api/v2.0"


class Api:
    """A client of the API; paths are given below `/api/v2.0`."""

    def __init__(self, client: AsgiClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> Answer:
        """Send GET."""
        return await self.send("GET", path, **headers)

    async def head(self, path: str, **headers: str) -> Answer:
        """Send HEAD."""
        return await self.send("HEAD", path, **headers)

    async def post(self, path: str, document: Any = None, **headers: str) -> Answer:
        """Send POST with a document."""
        return await self.send("POST", path, document, **headers)

    async def put(self, path: str, document: Any = None, **headers: str) -> Answer:
        """Send PUT with a document."""
        return await self.send("PUT", path, document, **headers)

    async def delete(self, path: str, **headers: str) -> Answer:
        """Send DELETE."""
        return await self.send("DELETE", path, **headers)

    async def send(self, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        """Send a request; `_` in the name of a header stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None
        if document is not None:
            sent.setdefault("Content-Type", "application/json")
            body = json.dumps(document).encode()
        return await self.client.request(method, BASE + path, headers=sent, body=body)

    async def found(self, path: str, **headers: str) -> Any:
        """Return the document at a path, which must be there."""
        answer = await self.get(path, **headers)
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()

    async def made(self, path: str, document: Any, **headers: str) -> str:
        """Make something, which must succeed, and return where it is, below `/api/v2.0`."""
        answer = await self.post(path, document, **headers)
        assert answer.status == 201, (answer.status, answer.body)
        return answer["Location"].removeprefix(BASE)


def refusal(answer: Answer) -> tuple[int, str]:
    """Return status and code of a refusal, which must be in Harbor's form and say something."""
    (error,) = answer.json()["errors"]
    assert set(error) == {"code", "message"}, error
    assert error["message"]
    return answer.status, error["code"]
