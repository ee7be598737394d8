"""Whoever follows the pages about ways to sign in gets there: configurations and commands are used as they stand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.ci_issuer import CiIssuer, ci_issuer
from tests.support.http_client import Client
from tests.support.pages import EXAMPLE, Page, basic, blocks, signed_in
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.slapd import BASE, READER, READER_PASSWORD, Slapd, group_dn, slapd

PASSWORD = "wonderland-is-far-away"
TYPED = {"entrepot login": f"{ADMIN_PASSWORD}\n"}


def test_from_htpasswd_to_accounts(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """A file of `htpasswd -Bbn`, used as it is, then imported: the same passwords, the rights of then, and roles."""
    file, config = tmp_path / "htpasswd", {"auth": {"htpasswd": {"realm": "tests", "path": str(tmp_path / "htpasswd")}}}
    made = subprocess.run([tool("htpasswd"), "-Bbn", "alice", PASSWORD], check=True, capture_output=True, text=True)
    file.write_text(made.stdout)
    with Server(config) as server:
        assert signed_in(server, "alice", PASSWORD)
        Client(url=server.url, headers=basic("alice", PASSWORD)).push_image("team/app", "1")
        place = {"/etc/entrepot/htpasswd": str(file), "config.yml": str(server.folder / "config.yml")}
        page = Page("how-to/move-from-htpasswd.md", tmp_path, place, environ=environment(server))
        lines = list(page.lines())
        assert "1 account was made" in page.follow(lines[0])
        server.stop()
        config["auth"] = yaml.safe_load(blocks(page.name, "yaml")[0])["auth"]
        server.start()
        assert signed_in(server, "alice", PASSWORD)
        client = Client(url=server.url, headers=basic("alice", PASSWORD))
        client.push_image("team/app", "2")
        for line in lines[1:]:
            page.follow(line)
        assert "htpasswd-import" in page.outputs["entrepot access list --config config.yml"]


def environment(server: Server) -> dict[str, str]:
    """Give what commands need to mean the same registry as the server."""
    return {name: value for name, value in server.environment().items() if name.startswith(("REGISTRY_", "ENTREPOT_"))}


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[CiIssuer]:
    """Run a CI service."""
    (tmp_path / "issuer").mkdir()
    with ci_issuer(tmp_path / "issuer") as running:
        yield running


def test_keyless_ci(issuer: CiIssuer, tmp_path: Path) -> None:
    """The robots are made; the job files' own lines sign in with a job's token; the exchange gives one of ours."""
    with Server(env={"REGISTRY_OUTBOUND_ALLOW": '["127.0.0.1"]'}) as server:
        replaced = {
            f"https://{EXAMPLE}": server.url,
            EXAMPLE: server.address,
            "https://token.actions.githubusercontent.com": issuer.url,
            "https://gitlab.example.org": issuer.url,
        }
        page = Page("how-to/keyless-ci.md", tmp_path, replaced, TYPED)
        page.follow(f"entrepot login https://{EXAMPLE} -u admin")
        page.follow("entrepot project create team")
        page.environ["JOB_TOKEN"] = issuer.token(server.url, repository="acme/web", repository_id="123456789")
        page.run()
        assert signed_in(server, "robot$team+web", (tmp_path / "registry-token").read_text().strip())
        github, gitlab = (yaml.safe_load(page._here(text)) for text in blocks(page.name, "yaml"))
        (tmp_path / "answer").write_text(json.dumps({"value": page.environ["JOB_TOKEN"]}))
        job = github["jobs"]["push"]
        page.environ |= job["env"] | {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"file://{tmp_path}/answer?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
        }
        (sign_in,) = [step["run"] for step in job["steps"] if "docker login" in step.get("run", "")]
        assert page.follow(f"{DOCKER}\n{sign_in}".strip()) == ""
        ours = gitlab["image"]["variables"]
        assert gitlab["image"]["id_tokens"]["JOB_TOKEN"]["aud"] == server.url
        page.environ |= {name: value.replace("$$", "$") for name, value in ours.items()}
        page.environ["JOB_TOKEN"] = issuer.token(server.url, project_id="4711", ref_protected="true")
        assert page.follow(f"{DOCKER}\n{gitlab['image']['script'][0]}") == ""


#: Signs in as `docker login HOST -u NAME --password-stdin` does, and says nothing when that works.
DOCKER = 'docker() { test "$1" = login; command curl -sSf -o /dev/null -u "$4:$(cat)" "http://$2/v2/"; }'


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Slapd]:
    """Run OpenLDAP."""
    with slapd(tmp_path / "slapd") as running:
        yield running


def test_ldap(directory: Slapd, tmp_path: Path) -> None:
    """The page word by word, in its order: tried before the first start, signed in, a group gets a role, a run."""
    (tmp_path / "directory-password").write_text(READER_PASSWORD)
    text = blocks("how-to/sign-in-with-ldap.md", "yaml")[0]
    for example, real in {
        "[ldap://ldap1.example.org, ldap://ldap2.example.org]": f"[{directory.url}]",
        "/etc/entrepot/directory-ca.pem": directory.ca,
        "/var/lib/registry": str(tmp_path / "data"),
        "/etc/entrepot/directory-password": str(tmp_path / "directory-password"),
        "cn=admins,": "cn=leads,",
    }.items():
        assert example in text
        text = text.replace(example, real)
    assert (READER, BASE) == ("cn=reader,dc=example,dc=org", "dc=example,dc=org")
    (tmp_path / "config.yml").write_text(text)
    page = Page("how-to/sign-in-with-ldap.md", tmp_path, {})
    check, trial, login, *others = page.lines()
    page.follow(check)
    assert "answered in" in page.follow(trial)  # before the first start
    with Server(text=text, data=tmp_path / "data") as server:
        assert login.startswith("docker login")
        assert signed_in(server, "alice", "password of alice")
        assert not signed_in(server, "dave", "password of dave")  # not in the company's group
        for line in others:
            page.follow(line)
        alice = Client(url=server.url, headers=basic("alice", "password of alice"))
        alice.push_image("team/app", "1")  # the role that the group gave
    assert group_dn("devs") == "cn=devs,ou=groups,dc=example,dc=org"
