"""Which passwords people may choose, as it is at first and as `access.passwords` sets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrepot.access.faults import Invalid
from entrepot.accounts.passwords import PasswordRule
from entrepot.config import load

#: As the page of differences to Harbor has it.
HARBOR = "access: {passwords: {shortest: 8, common: true}}"
PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "compatibility-with-harbor.md"


@pytest.mark.parametrize("password", ["Harbor12345", "Password1234", "seven boat", "x" * 257, "alice-alice-1"])
def test_what_is_short_or_tried_first_is_refused(password: str) -> None:
    """Twelve characters at the least, and no password that everybody tries."""
    with pytest.raises(Invalid):
        PasswordRule().checked(password, "alice")


def test_a_long_one_is_taken_in_its_composed_form() -> None:
    """However the keyboard wrote it."""
    assert PasswordRule().checked("sieben Bo\u0308te am Kai", "alice") == "sieben B\u00f6te am Kai"


@pytest.mark.parametrize("password", ["Harbor12345", "Passw0rd", "Alice123"])
def test_harbors_passwords_are_taken_where_that_is_set(password: str, tmp_path: Path) -> None:
    """By the line that the page of differences gives; what is shorter than Harbor takes is not."""
    assert HARBOR in PAGE.read_text(encoding="utf-8")
    file = tmp_path / "config.yml"
    file.write_text(f"version: 0.1\nstorage: {{filesystem: {{}}}}\n{HARBOR}\n", encoding="utf-8")
    rule = PasswordRule.of(load(file, environ={}).config.access.passwords)
    assert rule.checked(password, "alice") == password
    with pytest.raises(Invalid, match="8 to 256 characters"):
        rule.checked(password[:7], "alice")
