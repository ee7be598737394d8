"""Whoever follows the how-to pages gets there: their commands are run, line by line, against a real registry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from entrepot.access.second_factor.totp import STEP, Seed
from tests.support.http_client import Client, eventually
from tests.support.pages import EXAMPLE, Page, signed_in
from tests.support.server import ADMIN_PASSWORD, Server

PASSWORD = "wonderland-is-far-away"
TYPED = {
    "entrepot login": f"{ADMIN_PASSWORD}\n",
    "entrepot user create": f"{PASSWORD}\n{PASSWORD}\n",
}
Follow = Callable[..., Page]


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with accounts."""
    with Server() as running:
        yield running


@pytest.fixture
def follow(server: Server, tmp_path: Path) -> Follow:
    """Give a function that opens a page whose examples mean this registry."""

    def open_page(name: str, **more: object) -> Page:
        replaced = {
            f"https://{EXAMPLE}": server.url,
            EXAMPLE: server.address,
            "/var/lib/entrepot": str(server.data),
            "curl -u admin": f"curl -u admin:{ADMIN_PASSWORD}",
            "curl -s -u admin": f"curl -s -u admin:{ADMIN_PASSWORD}",
            "curl -u alice": f"curl -u alice:{PASSWORD}",
        }
        return Page(name, tmp_path, replaced, TYPED, **more)  # type: ignore[arg-type] - fields of Page

    return open_page


def account(page: Page, name: str) -> None:
    """Make an account, as the administrator."""
    page.follow(f"entrepot login https://{EXAMPLE} -u admin")
    page.follow(f"entrepot user create {name} --email {name}@example.org")


def test_users_groups_and_roles(follow: Follow, server: Server) -> None:
    """Accounts, members, groups, roles and grants, up to the question why."""

    page = follow("how-to/users-groups-roles.md")
    page.run()
    link = page.outputs["entrepot user reset-link bob"].strip()
    assert "password" in Client(url=server.url).request("GET", link.removeprefix(server.url)).body.decode()
    assert "role releaser on repositories team/web/**, tags v*" in page.outputs["entrepot access list"] + "".join(
        output for line, output in page.outputs.items() if line.startswith("entrepot access explain")
    )


def test_robots_and_keys(follow: Follow, server: Server) -> None:
    """What was printed signs in, and what was replaced or removed does not."""
    page = follow("how-to/robots-and-api-keys.md")
    account(page, "alice")
    page.follow("entrepot project create team")
    page.answers = {"entrepot login": f"{PASSWORD}\n"}
    for line in page.lines():
        if line.endswith("-u admin"):
            page.answers = {"entrepot login": f"{ADMIN_PASSWORD}\n"}
        if not line.startswith("docker "):
            page.follow(line)
    name, secret = page.outputs[
        "entrepot robot create ci --project team --allow repository:pull --allow repository:push --days 90"
    ].split()
    assert name == "robot$team+ci"
    assert not signed_in(server, name, secret)
    assert signed_in(server, name, page.outputs["entrepot robot rotate 'robot$team+ci'"].strip())


def test_which_tags_are_kept(follow: Follow, server: Server) -> None:
    """Rules are added, tried and applied: what no rule keeps is gone; tags are made immutable."""
    client = Client.of(server)
    for number in range(12):
        client.push_image("team/app", f"v{number:02}", b"%d" % number)
    client.push_image("team/app", "nightly", b"nightly")
    page = follow("how-to/decide-which-tags-to-keep.md")
    page.run()
    assert "13 looked at, 3 would go to the trash." in page.outputs["entrepot retention run team --dry-run"]
    assert "3 went to the trash." in page.outputs["entrepot retention run team"]
    kept = client.request("GET", "/v2/team/app/tags/list").json()["tags"]
    assert kept == [f"v{number:02}" for number in range(2, 12)]
    follow("how-to/keep-tags-immutable.md").run()
    rules = client.request("GET", "/api/v2.0/projects/team/immutabletagrules").json()
    assert [rule["tag_selectors"][0]["pattern"] for rule in rules] == ["v*", "release-*"]


