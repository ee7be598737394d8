"""Podman signs in as people of a directory; groups decide what they may, and whoever leaves is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.policy import Policy
from entrepot.access.roles import DEVELOPER
from entrepot.accounts.explanations import Explaining
from entrepot.metadata.contents import projects
from entrepot.metadata.people import grants, groups
from tests.support.accounts import Accounts, with_accounts
from tests.support.container_storage import container_storage
from tests.support.http_client import eventually
from tests.support.network import Network
from tests.support.places import REFUSAL, Place
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.slapd import Slapd, group_dn, password_of, slapd, user_dn
from tests.support.terminal import Terminal


@pytest.fixture
def directory(network: Network, tmp_path: Path) -> Iterator[Slapd]:
    """Run OpenLDAP with 1,000 people and three groups, one of them of groups, in the network of the registry."""
    with slapd(tmp_path / "slapd", people=1000, prefix=tuple(network.prefix)) as server:
        yield server


@pytest.fixture
def place(network: Network, directory: Slapd) -> Iterator[Place]:
    """Run a registry that asks it, over StartTLS with a private authority."""
    section = directory.section(groups={"admins": [group_dn("leads")]}, sync={"enabled": False})
    with Server({"auth": "accounts", "access": {"ldap": section}}, prefix=network.prefix) as server:
        yield Place(kind="ldap", server=server, login=("admin", ADMIN_PASSWORD))


class Client:
    """Podman at one registry, with an image to push."""

    def __init__(self, terminal: Terminal, place: Place, image: Path) -> None:
        self.terminal = terminal
        self.place = place
        self.image = terminal.run("podman", "pull", "--quiet", f"oci:{image}:latest")

    def login(self, name: str, secret: str) -> None:
        """Log in."""
        self.terminal.run("podman", "login", *self._login(name), given=secret)

    def login_refused(self, name: str, secret: str) -> str:
        """Fail to log in, and give what it said."""
        return self.terminal.refused("podman", "login", *self._login(name), given=secret)

    def push(self, name: str) -> None:
        """Push the image."""
        self.terminal.run("podman", "push", "--tls-verify=false", self.image, f"{self.place.address}/{name}")

    def push_refused(self, name: str) -> str:
        """Fail to push it, and give what it said."""
        return self.terminal.refused("podman", "push", "--tls-verify=false", self.image, f"{self.place.address}/{name}")

    def _login(self, name: str) -> tuple[str, ...]:
        return ("--tls-verify=false", "--username", name, "--password-stdin", self.place.address)


@pytest.fixture
def podman(terminal: Terminal, tmp_path: Path, place: Place, busybox: Path) -> Iterator[Client]:
    """Give Podman, not logged in."""
    with container_storage(terminal, tmp_path / "containers") as storage:
        yield Client(storage, place, busybox)


def let_group_develop(place: Place, dn: str, project: str) -> None:
    """Make the people of a directory's group developers of a project, as an administrator does."""

    async def give(accounts: Accounts) -> None:
        await accounts.project(project)
        found = await projects.find(accounts.database, project)
        [group] = await groups.by_subjects(accounts.database, "ldap", [dn])
        assert found is not None
        await accounts.database.write(
            lambda tx: grants.add(tx, principal_id=group.id, role_id=DEVELOPER, project_id=found.id, origin="member")
        )

    with_accounts(place.server.data / "entrepot", give)


def test_from_the_first_login_to_the_last(podman: Client, directory: Slapd, network: Network) -> None:
    """Login over StartTLS, a push to the group's project and none elsewhere; removed, synchronised, refused."""
    place = podman.place
    podman.login("bob", password_of("bob"))
    assert REFUSAL.search(podman.push_refused("team/app:1"))
    let_group_develop(place, group_dn("devs"), "team")
    podman.push("team/app:1")
    assert REFUSAL.search(podman.push_refused("elsewhere/app:1"))
    allowed, why = explained(place, "bob", "push", "team/app")
    assert allowed
    assert "role developer on project team, through group devs" in why
    allowed, why = explained(place, "bob", "push", "elsewhere/app")
    assert not allowed
    assert "it is for another project" in why
    assert REFUSAL.search(podman.login_refused("bob", "wrong"))
    podman.login("user0500", password_of("user0500"))
    assert REFUSAL.search(podman.push_refused("team/app:2"))
    podman.login("carol", password_of("carol"))
    podman.push("elsewhere/app:1")  # by the group of administrators

    directory.delete(user_dn("bob"))
    report = json.loads(synchronise(place, network, "--dry-run"))
    assert report["changes"] == ["bob: closed: no longer among the people of the directory"]
    assert json.loads(synchronise(place, network))["counts"] == {"closed": 1}
    time.sleep(6)  # what a worker remembers of rights and accounts
    assert REFUSAL.search(podman.login_refused("bob", password_of("bob")))
    podman.login("alice", password_of("alice"))
    podman.push("team/app:3")


def test_the_directory_is_down(podman: Client, directory: Slapd) -> None:
    """Who was here before signs in, who was not is told why, and the administrator never notices."""
    podman.login("alice", password_of("alice"))
    directory.stop()
    podman.login("admin", ADMIN_PASSWORD)
    podman.push("library/app:1")
    said = podman.login_refused("bob", password_of("bob"))
    assert "directory that knows this account cannot be asked now" in said or "503" in said
    eventually(lambda: "the directory cannot be asked" in podman.place.server.logs(), what="a line of the log")


def explained(place: Place, name: str, action: str, target: str) -> tuple[bool, str]:
    """Ask why somebody may or may not."""

    async def ask(accounts: Accounts) -> tuple[bool, str]:
        explaining = Explaining(accounts.database, Authorizer(Policy(accounts.database)))
        decision = await explaining.explain(name, action, target)
        return decision.allowed, "\n".join([decision.reason, *decision.trace])

    return with_accounts(place.server.data / "entrepot", ask)


def synchronise(place: Place, network: Network, *options: str) -> str:
    """Run `entrepot directory sync` where the directory can be reached."""
    program = Path(sys.executable).parent / "entrepot"
    config = place.server.folder / "config.yml"
    command = [*network.prefix, program, "directory", "sync", "--json", *options, "--config", config]
    done = subprocess.run(
        command, env=place.server.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
