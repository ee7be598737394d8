"""A CI service as far as a registry sees it: an issuer whose discovery document and keys are files behind real HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from entrepot.access.tokens.jwt import quietly

_SERVING = re.compile(r"port (\d+)")


@dataclass(kw_only=True)
class CiIssuer:
    """Signs tokens for jobs."""

    url: str
    folder: Path
    log: Path
    keys: list[RSAKey | ECKey] = field(default_factory=list)

    def describe(self, **more: object) -> None:
        """Say in the discovery document who it is, and more."""
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys.json", **more}
        (self.folder / ".well-known" / "openid-configuration").write_text(json.dumps(document))

    def rotate(self, kid: str, *, keep: bool = False) -> None:
        """Sign with a new key from now on; the old ones are shown on if they are kept."""
        made = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})
        self.keys = [made, *(self.keys if keep else [])]
        document = {"keys": [key.as_dict(private=False) for key in self.keys]}
        (self.folder / "keys.json").write_text(json.dumps(document))

    def token(self, audience: str, **claims: object) -> str:
        """Sign a token as GitHub would for a job of acme/app; claims may be added and replaced."""
        now = int(time.time())
        whole = {
            "iss": self.url,
            "aud": audience,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "repository": "acme/app",
            "ref": "refs/heads/main",
            "iat": now,
            "nbf": now - 5,
            "exp": now + 300,
            **claims,
        }
        with quietly():
            return jwt.encode({"alg": "RS256", "kid": self.keys[0].kid}, whole, self.keys[0], algorithms=["RS256"])

    @property
    def times_asked_for_keys(self) -> int:
        """Count how often somebody read the keys."""
        return self.log.read_text().count("GET /keys.json")


@contextmanager
def ci_issuer(folder: Path, prefix: Sequence[str] = ()) -> Iterator[CiIssuer]:
    """Run one; `prefix` is put before the command, as for a network of its own."""
    (folder / "site" / ".well-known").mkdir(parents=True)
    log = folder / "log"
    command = [
        *prefix,
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "--directory",
        folder / "site",
        "0",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT)
    try:
        issuer = CiIssuer(url=f"http://127.0.0.1:{_port(process, log)}", folder=folder / "site", log=log)
        issuer.describe()
        issuer.rotate("first")
        yield issuer
    finally:
        process.terminate()
        process.wait(timeout=10)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    for _ in range(500):
        found = _SERVING.search(log.read_text())
        if found:
            return int(found[1])
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"the issuer did not start: {log.read_text()}")
