"""Looks at the files and folders that a configuration names, without changing any."""

import json
import os
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from entrepot.config.mounts import READ_ONLY_REMEDY, is_mounted_read_only
from entrepot.config.schema import Config
from entrepot.config.schema.auth import Htpasswd, TokenAuth
from entrepot.config.schema.http import Tls
from entrepot.config.schema.middleware import CloudFront, KeyedCdn
from entrepot.config.section import Section

_SOON = timedelta(days=14)
_BCRYPT = ("$2a$", "$2b$", "$2x$", "$2y$")


@dataclass(slots=True, kw_only=True)
class Findings:
    """What the files look like."""

    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect_files(config: Config) -> Findings:
    """Look at every file and folder that a start would need."""
    found = Findings()
    _inspect_tls(config.http.tls, found)
    if config.auth.htpasswd is not None:
        _inspect_htpasswd(config.auth.htpasswd, found)
    if config.auth.token is not None:
        _inspect_token(config.auth.token, found)
    for key in ("urlfile", "directurlfile"):
        if name := getattr(config.metadata, key):
            _read(f"metadata.{key}", Path(name), found)
    for key, path in config.access.ldap.files.items():
        _read(key, path, found)
    _inspect_cdn_keys(config, found)
    _inspect_redis(config, found)
    if config.storage.filesystem is not None:
        _inspect_folder(config.data, found)
    socket = config.http.address.socket
    if socket is not None:
        _inspect_socket(socket, found)
    return found


def _read(key: str, path: Path, found: Findings) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        found.problems.append(f"{key}: cannot read {path}: {error.strerror}{_who(error)}")
        return None


def _who(error: OSError) -> str:
    return f" (this process runs as user {os.geteuid()})" if isinstance(error, PermissionError) else ""


def _inspect_cdn_keys(config: Config, found: Findings) -> None:
    for index, entry in enumerate(config.middleware.storage):
        if not entry.disabled and entry.is_known:
            _inspect_cdn_key(f"middleware.storage[{index}].options", entry.settings, found)


def _inspect_redis(config: Config, found: Findings) -> None:
    tls = config.redis.tls
    if config.shares_counts:
        for name in filter(None, (tls.certificate, tls.key, *tls.rootcas, *tls.clientcas)):
            _read("redis.tls", Path(name), found)


def _inspect_cdn_key(key: str, options: Section, found: Findings) -> None:
    try:
        if isinstance(options, KeyedCdn):
            options.key_bytes()
        elif isinstance(options, CloudFront):
            options.private_key()
    except OSError as error:
        found.problems.append(f"{key}: cannot read {error.filename}: {error.strerror}{_who(error)}")
    except ValueError:  # the message of the error may quote the key
        found.problems.append(f"{key}: holds no key of the kind that this CDN takes; see the reference of its options")


# --- TLS -------------------------------------------------------------------------------------------------------------


def _inspect_tls(tls: Tls, found: Findings) -> None:
    if bool(tls.certificate) != bool(tls.key):
        given, absent = ("certificate", "key") if tls.certificate else ("key", "certificate")
        found.problems.append(f"http.tls.{absent}: is required, since http.tls.{given} is set")
    elif tls.certificate:
        _inspect_pair(Path(tls.certificate), Path(tls.key), found)
    if tls.is_automatic and tls.letsencrypt.ca:
        _inspect_authorities("http.tls.letsencrypt.ca", Path(tls.letsencrypt.ca), found)
    for index, authority in enumerate(tls.clientcas):
        _inspect_authorities(f"http.tls.clientcas[{index}]", Path(authority), found)


def _inspect_pair(certificate: Path, key: Path, found: Findings) -> None:
    chain = _read("http.tls.certificate", certificate, found)
    if chain is None or _read("http.tls.key", key, found) is None:
        return
    _inspect_chain(chain, certificate, found)
    _warn_if_readable_by_all("http.tls.key", key, found)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        found.problems.append(f"http.tls: {_explain_pair(error, certificate, key)}")


def _explain_pair(error: Exception, certificate: Path, key: Path) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"the key {key} does not belong to the certificate {certificate}"
    return f"the certificate {certificate} and key {key} cannot be used; both must be PEM, the key without a password"


def _inspect_chain(chain: bytes, path: Path, found: Findings) -> None:
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        return  # the pair's own check says so
    now = datetime.now(UTC)
    if first.not_valid_after_utc < now:
        found.warnings.append(f"http.tls.certificate: {path} expired on {first.not_valid_after_utc:%Y-%m-%d}")
    elif first.not_valid_after_utc < now + _SOON:
        found.warnings.append(f"http.tls.certificate: {path} expires on {first.not_valid_after_utc:%Y-%m-%d}")
    if first.not_valid_before_utc > now:
        found.warnings.append(f"http.tls.certificate: {path} is not valid before {first.not_valid_before_utc}")


