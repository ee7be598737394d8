"""Podman signs in with API keys, as a robot, and with a CI job's token; each reaches what it was given and no more."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.access.policy import MAX_AGE
from entrepot.access.tokens.robot_trust import parse_trusts
from entrepot.accounts.robot_model import NewRobot, RobotWithSecret
from tests.support.accounts import Accounts, on_project, with_accounts
from tests.support.ci_issuer import CiIssuer, ci_issuer
from tests.support.container_storage import container_storage
from tests.support.network import Network
from tests.support.places import REFUSAL, Place
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.terminal import Terminal

#: A token for nothing but reading may be decided on what was true a few seconds ago.
POLICY_SECONDS = MAX_AGE + 1.0
AUDIENCE = "https://registry.example.org"


@pytest.fixture
def storage(terminal: Terminal, tmp_path: Path) -> Iterator[Terminal]:
    """Give the terminal with storage for images."""
    with container_storage(terminal, tmp_path / "containers") as made:
        yield made


@pytest.fixture
def issuer(network: Network, tmp_path: Path) -> Iterator[CiIssuer]:
    """Run a CI service in the network of the registry."""
    (tmp_path / "issuer").mkdir()
    with ci_issuer(tmp_path / "issuer", network.prefix) as running:
        yield running


@pytest.fixture
def place(network: Network) -> Iterator[Place]:
    """Run a registry that may ask issuers on its own host."""
    with Server(prefix=network.prefix, env={"REGISTRY_OUTBOUND_ALLOW": '["127.0.0.1"]'}) as server:
        yield Place(kind="login", server=server, login=("admin", ADMIN_PASSWORD))


class Client:
    """Podman at one registry, with an image to push."""

    def __init__(self, terminal: Terminal, place: Place, image: Path) -> None:
        self.terminal = terminal
        self.place = place
        self.image = terminal.run("podman", "pull", "--quiet", f"oci:{image}:latest")

    def login(self, name: str, secret: str) -> None:
        self.terminal.run("podman", "login", *self._login(name), given=secret)

    def login_refused(self, name: str, secret: str) -> str:
        return self.terminal.refused("podman", "login", *self._login(name), given=secret)

    def push(self, name: str) -> None:
        self.terminal.run("podman", "push", "--tls-verify=false", self.image, f"{self.place.address}/{name}")

    def push_refused(self, name: str) -> str:
        return self.terminal.refused("podman", "push", "--tls-verify=false", self.image, f"{self.place.address}/{name}")

    def _login(self, name: str) -> tuple[str, ...]:
        return ("--tls-verify=false", "--username", name, "--password-stdin", self.place.address)


@pytest.fixture
def podman(storage: Terminal, place: Place, busybox: Path) -> Client:
    """Give Podman, not logged in."""
    return Client(storage, place, busybox)


def make_robot(place: Place, **more: object) -> RobotWithSecret:
    """Make a robot of project demo that may pull and push one repository."""

    async def make(accounts: Accounts) -> RobotWithSecret:
        await accounts.project("demo")
        await accounts.project("other")
        permission = on_project("demo", "pull,push", repositories="demo/app")
        new = NewRobot(name="ci", project="demo", permissions=(permission,), **more)
        return await accounts.robots.create(new, acting=accounts.admin, by=accounts.by)

    return with_accounts(place.server.data / "entrepot", make)


def test_a_robot_pushes_its_one_repository_and_no_other(podman: Client) -> None:
    """`podman login` as `robot$demo+ci`: one repository takes the image, others do not; once removed it is nobody."""
    robot = make_robot(podman.place)
    assert robot.robot.name == "robot$demo+ci"
    podman.login(robot.robot.name, robot.secret)
    podman.push("demo/app:1")
    for elsewhere in ("demo/other:1", "demo/app/below:1", "other/app:1", "new/app:1"):
        assert REFUSAL.search(podman.push_refused(elsewhere))

    async def remove(accounts: Accounts) -> None:
        await accounts.robots.remove(robot.robot.id, acting=None, by=accounts.by)

    with_accounts(podman.place.server.data / "entrepot", remove)
    assert REFUSAL.search(podman.push_refused("demo/app:2"))
    time.sleep(POLICY_SECONDS)
    assert REFUSAL.search(podman.login_refused(robot.robot.name, robot.secret))


def test_a_key_is_the_accounts_second_password(podman: Client) -> None:
    """`podman login` with an API key pushes as the account does; the key of another name, or removed, does not."""

    async def make(accounts: Accounts) -> tuple[int, int, str]:
        key = await accounts.keys.create(accounts.admin.id, "laptop", acting=accounts.admin, by=accounts.by)
        return key.record.principal_id, key.record.id, key.secret

    state = podman.place.server.data / "entrepot"
    owner, key, secret = with_accounts(state, make)
    assert REFUSAL.search(podman.login_refused("somebody", secret))
    podman.login("admin", secret)
    podman.push("demo/app:1")

    async def remove(accounts: Accounts) -> None:
        await accounts.keys.remove(owner, key, by=accounts.by)

    with_accounts(state, remove)
    assert REFUSAL.search(podman.push_refused("demo/app:2"))


def test_a_ci_job_needs_no_secret(podman: Client, issuer: CiIssuer) -> None:
    """A job's token is the robot's password where the trust fits; exchanged, it outlives the job's own token."""
    trust = {"issuer": issuer.url, "audience": AUDIENCE, "claims": {"repository": "acme/app", "ref": "refs/heads/main"}}
    robot = make_robot(podman.place, trust=parse_trusts([trust])).robot
    assert REFUSAL.search(podman.login_refused(robot.name, issuer.token(AUDIENCE, repository="mallory/app")))
    podman.login(robot.name, issuer.token(AUDIENCE))
    podman.push("demo/app:1")
    assert REFUSAL.search(podman.push_refused("demo/other:1"))
    exchanged = exchange(podman, robot.name, issuer.token(AUDIENCE))
    assert exchanged["expires_in"] == 900
    podman.login(robot.name, exchanged["access_token"])
    podman.push("demo/app:2")
    assert REFUSAL.search(podman.push_refused("other/app:1"))
    refused = exchange(podman, robot.name, issuer.token(AUDIENCE, ref="refs/heads/feature"))
    assert refused["error"] == "invalid_grant"
    assert "claim ref" in refused["error_description"]


def exchange(podman: Client, robot: str, token: str) -> dict[str, object]:
    """Exchange a job's token with curl, as the how-to does."""
    form = urllib.parse.urlencode(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "client_id": robot,
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
    )
    answer = podman.terminal.run("curl", "-s", "--data-binary", "@-", f"{podman.place.server.url}/token", given=form)
    return dict(json.loads(answer))
