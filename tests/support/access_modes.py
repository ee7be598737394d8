"""Registries over real parts for each way to sign in, from a configuration as an operator writes it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from entrepot.adapters.identity.setup import Access, build_access, prepare_access
from entrepot.config import load
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from entrepot.web.application import Application
from entrepot.web.token.endpoint import token_routes
from tests.http.transport import AsgiClient
from tests.support.app import App, AppOptions, open_app


@dataclass(kw_only=True)
class SignInRegistry:
    """A registry with the access that its configuration asks for."""

    app: App
    access: Access
    application: Application
    client: AsgiClient
    notices: list[str]


@asynccontextmanager
async def registry_with(
    folder: Path, auth: str | None, environ: dict[str, str] | None = None, database: str = ""
) -> AsyncIterator[SignInRegistry]:
    """Run a registry; `auth` is YAML below a registry:2 file's other sections, None means no file.

    Its metadata are in the empty PostgreSQL database at the address `database`, if one is given.
    """
    path = None
    if auth is not None:
        path = folder / "config.yml"
        head = f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}\nhttp:\n  addr: 127.0.0.1:5000\n"
        path.write_text(head + auth)
    config = load(path, environ or {}, data=folder if path is None else None, listen=None).config
    async with open_app(folder, AppOptions(database=database)) as app:
        metadata = app.stores.metadata
        vault = Vault(metadata, KeySource(config.state, {}))
        notices = await prepare_access(config, metadata, vault, environ or {})
        access = await build_access(config, app.stores, vault)
        services = replace(
            app.services,
            authenticator=access.authenticator,
            authorizer=access.authorizer,
            challenge=access.challenge,
        )
        routes = token_routes(access.desk) if access.desk is not None else {}
        application = Application(services, routes)
        client = AsgiClient(application)
        yield SignInRegistry(app=app, access=access, application=application, client=client, notices=notices)


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header with name and password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def push(client: AsgiClient, name: str, headers: dict[str, str]) -> int:
    """Push an empty index as `latest` and return the status."""
    body = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    sent = {**headers, "Content-Type": "application/vnd.oci.image.index.v1+json"}
    return (await client.put(f"/v2/{name}/manifests/latest", headers=sent, body=body)).status