def _inspect_authorities(key: str, path: Path, found: Findings) -> None:
    text = _read(key, path, found)
    if text is None:
        return
    try:
        x509.load_pem_x509_certificates(text)
    except ValueError:
        found.problems.append(f"{key}: {path} holds no PEM certificate")


def _warn_if_readable_by_all(key: str, path: Path, found: Findings) -> None:
    if path.stat().st_mode & stat.S_IROTH:
        found.warnings.append(f"{key}: {path} can be read by every user of this machine; try chmod 600 {path}")


# --- auth ------------------------------------------------------------------------------------------------------------


def _inspect_htpasswd(htpasswd: Htpasswd, found: Findings) -> None:
    path = Path(htpasswd.path)
    if not path.exists():
        _inspect_missing_htpasswd(path, found)
        return
    text = _read("auth.htpasswd.path", path, found)
    if text is not None:
        _inspect_entries(text.decode(errors="replace").splitlines(), path, found)


def _inspect_missing_htpasswd(path: Path, found: Findings) -> None:
    if os.access(path.parent, os.W_OK | os.X_OK):
        found.warnings.append(f"auth.htpasswd.path: {path} does not exist; a start makes it, with one user 'docker'")
    else:
        found.problems.append(
            f"auth.htpasswd.path: {path} does not exist and cannot be made; write one with htpasswd -Bc {path} NAME"
        )


def _inspect_entries(lines: list[str], path: Path, found: Findings) -> None:
    usable = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        _, colon, password = line.strip().partition(":")
        if colon and password.startswith(_BCRYPT):
            usable += 1
        else:
            found.warnings.append(
                f"auth.htpasswd.path: {path} line {number} is no name with a bcrypt password; ignored"
            )
    if not usable:
        found.warnings.append(f"auth.htpasswd.path: {path} lets nobody in; add a user with htpasswd -B {path} NAME")


def _inspect_token(token: TokenAuth, found: Findings) -> None:
    if token.rootcertbundle:
        _inspect_keys("auth.token.rootcertbundle", Path(token.rootcertbundle), found, _has_pem_keys, "PEM certificate")
    if token.jwks:
        _inspect_keys("auth.token.jwks", Path(token.jwks), found, _has_jwks_keys, "JSON Web Key Set with keys")


def _inspect_keys(key: str, path: Path, found: Findings, has_keys: Callable[[bytes], bool], noun: str) -> None:
    text = _read(key, path, found)
    if text is not None and not has_keys(text):
        found.problems.append(f"{key}: {path} holds no {noun}, so no token could be verified")


def _has_pem_keys(text: bytes) -> bool:
    for load in (x509.load_pem_x509_certificates, load_pem_public_key):
        try:
            load(text)
        except ValueError:
            continue
        return True
    return False


def _has_jwks_keys(text: bytes) -> bool:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("keys"), list) and bool(document["keys"])


# --- folders ---------------------------------------------------------------------------------------------------------


def _inspect_folder(folder: Path, found: Findings) -> None:
    key = "storage.filesystem.rootdirectory"
    existing = next(_upwards(folder))
    if not existing.is_dir():
        found.problems.append(f"{key}: {existing} is not a folder")
    elif is_mounted_read_only(existing):
        found.problems.append(f"{key}: {existing} cannot be written to; {READ_ONLY_REMEDY}")
    elif not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        found.problems.append(f"{key}: no right to {_wanted(folder, existing)}; {_remedy(existing)}")
    else:
        _inspect_old_tree(folder / "docker" / "registry" / "v2", key, found)


def _upwards(path: Path) -> Iterator[Path]:
    return (place for place in (path, *path.absolute().parents) if place.exists())


def _wanted(folder: Path, existing: Path) -> str:
    return f"read and write in {folder}" if folder == existing else f"make {folder} in {existing}"


def _remedy(folder: Path) -> str:
    if is_mounted_read_only(folder):
        return READ_ONLY_REMEDY
    owner = folder.stat()
    return (
        f"run chown -R {os.geteuid()}:{os.getegid()} {folder}, or start as its owner"
        f" (in a container: --user {owner.st_uid}:{owner.st_gid})"
    )


def _inspect_old_tree(tree: Path, key: str, found: Findings) -> None:
    """A folder that registry:2 filled as another user can be entered, but not changed."""
    for place in (tree, tree / "blobs", tree / "repositories"):
        if place.is_dir() and not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            found.problems.append(f"{key}: no right to read and write in {place}; {_remedy(place)}")
            return


def _inspect_socket(path: Path, found: Findings) -> None:
    if not path.parent.is_dir():
        found.problems.append(f"http.addr: the folder of the socket {path} does not exist")
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        found.problems.append(f"http.addr: no right to make the socket {path}; {_remedy(path.parent)}")
