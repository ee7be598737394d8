"""Push a file as an OCI artifact and fetch it again, with nothing but Python's own library.

    ./artifact.py push FILE HOST:PORT/NAME:TAG      prints the digest of the manifest
    ./artifact.py pull HOST:PORT/NAME:TAG FILE

Who signs in puts name:password into REGISTRY_LOGIN. It shows the protocol that a push needs: ask whether a blob is
there, upload it in one go, then name what belongs together in a manifest.
"""

import base64
import hashlib
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


class Repository:
    """One repository of one registry."""

    def __init__(self, target: str) -> None:
        """Take `HOST:PORT/NAME:TAG` apart."""
        host, _, rest = target.partition("/")
        name, _, self.tag = rest.rpartition(":")
        self.base = f"http://{host}/v2/{name}/"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
        """Send a request; anything but a good answer raises with what the registry said."""
        url = urllib.parse.urljoin(self.base, path)
        request = urllib.request.Request(url, data=body, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if login := os.environ.get("REGISTRY_LOGIN"):
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=60)
        return answer

    def put_blob(self, content: bytes) -> dict[str, object]:
        """Upload bytes unless they are there, and describe them."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        try:
            self.ask("HEAD", f"blobs/{digest}")
        except urllib.error.HTTPError as missing:
            if missing.code != 404:
                raise
            location = urllib.parse.urljoin(self.base, self.ask("POST", "blobs/uploads/", b"").headers["Location"])
            separator = "&" if "?" in location else "?"
            self.ask("PUT", f"{location}{separator}digest={digest}", content, Content_Type="application/octet-stream")
        return {"digest": digest, "size": len(content)}


def push(file: Path, target: str) -> str:
    """Push the file and give the digest of its manifest."""
    repository = Repository(target)
    layer = {"mediaType": "application/octet-stream", **repository.put_blob(file.read_bytes())}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.file",
        "config": {"mediaType": EMPTY, **repository.put_blob(b"{}")},
        "layers": [{**layer, "annotations": {"org.opencontainers.image.title": file.name}}],
    }
    body = json.dumps(manifest).encode()
    answer = repository.ask("PUT", f"manifests/{repository.tag}", body, Content_Type=MANIFEST)
    return str(answer.headers["Docker-Content-Digest"])


def pull(target: str, file: Path) -> None:
    """Fetch the file that the tag names, and check its digest."""
    repository = Repository(target)
    manifest = json.loads(repository.ask("GET", f"manifests/{repository.tag}", Accept=MANIFEST).read())
    layer = manifest["layers"][0]
    content = repository.ask("GET", f"blobs/{layer['digest']}").read()
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != layer["digest"]:
        sys.exit("The bytes that came are not the ones that were asked for.")
    file.write_bytes(content)


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["push", file, target]:
            print(push(Path(file), target))
        case ["pull", target, file]:
            pull(target, Path(file))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
