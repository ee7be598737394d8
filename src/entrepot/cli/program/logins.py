"""Where `entrepot login` keeps what it got: one file that only its owner can read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from entrepot.oci.errors import RegistryError

KEY_VARIABLE = "ENTREPOT_KEY"
_FOLDER = "entrepot"
_FILE = "logins.json"


class NotSignedIn(RegistryError):
    """There is no login for that server."""


@dataclass(frozen=True, slots=True)
class Login:
    """A server, an account there, and the API key that speaks for it."""

    server: str
    user: str
    key: str = field(repr=False)
    key_id: int = 0
    certificate: str = ""  #: file of the certificate to show to a server that asks for one
    certificate_key: str = ""  #: file of its key; empty: the same


def normal(server: str) -> str:
    """Return a server's URL as logins are kept by: with its scheme, https where none is given, without a path's end."""
    text = server if "://" in server else f"https://{server}"
    if not _has_host(text):
        raise NotSignedIn(f"{server!r} is no server's address; write it as https://registry.example.org")
    return text.rstrip("/")


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def load() -> list[Login]:
    """Return the logins, the latest last.

    Raises:
        NotSignedIn: Their file cannot be used; the message says what to do.
    """
    path = _path()
    if not path.exists():
        return []
    if path.stat().st_mode & 0o077:
        raise NotSignedIn(f"{path} can be read by others; remove it and sign in again")
    try:
        return [Login(**entry) for entry in json.loads(path.read_text())]
    except (ValueError, TypeError):
        raise NotSignedIn(f"{path} is damaged; remove it and sign in again") from None


def find(server: str | None) -> Login:
    """Return the login for a server, or the latest one.

    Raises:
        NotSignedIn: There is none; the message says how to make one.
    """
    wanted = None if server is None else normal(server)
    if wanted and (key := os.environ.get(KEY_VARIABLE)):
        return Login(wanted, "", key)
    return kept(wanted)


def kept(wanted: str | None) -> Login:
    """Return the login that was made for a server, or the latest one, whatever key the environment has.

    Raises:
        NotSignedIn: There is none; the message says how to make one.
    """
    for login in reversed(load()):
        if wanted in (None, login.server):
            return login
    raise NotSignedIn(f"not signed in to {wanted or 'any server'}; run: entrepot login {wanted or 'URL'}")


def remember(login: Login) -> None:
    """Keep a login, in place of an earlier one for the same server."""
    _write([other for other in load() if other.server != login.server] + [login])


def forget(server: str) -> bool:
    """Remove the login for a server; False when there was none."""
    every = load()
    kept = [login for login in every if login.server != server]
    _write(kept)
    return len(kept) < len(every)


def _write(logins: list[Login]) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    waiting = path.with_suffix(".new")
    waiting.unlink(missing_ok=True)
    with os.fdopen(os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump([_entry(login) for login in logins], file)
    waiting.rename(path)


def _entry(login: Login) -> dict[str, object]:
    """Return what is kept of a login; what it does not use is left out, for commands of before know nothing of it."""
    return {name: value for name, value in asdict(login).items() if value or not name.startswith("certificate")}


def folder() -> Path:
    """Return where what is kept for a person lies."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / _FOLDER


def _path() -> Path:
    return folder() / _FILE
