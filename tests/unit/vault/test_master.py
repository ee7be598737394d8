"""The operator's key: where it comes from, and what is refused."""

import base64
from pathlib import Path
from random import Random

import pytest

from entrepot.vault.errors import SecretKeyUnusable
from entrepot.vault.master import FILE_VARIABLE, VARIABLE, KeySource

KEY = Random(1).randbytes(32)
TEXT = base64.b64encode(KEY).decode()


def from_variable(text: str) -> KeySource:
    """Return the source that a variable gives."""
    return KeySource(Path("/nowhere"), {VARIABLE: text})


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.rstrip("="), base64.urlsafe_b64encode(KEY).decode(), KEY.hex(), KEY.hex().upper(), f" {TEXT}\n"]
)
def test_a_key_in_each_form_is_the_same(text: str) -> None:
    """Base64 of both alphabets, with and without padding, and hexadecimal."""
    assert from_variable(text).load().current.secret == KEY


@pytest.mark.parametrize("text", ["", " \n", "# nothing but a comment"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    """A file without a key says how to make one."""
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(SecretKeyUnusable, match="holds no key; make one with: openssl rand -base64 32"):
        KeySource(tmp_path, {FILE_VARIABLE: str(file)}).check()


@pytest.mark.parametrize(
    "text", ["secret", TEXT[:-8], TEXT + "AAAA", "z" * 64, "naïve", "changeme-changeme-changeme-change"]
)
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    """Pass phrases and cut keys are refused; the message does not hold them."""
    with pytest.raises(SecretKeyUnusable, match="32 random bytes") as caught:
        from_variable(text).check()
    assert text not in str(caught.value)


@pytest.mark.parametrize("secret", [bytes(32), b"a" * 32, b"0123456789abcdef"[:8] * 4])
def test_keys_that_can_be_guessed_are_refused(secret: bytes) -> None:
    """Zeros and repetitions are no keys."""
    with pytest.raises(SecretKeyUnusable, match="can be guessed"):
        from_variable(secret.hex()).check()


def test_the_first_key_wraps_and_all_open() -> None:
    """Several keys stand in one variable, separated by commas, blanks or lines."""
    other = Random(2).randbytes(32)
    keys = from_variable(f"{TEXT},{other.hex()}\n").load()
    assert keys.current.secret == KEY
    assert {key.secret for key in keys.known.values()} == {KEY, other}
    assert KEY.hex() not in repr(keys)
    assert TEXT not in repr(keys)


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Without a given key, the first need makes one that only we can read; looking at the start makes none."""
    source = KeySource(tmp_path, {})
    source.check()
    assert not (tmp_path / "keys").exists()
    made = source.load()
    assert KeySource(tmp_path, {}).load() == made
    assert (tmp_path / "keys" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert source.is_ours


@pytest.mark.parametrize(
    ("mode", "fits"), [(0o600, True), (0o400, True), (0o640, True), (0o604, False), (0o666, False)]
)
def test_a_given_file_must_not_be_readable_by_everybody(tmp_path: Path, mode: int, fits: bool) -> None:  # noqa: FBT001
    """A group may read it, as container secrets are handed over; others may not."""
    file = tmp_path / "key"
    file.write_text(f"# ours\n{TEXT}\n")
    file.chmod(mode)
    source = KeySource(tmp_path, {FILE_VARIABLE: str(file)})
    assert not source.is_ours
    if fits:
        assert source.load().current.secret == KEY
    else:
        with pytest.raises(SecretKeyUnusable, match="chmod 600"):
            source.check()


def test_our_own_file_must_be_private(tmp_path: Path) -> None:
    """Also a group's right to read is refused at the start."""
    source = KeySource(tmp_path, {})
    source.load()
    (tmp_path / "keys" / "secret.key").chmod(0o640)
    with pytest.raises(SecretKeyUnusable, match="chmod 600"):
        source.check()


def test_two_places_at_once_are_refused(tmp_path: Path) -> None:
    """Nobody could say which key is meant."""
    with pytest.raises(SecretKeyUnusable, match="both set"):
        KeySource(tmp_path, {VARIABLE: TEXT, FILE_VARIABLE: "/run/secrets/key"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says which file cannot be read, and why."""
    with pytest.raises(SecretKeyUnusable, match="absent cannot be read: No such file"):
        KeySource(tmp_path, {FILE_VARIABLE: str(tmp_path / "absent")}).check()


def test_one_process_at_a_time_replaces_the_key(tmp_path: Path) -> None:
    """The second is told to wait, and the first is not disturbed."""
    first, second = KeySource(tmp_path, {}), KeySource(tmp_path, {})
    with first.alone():
        with pytest.raises(SecretKeyUnusable, match="another process"), second.alone():
            pass
        first.put_new_first()
    with second.alone():
        assert second.load() == first.load()
