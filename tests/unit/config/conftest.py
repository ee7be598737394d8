"""Short ways to load a configuration."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from entrepot.config import ConfigInvalid, Loaded, load

MINIMAL = "version: 0.1\nstorage: {filesystem: {rootdirectory: /srv/registry}}\nhttp: {addr: 'localhost:5000'}\n"

Load = Callable[..., Loaded]
Refuse = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Give a function that loads a configuration from a text and variables."""

    def load_text(text: str = MINIMAL, environ: Mapping[str, str] | None = None, **options: object) -> Loaded:
        path = tmp_path / "config.yml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ or {}, **options)  # type: ignore[arg-type]  # the options of load, passed on

    return load_text


@pytest.fixture
def refuse_text(load_text: Load) -> Refuse:
    """Give a function that loads a configuration that cannot be loaded, and gives its problems."""

    def refuse_text(text: str = MINIMAL, environ: Mapping[str, str] | None = None, **options: object) -> list[str]:
        with pytest.raises(ConfigInvalid) as caught:
            load_text(text, environ, **options)
        return list(caught.value.problems)

    return refuse_text
