"""One-time codes as RFC 6238 has them, and recovery codes."""

import base64

import pytest

from entrepot.access.second_factor.totp import (
    DIGITS,
    RECOVERY_CODES,
    STEP,
    Seed,
    hash_recovery_code,
    new_recovery_codes,
    without,
)

SEED = Seed(secret=base64.b32encode(b"12345678901234567890").decode(), confirmed=True)


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_the_standard(at: int, code: str) -> None:
    """RFC 6238, appendix B: the last six digits of its SHA-1 values."""
    assert SEED.step_of(code, at) == at // STEP


def test_a_clock_may_be_wrong_by_half_a_minute() -> None:
    """The code before and the one after count, those beside them do not."""
    at = 1111111111
    answers = [SEED.step_of("050471", at + steps * STEP) for steps in range(-3, 4)]
    assert answers == [None, None, at // STEP, at // STEP, at // STEP, None, None]


def test_a_used_code_counts_no_more() -> None:
    """Nor does any that came before it."""
    at = 1111111111
    for last, expected in ((at // STEP - 1, at // STEP), (at // STEP, None), (at // STEP + 1, None)):
        assert Seed(secret=SEED.secret, confirmed=True, last=last).step_of("050471", at) == expected


@pytest.mark.parametrize(
    "code", ["", "050472", "50471", "0050471", "\uff10\uff15\uff10\uff14\uff17\uff11", "050471 ", "x" * 6]
)
def test_whatever_else_is_wrong(code: str) -> None:
    """Other digits, lengths and alphabets."""
    assert SEED.step_of(code, 1111111111) is None


def test_a_seed_is_long_random_and_hidden() -> None:
    """160 bits, another each time, read back as written, in no repr; the address has what an app needs."""
    one, two = Seed.new(), Seed.new()
    assert one.secret != two.secret
    assert len(base64.b32decode(one.secret)) == 20
    assert Seed.from_text(one.to_text()) == one
    assert one.secret not in repr(one)
    uri = one.uri("alice", "Our Registry")
    assert uri.startswith("otpauth://totp/Our%20Registry:alice?")
    assert f"secret={one.secret}" in uri
    assert f"digits={DIGITS}" in uri


def test_recovery_codes() -> None:
    """Ten different ones of 80 bits; each is found once, however it was typed."""
    codes = new_recovery_codes()
    assert len(set(codes)) == RECOVERY_CODES
    assert {len(code.replace("-", "")) for code in codes} == {16}
    hashes = [hash_recovery_code(code) for code in codes]
    assert not set(codes) & set(hashes)
    left = without(hashes, f" {codes[3].upper().replace('-', ' ')}")
    assert left == hashes[:3] + hashes[4:]
    assert without(left, codes[3]) is None
    assert without(hashes, "") is None
