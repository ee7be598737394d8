"""Who gets in, and what the others are told, is the same here and in Debian's docker-registry."""

from __future__ import annotations

import http.client
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.identity.key_ids import libtrust_id
from tests.http.transport import AsgiClient
from tests.support.access_modes import basic, registry_with
from tests.unit.access.certificates import Party, new_key, token

HEAD = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {root}\nhttp:\n  addr: 127.0.0.1:0\n"
LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
SCOPE = re.compile(r'scope="([^"]*)"')

#: What is asked of both, without a body; paths that exist in neither, so that a 404 means: came in.
REQUESTS = [
    ("GET", "/v2/"),
    ("GET", "/v2/team/app/manifests/latest"),
    ("HEAD", "/v2/team/app/manifests/latest"),
    ("POST", "/v2/team/app/blobs/uploads/"),
    ("DELETE", "/v2/team/app/manifests/sha256:" + "0" * 64),
    ("GET", "/v2/other/app/tags/list"),
    ("GET", "/v2/_catalog"),
]

Headers = dict[str, str]
Seen = tuple[bool, str]


@contextmanager
def docker_registry(program: Path, folder: Path, auth: str) -> Iterator[int]:
    """Run docker-registry with an `auth` section and give its port."""
    folder.mkdir()
    file, log = folder / "config.yml", folder / "log"
    file.write_text(HEAD.format(root=folder / "data") + auth)
    environ = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
    with log.open("w") as output:
        child = subprocess.Popen([program, "serve", file], env=environ, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 20
        while not (listening := LISTENING.search(log.read_text())):
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield int(listening[1])
    finally:
        child.kill()
        child.wait()


def ask_theirs(port: int, method: str, path: str, headers: Headers) -> Seen:
    """Ask docker-registry: came in, and the challenge."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": "registry.test", **headers})
        answer = connection.getresponse()
        return answer.status != 401, normal(answer.headers.get("WWW-Authenticate", ""))
    finally:
        connection.close()


def normal(challenge: str) -> str:
    """Put the scope's actions, which Go lists in random order, into one order."""

    def in_order(match: re.Match[str]) -> str:
        scopes = []
        for scope in match[1].split(" "):
            start, _, actions = scope.rpartition(":")
            scopes.append(f"{start}:{','.join(sorted(actions.split(',')))}")
        return f'scope="{" ".join(sorted(scopes))}"'

    return SCOPE.sub(in_order, challenge)


async def compare(program: Path, folder: Path, auth: str, credentials: dict[str, Headers]) -> None:
    """Ask both everything with every credential, and collect the differences."""
    (folder / "ours").mkdir()
    differences = []
    with docker_registry(program, folder / "theirs", auth) as port:
        async with registry_with(folder / "ours", auth) as registry:
            for name, headers in credentials.items():
                for number, (method, path) in enumerate(REQUESTS):
                    theirs = ask_theirs(port, method, path, headers)
                    # Each from another network: docker-registry has no limit on failures, and this is not about ours.
                    client = AsgiClient(registry.application, address=f"10.0.{number}.1")
                    answer = await client.request(method, path, headers=headers)
                    challenge = answer.values("WWW-Authenticate")
                    ours = answer.status != 401, normal("".join(challenge))
                    if ours != theirs:
                        differences.append((name, method, path, "theirs", theirs, "ours", ours))
    assert differences == []


async def test_htpasswd(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """A file made by htpasswd, with the right password, wrong ones, other schemes and broken headers."""
    made = subprocess.run([tool("htpasswd"), "-Bbn", "alice", "s3:cret"], capture_output=True, check=True).stdout
    (tmp_path / "htpasswd").write_bytes(
        b"# users\n\n" + made + b"old:plain\nmd5:$apr1$xxxxxxxx$yyyyyyyyyyyyyyyyyyyyyy\n"
    )
    auth = f'auth:\n  htpasswd:\n    realm: My "Registry"\n    path: {tmp_path / "htpasswd"}\n'
    credentials = {
        "none": {},
        "right": basic("alice", "s3:cret"),
        "wrong": basic("alice", "s3"),
        "another name": basic("Alice", "s3:cret"),
        "plain text": basic("old", "plain"),
        "bearer": {"Authorization": "Bearer x"},
        "broken": {"Authorization": "Basic ?"},
    }
    await compare(tool("docker-registry"), tmp_path, auth, credentials)


async def test_silly(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """The make-believe sign-in takes any header."""
    auth = "auth:\n  silly:\n    realm: r\n    service: s\n"
    await compare(tool("docker-registry"), tmp_path, auth, {"none": {}, "any": {"Authorization": "x"}})


async def test_no_auth(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """Without `auth` everybody comes in."""
    await compare(tool("docker-registry"), tmp_path, "", {"none": {}, "any": {"Authorization": "x"}})


def bearer(key: Any, header: dict[str, Any], algorithm: str = "ES256", **changes: Any) -> Headers:
    """Return the header with a token; times are given relative to now."""
    now = int(time.time())
    claims: dict[str, Any] = {"exp": 300, "nbf": 0, "iat": 0} | changes
    for name in ("exp", "nbf", "iat"):
        if isinstance(claims[name], int):
            claims[name] += now
    return {"Authorization": f"Bearer {token(key, header, algorithm, **claims)}"}


@pytest.fixture(scope="module")
def parties() -> dict[str, Party]:
    """Make a root, who it vouches for, and strangers; valid by the real clock."""
    life = (-3600, time.time())
    root = Party("root", new_key("RSA"), lifetime=life)
    middle = Party("middle", issuer=root, path_length=0, lifetime=life)
    return {
        "root": root,
        "middle": middle,
        "leaf": Party("leaf", issuer=middle, authority=False, lifetime=life),
        "ec": Party("ec", lifetime=life),
        "stranger": Party("root", new_key("RSA"), lifetime=life),
        "expired": Party("expired", issuer=root, lifetime=(-7200, -3600)),
    }


def tokens(parties: dict[str, Party]) -> dict[str, Headers]:
    """Make tokens, good ones and bad ones."""
    root, middle, leaf, ec = (parties[name] for name in ("root", "middle", "leaf", "ec"))
    kid = {"kid": libtrust_id(ec.key.public_key())}
    rsa = {"kid": libtrust_id(root.key.public_key())}
    everything = [{"type": "repository", "name": "team/app", "class": "", "actions": ["*"]}]
    catalog = [{"type": "registry", "name": "catalog", "actions": ["*"]}]
    stranger, expired = parties["stranger"], parties["expired"]
    return {
        "none": {},
        "basic": basic("alice", "x"),
        "garbage": {"Authorization": "Bearer a.b.c"},
        "no token": {"Authorization": "Bearer"},
        "lower case": {"Authorization": bearer(ec.key, kid)["Authorization"].replace("Bearer", "bearer")},
        "elliptic curve": bearer(ec.key, kid),
        "rsa": bearer(root.key, rsa, "RS256"),
        "rsa 512": bearer(root.key, rsa, "RS512"),
        "everything": bearer(ec.key, kid, access=everything),
        "catalog": bearer(ec.key, kid, access=catalog),
        "nothing": bearer(ec.key, kid, access=[]),
        "no access": bearer(ec.key, kid, access=...),
        "pull only": bearer(ec.key, kid, access=[{"type": "repository", "name": "team/app", "actions": ["pull"]}]),
        "delete only": bearer(ec.key, kid, access=[{"type": "repository", "name": "team/app", "actions": ["delete"]}]),
        "same twice": bearer(
            ec.key,
            kid,
            access=[{"type": "repository", "name": "team/app", "actions": [action]} for action in ("pull", "push")],
        ),
        "another kid": bearer(ec.key, rsa),
        "no kid": bearer(ec.key, {}),
        "chain": bearer(leaf.key, {"x5c": [leaf.x5c, middle.x5c]}),
        "chain with root": bearer(leaf.key, {"x5c": [leaf.x5c, middle.x5c, root.x5c]}),
        "broken chain": bearer(leaf.key, {"x5c": [leaf.x5c]}),
        "strange root": bearer(stranger.key, {"x5c": [stranger.x5c]}, "RS256"),
        "expired certificate": bearer(expired.key, {"x5c": [expired.x5c]}),
        "chain of another key": bearer(stranger.key, {"x5c": [root.x5c]}, "RS256"),
        "expired within the leeway": bearer(ec.key, kid, exp=-50),
        "expired": bearer(ec.key, kid, exp=-70),
        "early within the leeway": bearer(ec.key, kid, nbf=50),
        "early": bearer(ec.key, kid, nbf=70),
        "without times": bearer(ec.key, kid, nbf=..., iat=...),
        "without an end": bearer(ec.key, kid, exp=...),
        "another issuer": bearer(ec.key, kid, iss="other"),
        "another audience": bearer(ec.key, kid, aud="other"),
        "no audience": bearer(ec.key, kid, aud=...),
        "no subject": bearer(ec.key, kid, sub=...),
    }


async def test_token(tmp_path: Path, tool: Callable[[str], Path], parties: dict[str, Party]) -> None:
    """Tokens by key id and by chain, with every claim wrong in turn: the same come in, the same challenges come out."""
    (tmp_path / "bundle.pem").write_bytes(parties["root"].pem + parties["ec"].pem)
    auth = (
        "auth:\n  token:\n    realm: https://auth.example/token\n    service: registry.example\n"
        f"    issuer: auth.example\n    rootcertbundle: {tmp_path / 'bundle.pem'}\n"
    )
    await compare(tool("docker-registry"), tmp_path, auth, tokens(parties))


async def test_autoredirect(tmp_path: Path, tool: Callable[[str], Path], parties: dict[str, Party]) -> None:
    """The realm that `autoredirect` makes of the Host is the same."""
    (tmp_path / "bundle.pem").write_bytes(parties["ec"].pem)
    auth = (
        "auth:\n  token:\n    realm: https://auth.example/token\n    service: registry.example\n"
        f"    issuer: auth.example\n    autoredirect: true\n    rootcertbundle: {tmp_path / 'bundle.pem'}\n"
    )
    await compare(tool("docker-registry"), tmp_path, auth, {"none": {}})
