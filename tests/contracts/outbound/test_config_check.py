"""What `entrepot config check` says of sign-in providers, by the rules to come: the ways to them, and their answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from entrepot.cli.config import app
from tests.support.ci_issuer import ci_issuer

PROVIDER = """\
version: 0.1
auth: accounts
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: 'localhost:1'}}
access: {{oidc: [{{name: main, issuer: '{issuer}', clientid: registry{more}}}]}}
outbound: {{allow: [{allow}]}}
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def with_provider(folder: Path, issuer: str, allow: str = "", more: str = "") -> Path:
    """Write a configuration with a sign-in provider."""
    path = folder / "config.yml"
    path.write_text(PROVIDER.format(folder=folder, issuer=issuer, allow=allow, more=more))
    return path


@pytest.mark.parametrize("issuer", ["https://10.1.2.3/realms/main", "http://localhost:9/realms/main"])
def test_check_notices_an_allowance_that_is_missing(tmp_path: Path, issuer: str) -> None:
    """A provider in a private network, or without TLS, needs its line in `outbound.allow`; with it nothing is said."""
    host = issuer.split("/")[2].partition(":")[0]
    said = run("check", with_provider(tmp_path, issuer)).stdout
    assert "warning: access.oidc[0].issuer: nobody can sign in by it: " in said
    assert "list it under outbound.allow" in said
    assert "outbound.allow" not in run("check", with_provider(tmp_path, issuer, host)).stdout


def test_check_asks_a_provider_by_the_rules_to_come(tmp_path: Path) -> None:
    """Before any start with them: the right issuer is good, one that is spelt otherwise is a problem."""
    (tmp_path / "issuer").mkdir()
    with ci_issuer(tmp_path / "issuer") as issuer:
        good = run("check", with_provider(tmp_path, issuer.url, "127.0.0.1"), "--ask")
        assert good.exit_code == 0, good.stdout
        wrong = run("check", with_provider(tmp_path, f"{issuer.url}/", "127.0.0.1"), "--ask")
        document = {"scopes_supported": ["openid", "offline_access"]}
        issuer.describe(**document)
        scopes = ", scopes: [openid]"
        unasked = run("check", with_provider(tmp_path, issuer.url, "127.0.0.1", scopes), "--ask")
    assert wrong.exit_code == 1
    assert "error: access.oidc[0].issuer: " in wrong.stdout
    assert "warning: access.oidc[0].scopes: has no offline_access" in unasked.stdout


def test_check_doubts_a_prompt_without_consent(tmp_path: Path) -> None:
    """It takes away the refresh token that offline_access asks for."""
    path = with_provider(tmp_path, "https://login.invalid", more=", parameters: {prompt: login}")
    assert "warning: access.oidc[0].parameters.prompt: has no consent" in run("check", path).stdout
