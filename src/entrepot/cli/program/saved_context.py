"""The saved context: the registry that commands mean where neither the command line nor a variable names one.

`entrepot login` saves the server, `entrepot context use` a server or a folder: one file in the person's home, which
holds no secret.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from entrepot.cli.program import logins
from entrepot.oci.errors import RegistryError

_FILE = "context.json"


class ContextDamaged(RegistryError):
    """The file of the saved context cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A server, or a folder by itself or by its configuration file."""

    server: str | None = None
    config: str | None = None
    data: str | None = None


def load() -> Context | None:
    """Return the saved context: what was chosen, or else the server signed in to last; None where there is neither.

    Raises:
        ContextDamaged: The file cannot be used; the message says what to do.
        NotSignedIn: The file of the logins cannot be used.
    """
    chosen = _chosen()
    if chosen is not None:
        return chosen
    found = logins.load()
    return Context(server=found[-1].server) if found else None


def save(context: Context) -> None:
    """Keep a context in place of the one before."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    waiting = path.with_suffix(f".{os.getpid()}")
    waiting.write_text(json.dumps({name: value for name, value in asdict(context).items() if value}))
    waiting.rename(path)


def clear(server: str | None = None) -> None:
    """Forget the context; with a server, only where it is that one."""
    if server is None or _chosen() == Context(server=server):
        _path().unlink(missing_ok=True)


def _chosen() -> Context | None:
    path = _path()
    try:
        return Context(**json.loads(path.read_text()))
    except OSError:
        return None  # there is none, or the home is somebody else's
    except (ValueError, TypeError):
        raise ContextDamaged(f"{path} is damaged; remove it, or choose again: entrepot context use") from None


def _path() -> Path:
    return logins.folder() / _FILE
