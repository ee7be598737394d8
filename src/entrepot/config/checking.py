"""Everything that can be said of a configuration before a start, the files and folders it names included."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrepot.config.environment import SECRET_KEY_VARIABLES
from entrepot.config.errors import ConfigInvalid
from entrepot.config.files import inspect_files
from entrepot.config.loading import Loaded, load
from entrepot.config.schema import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The verdict on a configuration. `serve` refuses to start, and `config check` exits with 1, if it is not ok."""

    #: None when there is no configuration to speak of.
    loaded: Loaded | None
    warnings: list[str]
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether the registry may start."""
        return not self.problems


def check(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    data: Path | None = None,
    listen: str | None = None,
    workers: int | None = None,
) -> Report:
    """Load a configuration, with `load`'s rules, and look at what it names. Changes nothing and opens no port."""
    try:
        loaded = load(path, environ, data=data, listen=listen, workers=workers)
    except ConfigInvalid as error:
        return Report(loaded=None, warnings=list(error.warnings), problems=list(error.problems))
    found = inspect_files(loaded.config)
    return Report(
        loaded=loaded,
        warnings=[*loaded.warnings, *found.warnings, *_doubts(loaded.config)],
        problems=[*loaded.problems, *found.problems, *_missing_key(loaded.config, environ)],
    )


def _missing_key(config: Config, environ: Mapping[str, str]) -> list[str]:
    if not config.on_server or any(environ.get(name) for name in SECRET_KEY_VARIABLES):
        return []
    names = " or ".join(SECRET_KEY_VARIABLES)
    missing = f"PostgreSQL is shared by nodes, so the same secret key has to be given to each: set {names}"
    return [f"metadata: {missing}; make one with: openssl rand -base64 32"]


def _doubts(config: Config) -> list[str]:
    return [
        f"access.oidc[{index}].{key}: {doubt}"
        for index, provider in enumerate(config.access.oidc)
        for key, doubt in provider.doubts.items()
    ]
