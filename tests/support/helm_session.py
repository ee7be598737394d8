"""What one does with Helm's own library, as a program of its own: `helm_session.py PLAN`, a JSON object.

It runs apart from the tests because the library keeps its settings for the life of a process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from helm_python.registry import RegistryClient


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Log in where asked, push the chart, look at it and pull it again."""
    plain = plan["plain"]
    with RegistryClient(plain_http=plain, credentials_file=plan["credentials"]) as client:
        if plan["login"]:
            client.login(plan["address"], *plan["login"], plain_http=plain)
        client.push(plan["chart"], f"oci://{plan['address']}/{plan['folder']}")
        name = f"{plan['address']}/{plan['folder']}/{plan['name']}"
        client.pull(f"oci://{name}", version=plan["version"], plain_http=plain, destination=plan["into"])
        return {"tags": client.tags(name), "resolved": client.resolve(f"{name}:{plan['version']}")}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
