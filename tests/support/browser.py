"""A person's browser: Chromium without a window, driven over its own protocol (Chrome DevTools Protocol)."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.support.terminal import ENDS_WITH_TESTS
from tests.support.tools import find_tool

_SECONDS = 30.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)


class Browser:
    """One page of a browser."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._session: str | None = None
        self._key = ""

    async def open_page(self) -> None:
        """Open the page that everything else is about."""
        target = await self._ask("Target.createTarget", url="about:blank")
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self._ask("Page.enable")

    async def ignore_policies(self) -> None:
        """Let scripts of a test ask what the policies of pages without scripts forbid, on all pages from now on."""
        await self._ask("Page.setBypassCSP", enabled=True)

    async def visit(self, url: str) -> None:
        """Go to an address, and wait until the page that it leads to is there."""
        await self.run("window.stop()")
        await self._leave(f"location.href = {json.dumps(url)}")

    async def fill(self, **fields: str) -> None:
        """Write into fields by their names."""
        for name, value in fields.items():
            selector = json.dumps(f'[name="{name}"]')
            await self.run(f"document.querySelector({selector}).value = {json.dumps(value)}")

    async def submit(self, selector: str = "form [type=submit]") -> None:
        """Press a button, and wait until the next page is there."""
        await self._leave(f"document.querySelector({json.dumps(selector)}).click()")

    async def text(self) -> str:
        """Give what a person reads on the page."""
        return str(await self.run("document.body.innerText"))

    async def url(self) -> str:
        """Give the page's address."""
        return str(await self.run("location.href"))

    async def path(self) -> str:
        """Give the path and query of the page's address."""
        parts = urlsplit(await self.url())
        return parts.path + (f"?{parts.query}" if parts.query else "")

    async def has(self, selector: str) -> bool:
        """Tell whether the page has something."""
        return bool(await self.run(f"document.querySelector({json.dumps(selector)}) !== null"))

    async def cookies(self) -> dict[str, dict[str, Any]]:
        """Give all cookies by their names, with what the browser knows of them."""
        found = await self._ask("Storage.getCookies")
        return {cookie["name"]: cookie for cookie in found["cookies"]}

    async def forget(self) -> None:
        """Clear all cookies, as another person's browser."""
        await self._ask("Storage.clearCookies")

    async def screenshot(self, file: Path) -> None:
        """Keep a picture of the page."""
        shot = await self._ask("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    async def plug_in_security_key(self) -> None:
        """Give the page a security key in software, whose owner touches it whenever it is asked."""
        await self._ask("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "usb",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        added = await self._ask("WebAuthn.addVirtualAuthenticator", options=options)
        self._key = str(added["authenticatorId"])

    async def lose_security_key(self) -> None:
        """Take it away again."""
        await self._ask("WebAuthn.removeVirtualAuthenticator", authenticatorId=self._key)

    async def run(self, script: str) -> Any:
        """Run a script on the page, and give its value."""
        answer = await self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def _leave(self, script: str) -> None:
        """Do what leads to another page, and wait until that one is there."""
        await self.run("window.left = true")
        await self.run(script)
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            try:
                if await self.run("window.left === undefined && document.readyState === 'complete'"):
                    return
            except ProtocolError:
                pass  # between two pages there is none
            await asyncio.sleep(0.02)
        raise AssertionError(f"no page came after {script}")

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None and not method.startswith(("Target.", "Storage.")):
            message["sessionId"] = self._session
        await self._socket.send_json(message)
        async with asyncio.timeout(_SECONDS):
            async for received in self._socket:
                assert received.type is WSMsgType.TEXT
                answer = json.loads(received.data)
                if answer.get("id") == self._number:
                    if "error" in answer:
                        raise ProtocolError(str(answer["error"]))
                    return dict(answer["result"])
        raise ProtocolError("the browser is gone")


class ProtocolError(Exception):
    """The browser cannot do what it was asked."""


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Give a browser that has been nowhere yet."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-browser-"))
    command = [*ENDS_WITH_TESTS, str(find_tool("chromium")), *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        address = await _address(folder, process)
        async with ClientSession(trust_env=False) as http, http.ws_connect(address, max_msg_size=0) as socket:
            page = Browser(socket)
            await page.open_page()
            yield page
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


async def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait until the browser has written down where it listens."""
    file = folder / "DevToolsActivePort"
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        if file.exists() and len(lines := file.read_text().splitlines()) > 1:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(0.02)
    raise AssertionError(f"the browser did not start: {(folder / 'log').read_text()}")
