"""What one does with the ORAS library for Python, as a program of its own: `oras_session.py PLAN`, a JSON object.

It runs apart from the tests because it belongs into the network of the registry.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from oras.client import OrasClient


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Log in where asked, push files, list tags, look at the manifest and pull the files again."""
    address, target = plan["address"], plan["target"]
    client = OrasClient(hostname=address, insecure=plan["plain"], auth_backend=plan["backend"])
    if plan["login"]:
        name, password = plan["login"]
        client.login(hostname=address, username=name, password=password)
    client.push(target=target, files=plan["files"], disable_path_validation=True, manifest_annotations={"by": "a test"})
    pulled = client.pull(target=target, outdir=plan["into"])
    return {"tags": client.get_tags(target), "pulled": pulled, "manifest": client.get_manifest(target)}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
