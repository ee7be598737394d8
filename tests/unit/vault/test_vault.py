"""Sealing and opening over a real database."""

import asyncio
import secrets
from pathlib import Path

import pytest

from entrepot.metadata import data_keys, sealed
from entrepot.metadata.database import Database
from entrepot.vault.errors import SecretUnreadable
from entrepot.vault.master import VARIABLE, KeySource
from entrepot.vault.vault import Vault

ABOUT = sealed.about(sealed.TOTP, 7)


async def test_what_is_sealed_opens(vault: Vault) -> None:
    """Any text comes back, and each sealing of it looks different."""
    for text in ("", "secret", "geheim ☃ " * 1000):
        first, second = await vault.seal(text, ABOUT), await vault.seal(text, ABOUT)
        assert first != second
        assert first.startswith(sealed.MARK)
        assert await vault.open(first, ABOUT) == await vault.open(second, ABOUT) == text


async def test_the_database_does_not_hold_the_secret(vault: Vault, tmp_path: Path) -> None:
    """Neither the sealed text nor any file of the database shows what was sealed."""
    text = await vault.seal("canary-of-the-vault", ABOUT)
    assert "canary" not in text
    assert all(b"canary" not in file.read_bytes() for file in list(tmp_path.iterdir()) if file.is_file())


async def test_a_sealed_text_opens_in_its_place_only(vault: Vault) -> None:
    """Another row and another column refuse it."""
    text = await vault.seal("secret", ABOUT)
    for other in (sealed.about(sealed.TOTP, 8), sealed.about(sealed.RECOVERY, 7), ""):
        with pytest.raises(SecretUnreadable, match="changed, moved"):
            await vault.open(text, other)


async def test_every_changed_character_is_noticed(vault: Vault) -> None:
    """Whatever character of a sealed text is changed, it no longer opens."""
    text = await vault.seal("secret", ABOUT)
    for place in range(len(text)):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(SecretUnreadable):
            await vault.open(changed, ABOUT)


@pytest.mark.parametrize(
    "text", ["", "secret", "sealed:", "sealed:2:1:AAAA", "sealed:1:x:AAAA", "sealed:1:1:", "sealed:1:99:AAAA"]
)
async def test_what_was_not_sealed_by_us_does_not_open(vault: Vault, text: str) -> None:
    """Plain texts and unknown forms are refused, never returned as they are."""
    await vault.seal("makes the first key", ABOUT)
    with pytest.raises(SecretUnreadable):
        await vault.open(text, ABOUT)


async def test_two_processes_share_the_first_key(database: Database, source: KeySource) -> None:
    """Of many that seal first at the same time one makes the data key, and each opens what the others sealed."""
    vaults = [Vault(database, source) for _ in range(5)]
    texts = await asyncio.gather(*(vault.seal(str(number), ABOUT) for number, vault in enumerate(vaults)))
    assert len(await data_keys.list_all(database)) == 1
    for vault in vaults:
        assert [await vault.open(text, ABOUT) for text in texts] == ["0", "1", "2", "3", "4"]


async def test_another_secret_key_is_told_apart(database: Database, vault: Vault, tmp_path: Path) -> None:
    """Whoever starts with the wrong key is told which one is missing, and opens nothing."""
    text = await vault.seal("secret", ABOUT)
    record = await data_keys.newest(database)
    assert record is not None
    other = Vault(database, KeySource(tmp_path, {VARIABLE: secrets.token_hex(32)}))
    with pytest.raises(SecretUnreadable, match=f"{record.wrapped_by}.*put the old key behind the new one"):
        await other.open(text, ABOUT)
    with pytest.raises(SecretUnreadable):
        await other.seal("more", ABOUT)
