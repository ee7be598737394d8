"""From a file, variables and the command line to one `Config`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from entrepot.config.address import parse_address
from entrepot.config.document import Document, Node, Tree, parse_document
from entrepot.config.environment import (
    DATA_VARIABLE,
    METADATA_VARIABLE,
    OWN_PATH_VARIABLE,
    PATH_VARIABLE,
    Overrides,
    apply_environment,
)
from entrepot.config.errors import ConfigInvalid, DocumentInvalid
from entrepot.config.lint import lint
from entrepot.config.schema import Config, Source
from entrepot.config.support import review

VERSION = "0.1"

#: Loopback: a proxy on the same machine.
LOCAL_PROXIES = ("127.0.0.0/8", "::1/128")
#: Where the proxy of a registry:2 set-up usually is: the same machine, or a network of containers.
PRIVATE_PROXIES = (
    *LOCAL_PROXIES,
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
    "fe80::/10",
)

_MESSAGES = {
    "missing": "is required",
    "model_type": "must be a section with keys",
    "dict_type": "must be a map of names to values",
    "tuple_type": "must be a list, such as [first, second]",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must not be empty",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "configuration": "{message}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration, and what is to be said about it."""

    config: Config
    #: Worth a line in the log.
    warnings: list[str]
    #: Reasons not to start.
    problems: list[str]
    #: Names of the variables that changed something.
    applied: list[str]


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    data: Path | None = None,
    listen: str | None = None,
    workers: int | None = None,
) -> Loaded:
    """Read the configuration of a start.

    The command line (`data`, `listen`, `workers`) outweighs the variables, and these the file. Without `path` the
    file is the one that `ENTREPOT_CONFIG` or `REGISTRY_CONFIGURATION_PATH` names, and `ENTREPOT_DATA` stands for
    `data`. Without any of these our own defaults apply.

    Raises:
        ConfigInvalid: There is no configuration to speak of: the file cannot be read, or values have wrong types.
    """
    if path is None:
        path = _path_from(environ)
        data = data or _data_from(environ)
    document = _defaults() if path is None else _read(path)
    tree = _checked_root(document.root)
    overrides = apply_environment(tree, environ)
    _apply_metadata(tree, environ)
    _apply_command_line(tree, data=data, listen=listen, workers=workers)
    names_proxies = _names_proxies(tree)
    warnings = [*document.warnings, *overrides.warnings, *lint(tree), *_fill_in(tree, path)]
    config = _validate(tree, path, overrides, warnings, names_proxies=names_proxies)
    review_ = review(config)
    return Loaded(
        config=config,
        warnings=[*warnings, *review_.warnings],
        problems=[*overrides.problems, *review_.problems],
        applied=sorted(overrides.applied),
    )


def _path_from(environ: Mapping[str, str]) -> Path | None:
    name = environ.get(OWN_PATH_VARIABLE) or environ.get(PATH_VARIABLE)
    return Path(name) if name else None


def _data_from(environ: Mapping[str, str]) -> Path | None:
    name = environ.get(DATA_VARIABLE)
    return Path(name) if name else None


def _read(path: Path) -> Document:
    try:
        return parse_document(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigInvalid([f"cannot read the configuration file {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigInvalid([f"the configuration file {path} is not UTF-8 text"]) from None
    except DocumentInvalid as error:
        raise ConfigInvalid([f"the configuration file {path} is not valid YAML: {error}"]) from None


def _defaults() -> Document:
    root: Tree = {
        "version": VERSION,
        "storage": {"filesystem": {"rootdirectory": "data"}, "delete": {"enabled": "true"}},
        "http": {"addr": "127.0.0.1:5000"},
    }
    return Document(root=root)


def _checked_root(root: Node) -> Tree:
    """The tree, once its version says that we can read it."""
    if not isinstance(root, dict):
        raise ConfigInvalid(["the configuration file holds no keys; it needs at least 'version: 0.1' and 'storage'"])
    version = root.get("version")
    if version is None:
        raise ConfigInvalid([f"version: is required; write 'version: {VERSION}'"])
    if version != VERSION:
        raise ConfigInvalid([f"version: unsupported version; this program reads version {VERSION}"])
    return root


def _apply_command_line(tree: Tree, *, data: Path | None, listen: str | None, workers: int | None) -> None:
    if data is not None:
        _section(_section(tree, "storage"), "filesystem")["rootdirectory"] = os.fspath(data)
    if listen is not None:
        network, _, path = listen.partition(":")
        is_socket = network == "unix"
        _section(tree, "http").update(addr=path if is_socket else listen, net="unix" if is_socket else "tcp")
    if workers is not None:
        tree["workers"] = str(workers)


def _apply_metadata(tree: Tree, environ: Mapping[str, str]) -> None:
    """Let our own variables say where the metadata are, as a value or by a file; they outweigh all else that does."""
    url, file = environ.get(METADATA_VARIABLE, ""), environ.get(f"{METADATA_VARIABLE}_FILE", "")
    if url or file:
        _section(tree, "metadata").update(url=url, urlfile=file)
        tree.pop("database", None)


def _section(tree: Tree, name: str) -> Tree:
    found = tree.get(name)
    if isinstance(found, str):
        found = {str(found): None}
    section = found if isinstance(found, dict) else {}
    tree[name] = section
    return section


def _names_proxies(tree: Tree) -> bool:
    """Tell whether the operator says which proxies there are."""
    http = tree.get("http")
    return isinstance(http, dict) and http.get("trustedproxies") is not None


def _fill_in(tree: Tree, path: Path | None) -> list[str]:
    """Give values to keys whose absence means one thing with a file and another without; tell of surprising ones."""
    http = _section(tree, "http") if tree.get("http") is None else tree["http"]
    if not isinstance(http, dict):
        return []  # validation says what is wrong with it
    warnings = []
    if http.get("trustedproxies") is None:
        http["trustedproxies"] = list(LOCAL_PROXIES if path is None and _is_local(http) else PRIVATE_PROXIES)
    if not http.get("addr"):
        http["addr"] = ":5000"
        warnings.append("http.addr: is not set; listening on port 5000 of all addresses")
    return warnings


def _is_local(http: Tree) -> bool:
    """Tell whether the address is one that only this machine reaches, as far as it can be read."""
    try:
        return http.get("net") == "unix" or parse_address(str(http.get("addr") or "")).is_local
    except ValueError:
        return False


def _validate(
    tree: Tree, path: Path | None, overrides: Overrides, warnings: list[str], *, names_proxies: bool
) -> Config:
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        # Without its cause: pydantic's own text would show values, and values may be secrets.
        problems = [_sentence(detail, overrides) for detail in error.errors(include_url=False, include_input=False)]
        raise ConfigInvalid([*overrides.problems, *problems], warnings) from None
    config._source = Source.DEFAULTS if path is None else Source.FILE  # noqa: SLF001 - set here and nowhere else
    config._path = path  # noqa: SLF001
    config._names_proxies = names_proxies  # noqa: SLF001
    return config


def _sentence(detail: ErrorDetails, overrides: Overrides) -> str:
    path = detail["loc"]
    template = _MESSAGES.get(detail["type"], detail["msg"])
    variable = overrides.variable_for(path)
    origin = f" (from {variable})" if variable else ""
    return f"{spell_path(path)}{origin}: {template.format_map(detail.get('ctx', {}))}"


def spell_path(path: tuple[str | int, ...]) -> str:
    """A path as people write it: `health.http[0].uri`."""
    spelled = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return spelled.removeprefix(".") or "configuration"
