"""What benchmarks send: images to fill servers with, and loads by wrk and curl."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from benchmarks.processes import Server

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def call(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> Mapping[str, str]:
    """Send a request and return the answer's headers."""
    sent = {**server.headers, **{key.replace("_", "-"): value for key, value in headers.items()}}
    request = urllib.request.Request(urljoin(server.url, path), data=body, method=method, headers=sent)
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
        return dict(answer.headers.items())


def push_blob(server: Server, repository: str, content: bytes) -> str:
    """Push a blob in one PUT and return its digest."""
    started = call(server, "POST", f"/v2/{repository}/blobs/uploads/", b"")
    digest = digest_of(content)
    location = started["Location"] if "Location" in started else started["location"]
    call(server, "PUT", with_digest(location, digest), content, Content_Type="application/octet-stream")
    return digest


def with_digest(location: str, digest: str) -> str:
    """Add the digest to an upload's location."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def push_image(server: Server, repository: str, tag: str, *layers: bytes) -> str:
    """Push an image of these layers and return its manifest's digest."""
    described = []
    for layer in layers:
        push_blob(server, repository, layer)
        kind = "application/vnd.oci.image.layer.v1.tar"
        described.append({"mediaType": kind, "digest": digest_of(layer), "size": len(layer)})
    config = b"{}"
    push_blob(server, repository, config)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(config),
                "size": len(config),
            },
            "layers": described,
        }
    ).encode()
    call(server, "PUT", f"/v2/{repository}/manifests/{tag}", manifest, Content_Type=MANIFEST_TYPE)
    return digest_of(manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load saw."""

    requests: int
    seconds: float
    rate: float  #: requests a second
    bytes_per_second: float
    p99_ms: float
    errors: int


def wrk(server: Server, path: str, *, connections: int, seconds: int, script: Path | None = None) -> Load:
    """Load one path with GET requests by wrk."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s"]
    for name, value in {**server.headers, "Accept": f"{MANIFEST_TYPE}, */*"}.items():
        command += ["-H", f"{name}: {value}"]
    if script is not None:
        command += ["-s", str(script)]
    text = subprocess.run([*command, f"{server.url}{path}"], capture_output=True, text=True, check=True).stdout
    return _parse(text)


def _parse(text: str) -> Load:
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    transfer = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", text)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if not (found and rate and transfer and slow):
        raise RuntimeError(f"wrk said: {text}")
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(bad[1]) if bad else 0
    if socket_errors:
        errors += sum(int(number) for number in socket_errors.groups())
    return Load(
        requests=int(found[1]),
        seconds=float(found[2]) * (60 if found[3] == "m" else 1),
        rate=float(rate[1]),
        bytes_per_second=float(transfer[1]) * _UNITS[transfer[2]],
        p99_ms=float(slow[1]) * units[slow[2]],
        errors=errors,
    )


def curl_upload(server: Server, repository: str, file: Path, digest: str) -> float:
    """Push a file in one PUT with curl; return the seconds from POST to 201."""
    begun = time.monotonic()
    started = call(server, "POST", f"/v2/{repository}/blobs/uploads/", b"")
    location = started["Location"] if "Location" in started else started["location"]
    command = ["curl", "-sf", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-T", str(file)]
    for name, value in {**server.headers, "Expect": "", "Content-Type": "application/octet-stream"}.items():
        command += ["-H", f"{name}: {value}" if value else f"{name}:"]
    target = urljoin(server.url, with_digest(location, digest))
    answer = subprocess.run([*command, target], capture_output=True, text=True, check=True)
    if answer.stdout != "201":
        raise RuntimeError(f"{server.name} answered {answer.stdout}")
    return time.monotonic() - begun
