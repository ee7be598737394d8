"""Every way to sign in, from the configuration to the answer."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from entrepot.access.admin_account import FILE
from entrepot.access.errors import SetupError
from entrepot.adapters.identity.key_ids import libtrust_id
from entrepot.metadata.people import grants
from tests.support.access_modes import basic, push, registry_with
from tests.support.rows import all_grants
from tests.unit.access.certificates import Party, new_key, token

HTPASSWD = "auth:\n  htpasswd:\n    realm: Registry Realm\n    path: {}\n"


def users(folder: Path, **passwords: str) -> str:
    """Write a file of users and return the section that names it."""
    path = folder / "htpasswd"
    lines = (f"{n}:{bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode()}\n" for n, p in passwords.items())
    path.write_text("".join(lines))
    return HTPASSWD.format(path)


async def test_htpasswd(tmp_path: Path) -> None:
    """Names of the file do all that registry:2 lets them; others meet registry:2's Basic challenge."""
    async with registry_with(tmp_path, users(tmp_path, alice="s3cret")) as registry:
        client = registry.client
        for headers in ({}, basic("alice", "wrong"), basic("bob", "s3cret"), {"Authorization": "Bearer x"}):
            refused = await client.get("/v2/", headers=headers)
            assert (refused.status, refused.codes) == (401, ["UNAUTHORIZED"])
            assert refused["WWW-Authenticate"] == 'Basic realm="Registry Realm"'
        alice = basic("alice", "s3cret")
        assert (await client.get("/v2/", headers=alice)).status == 200
        assert await push(client, "new/app", alice) == 201
        assert await push(client, "plain", alice) == 201
        catalog = await client.get("/v2/_catalog", headers=alice)
        assert catalog.json() == {"repositories": ["new/app", "plain"]}
        assert (await client.get("/token", headers=alice)).status == 404
        assert registry.notices == []


async def test_htpasswd_that_is_missing(tmp_path: Path) -> None:
    """As in registry:2 the file is made with the user docker, whose password is told once and signs in."""
    section = HTPASSWD.format(tmp_path / "auth" / "htpasswd")
    async with registry_with(tmp_path, section) as registry:
        (notice,) = registry.notices
        password = notice.rsplit(" ", 1)[1]
        assert (await registry.client.get("/v2/", headers=basic("docker", password))).status == 200
    async with registry_with(tmp_path, section) as registry:
        assert registry.notices == []


async def test_the_compatibility_grant_can_be_removed(tmp_path: Path) -> None:
    """With the grant removed a name of the file still signs in, and may do nothing; also after a restart."""
    section = users(tmp_path, alice="s3cret")
    alice = basic("alice", "s3cret")
    async with registry_with(tmp_path, section) as registry:
        database = registry.app.stores.metadata
        (row,) = await all_grants(database)
        assert (row.origin, row.audience, row.role, row.project) == (
            "registry2-compat",
            "authenticated",
            "registry2",
            None,
        )
        await database.write(lambda tx: grants.remove(tx, row.id))
        assert await push(registry.client, "new/app", alice) == 401


async def test_htpasswd_changes_without_a_restart(tmp_path: Path) -> None:
    """A user added to the file signs in, one removed does not, within about a second."""
    async with registry_with(tmp_path, users(tmp_path, alice="s3cret")) as registry:
        assert (await registry.client.get("/v2/", headers=basic("alice", "s3cret"))).status == 200
        users(tmp_path, bobby="other")
        assert (await registry.client.get("/v2/", headers=basic("bobby", "other"))).status == 200
        assert (await registry.client.get("/v2/", headers=basic("alice", "s3cret"))).status == 401


async def test_no_auth_is_an_open_registry(tmp_path: Path) -> None:
    """A registry:2 file without `auth` lets everybody do everything, whatever header they send."""
    for section in ("", "auth:\n  none:\n"):
        async with registry_with(tmp_path, section) as registry:
            for headers in ({}, {"Authorization": "Bearer x"}, basic("any", "body")):
                assert (await registry.client.get("/v2/", headers=headers)).status == 200
                assert await push(registry.client, "some/app", headers) == 201
            assert (await registry.client.get("/v2/_catalog")).json() == {"repositories": ["some/app"]}
            assert (await registry.client.get("/token")).status == 404