def test_a_second_factor(follow: Follow, server: Server, tmp_path: Path) -> None:
    """Confirmed with a code; new recovery codes and off in a browser's session; and off by an administrator."""
    codes: list[str] = []

    def with_codes(line: str, outputs: Mapping[str, str]) -> str:
        begun = next((text for at, text in outputs.items() if at.endswith("/second_factor")), "{}")
        if "/confirm" in line:
            return line.replace("123456", now(json.loads(begun)["secret"]))
        return line.replace("123456", codes[0] if codes else "").replace("654321", codes[1] if codes else "")

    page = follow("how-to/second-factor.md", edit=with_codes)
    account(page, "alice")
    for line in page.lines():
        if line.startswith("curl -b jar") and not (tmp_path / "jar").exists():
            sign_in_as_browser(page, server, codes.pop())
        output = page.follow(line)
        if "recovery_codes" in output:
            codes[:] = json.loads(output)["recovery_codes"]
    eventually(lambda: signed_in(server, "alice", PASSWORD), what="the password alone")


def now(secret: str) -> str:
    """Return the code that an app shows now."""
    return Seed(secret=secret)._codes().generate(int(time.time()) // STEP * STEP).decode()


def sign_in_as_browser(page: Page, server: Server, code: str) -> None:
    """Sign alice in as the page of the API says, with a recovery code."""
    eventually(lambda: not signed_in(server, "alice", PASSWORD), what="the end of the password alone")
    time.sleep(5)  # what a worker remembers of accounts
    page.follow(
        f"curl -s -c jar https://{EXAMPLE}/c/login --data-urlencode principal=alice "
        f"--data-urlencode password={PASSWORD} --data-urlencode code={code}"
    )
    (token,) = [line for line in Page("reference/management-api.md", page.folder, {}).lines() if line[:6] == "TOKEN="]
    page.follow(token)


def test_the_management_api(follow: Follow, server: Server, tmp_path: Path) -> None:
    """Lists, names in paths, a change with If-Match, a session with its token, and settings."""
    page = follow("reference/management-api.md")
    account(page, "alice")
    Client.of(server).push_image("team/web/app", "1")
    (tmp_path / "password.txt").write_text(PASSWORD)
    page.run()
    made = next(output for line, output in page.outputs.items() if line.startswith("curl -s -b jar -H"))
    assert json.loads(made)["secret"].startswith("reg_")


def test_secrets_are_rotated(server: Server, follow: Follow, tmp_path: Path) -> None:
    """The registry's own key, and one that the operator gave."""
    page = follow("how-to/secrets-and-their-rotation.md")
    lines = list(page.lines())
    own = lines.index("entrepot secrets rotate --data /var/lib/entrepot")
    for line in lines[: own + 1]:
        page.follow(line)
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    server.stop()
    (server.data / "entrepot" / "keys" / "secret.key").rename(tmp_path / "given.key")
    page.environ["ENTREPOT_SECRET_KEY"] = (tmp_path / "given.key").read_text().split()[-1]
    for line in lines[own + 1 :]:
        output = page.follow(line)
    assert "keys behind it are not needed any more" in output


def test_where_the_space_went(follow: Follow, server: Server) -> None:
    """The page leads from the disk to the tag, and says what deleting it would bring."""
    for tag, layer in (("v1", b"one" * 1000), ("v2", b"two" * 1000)):
        Client.of(server).push_image("team/app", tag, layer)
    page = follow("how-to/where-did-the-space-go.md")
    page.run()
    shown = page.outputs["entrepot usage show team/app --server https://registry.example.org"]
    assert "v1" in shown
    assert "v2" in shown
    told = page.outputs["entrepot usage would-free --repository team/app --server https://registry.example.org"]
    assert "2 manifests would go" in told
    forecast = page.outputs["entrepot usage forecast --server https://registry.example.org"]
    assert "not enough history" in forecast
