"""The registry's own keys (`keys/` beside the databases) as one text: they sign tokens and seal secrets."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from entrepot.vault.private_file import create_once

FOLDER: Final = "keys"
_SUFFIXES: Final = frozenset({".key", ".json", ".pem"})


def pack_keys(state: Path) -> bytes | None:
    """Read the keys in a folder of databases; None when there are none. Blocks."""
    found: dict[str, str] = {}
    for path in sorted((state / FOLDER).glob("*")):
        if path.suffix in _SUFFIXES and not path.name.startswith("."):
            with suppress(FileNotFoundError):  # a key that was put away since it was listed
                found[path.name] = base64.b64encode(path.read_bytes()).decode()
    return json.dumps(found).encode() if found else None


def unpack_keys(content: bytes, state: Path) -> None:
    """Write keys into a folder of databases; those that are there stay. Blocks."""
    for name, encoded in json.loads(content).items():
        create_once(state / FOLDER / Path(name).name, partial(base64.b64decode, encoded))