async def test_closing_an_open_registry(tmp_path: Path) -> None:
    """The same folder, first open, then with htpasswd, then with our own accounts: nothing stays open behind."""
    async with registry_with(tmp_path, "") as registry:
        assert await push(registry.client, "some/app", {}) == 201
    async with registry_with(tmp_path, users(tmp_path, alice="s3cret")) as registry:
        assert (await registry.client.get("/v2/some/app/tags/list")).status == 401
        assert (await registry.client.get("/v2/some/app/tags/list", headers=basic("alice", "s3cret"))).status == 200
    async with registry_with(tmp_path, None) as registry:
        assert (await registry.client.get("/v2/some/app/tags/list")).status == 401
        assert (await registry.client.get("/v2/some/app/tags/list", headers=basic("alice", "s3cret"))).status == 401


async def test_without_a_file_the_admin_is_made(tmp_path: Path) -> None:
    """The first start prints the admin's password once; it signs in after a restart as well."""
    async with registry_with(tmp_path, None) as registry:
        (notice,) = registry.notices
        password = (tmp_path / "entrepot" / FILE).read_text().strip()
        assert password in notice
        assert (await registry.client.get("/v2/", headers=basic("admin", password))).status == 200
    async with registry_with(tmp_path, None) as registry:
        assert registry.notices == []
        answer = await registry.client.get("/v2/", headers=basic("admin", password))
        assert answer.status == 200


async def test_tokens_outlive_a_restart(tmp_path: Path) -> None:
    """The keys are kept: a token issued before a restart works after it."""
    async with registry_with(tmp_path, None, {"ENTREPOT_ADMIN_PASSWORD": "correct horse"}) as registry:
        answer = await registry.client.get("/token", headers=basic("admin", "correct horse"))
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    async with registry_with(tmp_path, None) as registry:
        assert (await registry.client.get("/v2/", headers=bearer)).status == 200


TOKEN = """auth:
  token:
    realm: https://auth.example/token
    service: registry.example
    issuer: auth.example
    rootcertbundle: {bundle}
"""


def bundle(folder: Path, *parties: Party) -> str:
    """Write a bundle and return the section that names it."""
    (folder / "bundle.pem").write_bytes(b"".join(party.pem for party in parties))
    return TOKEN.format(bundle=folder / "bundle.pem")


def signer() -> Party:
    """Make a signer whose certificate is valid by the real clock."""
    return Party("signer", lifetime=(-3600, time.time()))


