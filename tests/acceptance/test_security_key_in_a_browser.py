"""A person with a security key at a real browser: registers it on the page, signs in with it, and removes it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.support.browser import Browser, browser
from tests.support.pages import signed_in
from tests.support.server import ADMIN_PASSWORD, Server

_SECONDS = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a registry."""
    with Server() as running:
        yield running


@asynccontextmanager
async def at_the_page(server: Server) -> AsyncIterator[Browser]:
    """Open the page in a browser that has a key; by name, for there are no keys at an address."""
    async with browser() as opened:
        await opened.plug_in_security_key()
        await opened.visit(f"http://localhost:{server.port}/c/security_keys")
        yield opened


@pytest.fixture
async def page(server: Server) -> AsyncIterator[Browser]:
    """Give a browser at the page."""
    async with at_the_page(server) as opened:
        yield opened


async def seen(page: Browser, text: str) -> str:
    """Wait until a person reads something on the page; return all that is read then."""
    end = time.monotonic() + _SECONDS
    while text not in (shown := await page.text()):
        assert time.monotonic() < end, f"no {text!r} in:\n{shown}"
        await asyncio.sleep(0.05)
    return shown


async def by_password(server: Server, *, suffices: bool) -> None:
    """Wait until the password alone signs a program in, or does not any more."""
    end = time.monotonic() + _SECONDS
    while await asyncio.to_thread(signed_in, server, "admin", ADMIN_PASSWORD) is not suffices:
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def press(page: Browser, form: str, **fields: str) -> None:
    """Fill a form and press its button."""
    for name, value in fields.items():
        selector = json.dumps(f'#{form} [name="{name}"]')
        await page.run(f"document.querySelector({selector}).value = {json.dumps(value)}")
    await page.run(f"document.querySelector('#{form} [type=submit]').click()")


async def test_a_security_key_from_its_registration_to_its_end(page: Browser, server: Server) -> None:
    """Registered, asked for at the next sign-in, lost and replaced by a code, removed; then the password suffices."""
    await seen(page, "User name")
    await press(page, "sign-in", name="admin", password="wrong")
    await seen(page, "password is wrong")
    await press(page, "sign-in", name="admin", password=ADMIN_PASSWORD)
    await seen(page, "You have no security key.")
    await press(page, "add", label="blue", password=ADMIN_PASSWORD)
    shown = await seen(page, "The key is registered.")
    assert "blue (localhost;" in shown
    assert "never used" in shown
    codes = await page.run("[...document.querySelectorAll('#code-list li')].map(item => item.textContent)")
    assert len(set(codes)) == 10
    await page.run("document.getElementById('copy').click()")
    await page.run("document.querySelector('#kept [type=submit]').click()")
    assert await page.run("!document.getElementById('codes').hidden"), "the codes went before they were kept"
    await page.run("document.getElementById('kept-box').click()")
    await page.run("document.querySelector('#kept [type=submit]').click()")
    assert codes[0] not in await seen(page, "blue (localhost;")
    await by_password(server, suffices=False)

    await sign_out(page)
    await press(page, "sign-in", name="admin", password=ADMIN_PASSWORD)
    assert "last used" in await seen(page, "blue (localhost;")

    await page.lose_security_key()
    await sign_out(page)
    await press(page, "sign-in", name="admin", password=ADMIN_PASSWORD, code=codes[0])
    await seen(page, "blue (localhost;")
    await sign_out(page)
    await press(page, "sign-in", name="admin", password=ADMIN_PASSWORD, code=codes[0])
    await seen(page, "recovery code is wrong, or was used already")
    await press(page, "sign-in", name="admin", password=ADMIN_PASSWORD, code=codes[1])
    await seen(page, "blue (localhost;")
    await page.run("document.querySelector('#list button').click()")
    await seen(page, "your second factor ends with it")
    await press(page, "remove", password="wrong")
    await seen(page, "password is wrong")
    await press(page, "remove", password=ADMIN_PASSWORD)
    await seen(page, "The key is removed.")
    await seen(page, "You have no security key.")
    await by_password(server, suffices=True)


async def sign_out(page: Browser) -> None:
    """Sign out, after which nothing of the account is shown."""
    await page.run("document.getElementById('sign-out').click()")
    assert "blue" not in await seen(page, "User name")


@pytest.mark.full
async def test_an_administrator_registers_the_key_that_is_required() -> None:
    """The password opens the form for it and nothing else; with the key the session is there."""
    with Server(env={"REGISTRY_ACCESS_SECONDFACTOR_ADMINISTRATORS": "true"}, workers=1) as strict:
        async with at_the_page(strict) as page:
            await seen(page, "User name")
            await press(page, "sign-in", name="admin", password=ADMIN_PASSWORD)
            assert "Your password, once more" not in await seen(page, "You need a second factor")
            await press(page, "add", label="blue")
            shown = await seen(page, "The key is registered.")
            assert "You are signed in as admin" in shown
            assert "Recovery codes" in shown
            assert "last used" in shown
