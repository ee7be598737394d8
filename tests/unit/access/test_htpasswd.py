"""`auth.htpasswd`: registry:2's file of users, read again when it changes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from entrepot.access.errors import CredentialsRefused, SetupError
from entrepot.access.model import PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.guarded_passwords import GuardedPasswords
from entrepot.access.passwords.throttle import Throttle
from entrepot.adapters.identity.htpasswd import HtpasswdFile, ensure_file, parse
from entrepot.oci.errors import Unavailable
from tests.unit.access.conftest import Clock


def line(name: str, password: str, prefix: bytes = b"2b") -> str:
    """Return a cheap bcrypt entry."""
    encoded = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4))
    return f"{name}:{encoded.replace(b'2b', prefix, 1).decode()}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file with one user."""
    file = tmp_path / "htpasswd"
    file.write_text(line("alice", "s3cret"))
    return file


@pytest.fixture
def passwords(path: Path, clock: Clock) -> GuardedPasswords:
    """Give what the web layer asks, over that file."""
    return GuardedPasswords(HtpasswdFile(path, clock=clock), Throttle(clock=clock), clock=clock)


async def signs_in(passwords: GuardedPasswords, name: str, password: str) -> bool:
    try:
        principal = await passwords.verify(Basic(name, password), "192.0.2.7")
    except CredentialsRefused:
        return False
    assert (principal.kind, principal.name, principal.id) == (PrincipalKind.USER, name, None)
    return True


async def test_users_of_the_file(passwords: GuardedPasswords) -> None:
    """Name and password must both be those of one line."""
    assert await signs_in(passwords, "alice", "s3cret")
    assert not await signs_in(passwords, "alice", "wrong")
    assert not await signs_in(passwords, "bob", "s3cret")


async def test_a_file_made_by_htpasswd(
    path: Path, passwords: GuardedPasswords, clock: Clock, tool: Callable[[str], Path]
) -> None:
    """What `htpasswd -Bbn` writes, which begins with `$2y$`, is understood."""
    made = subprocess.run([tool("htpasswd"), "-Bbn", "carol", "pass:word"], capture_output=True, check=True, text=True)
    assert "$2y$" in made.stdout
    path.write_text(made.stdout)
    clock.now += 1
    assert await signs_in(passwords, "carol", "pass:word")


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
def test_all_kinds_of_bcrypt(prefix: bytes, path: Path) -> None:
    """The variants of bcrypt that other programs write are the same hash."""
    encoded = line("x", "s3cret", prefix).strip().partition(":")[2]
    assert HtpasswdFile(path).matches(encoded, "s3cret")


async def test_changes_count_within_a_second(path: Path, passwords: GuardedPasswords, clock: Clock) -> None:
    """A new user, a new password and a removed user count without a restart, also for remembered sign-ins."""
    assert await signs_in(passwords, "alice", "s3cret")
    path.write_text(line("alice", "other") + line("bob", "b"))
    clock.now += 1
    assert await signs_in(passwords, "bob", "b")
    assert not await signs_in(passwords, "alice", "s3cret")
    assert await signs_in(passwords, "alice", "other")
    path.write_text(line("bob", "b"))
    clock.now += 1
    assert not await signs_in(passwords, "alice", "other")


async def test_a_change_of_the_same_size_and_time_is_seen(
    path: Path, passwords: GuardedPasswords, clock: Clock
) -> None:
    """A file put in place by rename is another file, even with size and time of the old one."""
    assert await signs_in(passwords, "alice", "s3cret")
    before = path.stat()
    other = path.with_name("new")
    other.write_text(line("alice", "0ther0"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    assert path.stat().st_size == before.st_size
    clock.now += 1
    assert not await signs_in(passwords, "alice", "s3cret")


async def test_the_file_is_looked_at_once_a_second(path: Path, clock: Clock) -> None:
    """Remembered sign-ins do not ask the disk for every request."""
    file = HtpasswdFile(path, clock=clock)
    path.write_text(line("bob", "b"))
    assert await file.find("alice") is not None
    clock.now += 1
    assert await file.find("alice") is None


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("no colon here\n")])
async def test_a_lost_or_damaged_file_lets_nobody_in(
    spoil: Callable[[Path], object], path: Path, passwords: GuardedPasswords, clock: Clock
) -> None:
    """While the list cannot be read nobody signs in, not even by what is remembered; put right, it works again."""
    assert await signs_in(passwords, "alice", "s3cret")
    spoil(path)
    clock.now += 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            await passwords.verify(Basic("alice", "s3cret"), "192.0.2.7")
    path.write_text(line("alice", "s3cret"))
    assert await signs_in(passwords, "alice", "s3cret")


@pytest.mark.parametrize(
    "encoded", ["", "plain", "$apr1$x$y", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "$2b$04$short", "\udcff"]
)
def test_other_hashes_match_nothing(encoded: str, path: Path) -> None:
    """As in registry:2, an entry that is not bcrypt is no error and lets nobody in."""
    file = HtpasswdFile(path)
    assert not file.matches(encoded, "plain")
    assert not file.matches(encoded, "password")
    assert not file.matches(None, "nobody")


def test_cve_2024_9683_long_passwords_do_not_match_by_their_beginning(path: Path) -> None:
    """bcrypt sees 72 bytes; a longer password with the same beginning is refused."""
    encoded = bcrypt.hashpw(b"p" * 72, bcrypt.gensalt(4)).decode()
    file = HtpasswdFile(path)
    assert file.matches(encoded, "p" * 72)
    assert not file.matches(encoded, "p" * 73)
    assert not file.matches(encoded, "p" * 72 + "\0")


def test_the_form_of_the_file() -> None:
    """Blank lines and comments do not count, blanks around a line neither; the last line of a name counts."""
    text = "\n# comment: x\n  alice:one  \nbob:t:w:o\n\talice:three\r\n:empty\n"
    assert parse(text) == {"alice": "three", "bob": "t:w:o", "": "empty"}
    with pytest.raises(ValueError, match="line 2"):
        parse("a:b\nnonsense\n")


def test_an_unusable_file_stops_the_start(tmp_path: Path) -> None:
    """The message names setting and file."""
    with pytest.raises(SetupError, match=r"auth\.htpasswd\.path: .*missing"):
        HtpasswdFile(tmp_path / "missing")
    (tmp_path / "bad").write_text("nonsense")
    with pytest.raises(SetupError, match="line 1"):
        HtpasswdFile(tmp_path / "bad")


async def test_a_missing_file_is_made(tmp_path: Path) -> None:
    """As in registry:2: a user `docker` with a password that is told once; the file is private."""
    path = tmp_path / "auth" / "htpasswd"
    notice = ensure_file(path)
    assert notice is not None
    password = notice.rsplit(" ", 1)[1]
    assert path.stat().st_mode & 0o777 == 0o600
    passwords = GuardedPasswords(HtpasswdFile(path), Throttle())
    assert await signs_in(passwords, "docker", password)
    assert ensure_file(path) is None
    assert await signs_in(passwords, "docker", password)


def test_an_existing_file_is_left_alone(path: Path) -> None:
    """Not even an empty file is touched."""
    path.write_text("")
    assert ensure_file(path) is None
    assert path.read_text() == ""