def signed(party: Party, *access: tuple[str, str, str], **changes: Any) -> dict[str, str]:
    """Return the header with a token that is valid by the real clock."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "exp": now + 300,
        "nbf": now,
        "iat": now,
        "access": [{"type": kind, "name": name, "actions": actions.split(",")} for kind, name, actions in access],
    }
    text = token(party.key, {"kid": libtrust_id(party.key.public_key())}, **claims | changes)
    return {"Authorization": f"Bearer {text}"}


async def test_foreign_tokens(tmp_path: Path) -> None:
    """A token of the other service does what it says, here and no more; the challenge leads to that service."""
    party = signer()
    async with registry_with(tmp_path, bundle(tmp_path, party)) as registry:
        client = registry.client
        first = await client.get("/v2/")
        assert first["WWW-Authenticate"] == 'Bearer realm="https://auth.example/token",service="registry.example"'
        assert (await client.get("/v2/", headers=signed(party))).status == 200
        push_it = signed(party, ("repository", "new/app", "pull,push"))
        assert await push(client, "new/app", push_it) == 201
        assert await push(client, "new/other", push_it) == 401
        star = signed(party, ("repository", "new/app", "*"), ("registry", "catalog", "*"))
        assert (await client.get("/v2/_catalog", headers=star)).json() == {"repositories": ["new/app"]}
        pull = signed(party, ("repository", "new/app", "pull"))
        assert (await client.get("/v2/new/app/tags/list", headers=pull)).status == 200
        refused = await client.delete("/v2/new/app/manifests/latest", headers=pull)
        assert refused["WWW-Authenticate"].endswith(',scope="repository:new/app:delete",error="insufficient_scope"')
        invalid = await client.get("/v2/new/app/tags/list", headers=signed(signer(), ("repository", "new/app", "pull")))
        assert invalid["WWW-Authenticate"].endswith(',scope="repository:new/app:pull",error="invalid_token"')
        assert (await client.get("/v2/", headers=basic("a", "b"))).status == 401
        assert (await client.get("/token")).status == 404


async def test_an_upload_ends_after_its_foreign_token_has_expired(tmp_path: Path) -> None:
    """A session that a valid token opened is finished with the same token, expired; nothing new is opened with it."""
    party = signer()
    async with registry_with(tmp_path, bundle(tmp_path, party)) as registry:
        scope = ("repository", "new/app", "pull,push")
        opened = await registry.client.post("/v2/new/app/blobs/uploads/", headers=signed(party, scope))
        assert opened.status == 202
        expired = signed(party, scope, exp=int(time.time()) - 600)
        location = opened["Location"].partition("?")[0]
        assert (await registry.client.patch(location, headers=expired, body=b"hello")).status == 202
        digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        assert (await registry.client.put(f"{location}?digest={digest}", headers=expired)).status == 201
        assert (await registry.client.post("/v2/new/app/blobs/uploads/", headers=expired)).status == 401
        assert (await registry.client.get(f"/v2/new/app/blobs/{digest}", headers=expired)).status == 401


async def test_autoredirect(tmp_path: Path) -> None:
    """With `autoredirect` the realm is on the host that was asked."""
    section = bundle(tmp_path, signer()) + "    autoredirect: true\n"
    async with registry_with(tmp_path, section) as registry:
        answer = await registry.client.get("/v2/")
        assert answer["WWW-Authenticate"].startswith('Bearer realm="https://registry.test/auth/token",')


async def test_unusable_settings_stop_the_start(tmp_path: Path) -> None:
    """A start that could only refuse everybody says which setting is wrong."""
    private = tmp_path / "jwks"
    private.write_text(json.dumps({"keys": []}))
    section = TOKEN.replace("rootcertbundle: {bundle}", f"jwks: {private}")
    with pytest.raises(SetupError, match="at least one public key"):
        async with registry_with(tmp_path, section):
            pass
    with pytest.raises(SetupError, match=r"missing\.pem"):
        async with registry_with(tmp_path, TOKEN.format(bundle=tmp_path / "missing.pem")):
            pass


async def test_one_folder_never_mixes_names(tmp_path: Path) -> None:
    """A name of an htpasswd file that happens to be `admin` gets nothing of the local account of that name."""
    async with registry_with(tmp_path, None, {"ENTREPOT_ADMIN_PASSWORD": "correct horse"}):
        pass
    async with registry_with(tmp_path, users(tmp_path, admin="other")) as registry:
        database = registry.app.stores.metadata
        (row,) = [row for row in await all_grants(database) if row.origin == "registry2-compat"]
        await database.write(lambda tx: grants.remove(tx, row.id))
        assert await push(registry.client, "new/app", basic("admin", "other")) == 401
        assert (await registry.client.get("/v2/", headers=basic("admin", "correct horse"))).status == 401


async def test_no_secret_reaches_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No password, token or key reaches the log, whatever goes wrong with it."""
    caplog.set_level(0)
    party = signer()
    async with registry_with(tmp_path, bundle(tmp_path, party)) as registry:
        bad = signed(Party("other", new_key(), lifetime=(-3600, time.time())))
        await registry.client.get("/v2/", headers=bad)
        assert bad["Authorization"].split(".")[2] not in caplog.text
    async with registry_with(tmp_path, users(tmp_path, alice="s3cret")) as registry:
        await registry.client.get("/v2/", headers=basic("alice", "canary-password"))
        assert "canary-password" not in caplog.text


async def test_silly(tmp_path: Path) -> None:
    """registry:2's make-believe sign-in: any header will do, and without one each action is a scope of its own."""
    section = "auth:\n  silly:\n    realm: silly-realm\n    service: silly-service\n"
    async with registry_with(tmp_path, section) as registry:
        refused = await registry.client.put("/v2/some/app/manifests/latest", body=b"{}")
        assert refused.status == 401
        assert refused["WWW-Authenticate"] == (
            'Bearer realm="silly-realm",service="silly-service",'
            'scope="repository:some/app:pull repository:some/app:push"'
        )
        assert await push(registry.client, "some/app", {"Authorization": "anything"}) == 201
